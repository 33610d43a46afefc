"""Sample sources, and the quality of their samples."""

"""Models of other frameworks: made, imported, served, and compared with the originals."""

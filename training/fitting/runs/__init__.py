"""Files of a run: its folder, checkpoints and the start from an earlier run."""

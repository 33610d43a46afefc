"""The training loop, losses, checkpoints and run folders."""

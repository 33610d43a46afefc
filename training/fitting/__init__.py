"""Training of networks: the loop, losses, optimisers, checkpoints and run folders."""

"""The forms of a network's images and codes, found by looking at shapes and by running."""

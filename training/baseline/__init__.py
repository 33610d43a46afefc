"""PCA and a linear classifier: the baseline of every training."""

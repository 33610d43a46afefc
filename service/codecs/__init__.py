"""Bytes to arrays and back: image files, .npy, JSON, multipart bodies and responses."""

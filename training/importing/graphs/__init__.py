"""Graphs of other frameworks: reading, conversion into ONNX, batches, cutting and wrapping."""

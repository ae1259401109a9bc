"""Published weights: the manifest, and reading and writing tensors by name."""

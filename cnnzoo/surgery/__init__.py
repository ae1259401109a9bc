"""Functions that read and change Keras graphs."""

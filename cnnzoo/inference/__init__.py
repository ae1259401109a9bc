"""A trained model in use: load it, classify images, write predictions."""

"""Use a trained model: load it, classify images, write predictions."""

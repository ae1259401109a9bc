"""Searches for better recipes and models, with Keras Tuner."""

from importlib.util import find_spec

if not all(map(find_spec, ("keras_tuner", "tensorboard", "psutil"))):
    raise ImportError("Searches need Keras Tuner: pip install 'cnnzoo[tune]'")

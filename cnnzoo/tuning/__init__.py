"""Searches for better recipes and models, with Keras Tuner."""

from importlib.util import find_spec

from cnnzoo.core.extras import install_command

if not all(map(find_spec, ("keras_tuner", "tensorboard", "psutil"))):
    raise ImportError(f"Searches need Keras Tuner: {install_command('tune')}")

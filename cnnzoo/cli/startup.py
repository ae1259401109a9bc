"""Preparations that several commands share."""

from cnnzoo.core.progress import show_progress


def import_keras_quietly() -> None:
    """Import Keras and its backend, which takes seconds; `core.startup` keeps the backend's messages back."""
    with show_progress("Importing Keras"):
        import keras  # noqa: F401

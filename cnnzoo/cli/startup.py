"""Preparations that several commands share."""


def import_keras_quietly() -> None:
    """Import Keras and its backend. `core.startup` holds its messages back, `core.import_progress` shows a line."""
    import keras  # noqa: F401

"""Preparations that several commands share."""

import os
import sys
from pathlib import Path


def import_keras_quietly() -> None:
    """Import Keras and its backend without the messages about the machine that TensorFlow writes to stderr.

    No setting of TensorFlow turns them off: https://github.com/tensorflow/tensorflow/issues/100442.
    """
    sys.stderr.flush()
    stderr_copy = os.dup(2)
    try:
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)

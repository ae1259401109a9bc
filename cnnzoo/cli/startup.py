"""Preparations that several commands share."""

import os
import sys
from pathlib import Path


def import_keras_quietly() -> None:
    """Import Keras and its backend. `core.startup` holds its messages back, `core.import_progress` shows a line."""
    import keras  # noqa: F401


def join_processes() -> bool:
    """Connect this process to those that train with it, if `cnnzoo launch` has started several.

    Returns:
        Whether this process prints, and writes files: all but the first one are silent from here on.
    """
    if not os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
        return True
    from cnnzoo.core.connection import connect_processes
    from cnnzoo.core.processes import is_main_process

    connect_processes()
    if not is_main_process():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    return is_main_process()


def leave_processes(failure: str = "") -> bool:
    """Disconnect from the other processes, if there are any; tell them of a failure, at which they end.

    Returns:
        Whether there are others. After a failure, the process must then end by `os._exit`: JAX waits for the others.
    """
    if "jax" not in sys.modules:
        return False
    from cnnzoo.core.connection import disconnect_processes
    from cnnzoo.core.processes import count_processes

    if count_processes() == 1:
        return False
    disconnect_processes(failure)
    return True

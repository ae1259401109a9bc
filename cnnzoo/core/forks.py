"""Notice that this process was forked from one that had started TensorFlow, whose threads do not survive that.

In such a process every computation of TensorFlow waits forever: https://github.com/keras-team/keras/issues/9964.
"""

import os
import sys

from cnnzoo.core.errors import InputError

REMEDY = (
    "Load the model in each worker process before TensorFlow is used in its parent, or start the workers with "
    'multiprocessing.get_context("spawn") (gunicorn: without --preload)'
)

_parents: list[int] = []  # ids of the processes that had started TensorFlow when they were forked, up to this one
_started = False  # whether TensorFlow runs in this process, as of the last fork


def check_not_forked(opened_by: int | None = None) -> None:
    """Raise InputError if TensorFlow cannot run in this process, because it was started before a fork.

    Args:
        opened_by: id of the process that opened the network which is about to run, if it is open.
    """
    if opened_by not in (None, os.getpid()):
        raise InputError(f"This classifier was first used in process {opened_by}, before this one was forked. {REMEDY}")
    if _parents:
        raise InputError(
            f"TensorFlow was started in process {_parents[-1]}, before this one was forked from it, and would wait "
            f"forever here. {REMEDY}"
        )


def _is_tensorflow_started() -> bool:
    """Return whether TensorFlow has created its threads, after which it refuses to change their number."""
    tensorflow = sys.modules.get("tensorflow")
    try:
        threading = tensorflow.config.threading  # type: ignore[union-attr]
        number = threading.get_intra_op_parallelism_threads()
        threading.set_intra_op_parallelism_threads(number + 1)
        threading.set_intra_op_parallelism_threads(number)
    except RuntimeError:
        return True
    except Exception:  # not imported, or only in part
        return False
    return False


def _before_fork() -> None:
    global _started
    _started = _is_tensorflow_started()


def _after_fork() -> None:
    if _started:
        _parents.append(os.getppid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)

"""Keep the messages about the machine that TensorFlow writes when it starts out of scripts and notebooks.

No setting of TensorFlow turns all of them off: https://github.com/tensorflow/tensorflow/issues/100442. Whatever else is
written to stderr while TensorFlow is imported is passed on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

from cnnzoo.core.import_hooks import import_within
from cnnzoo.core.progress_displays import shown_on

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # 0 shows every message, 3 none of the C++ code; errors raise exceptions anyway
START_MESSAGES = re.compile(
    rb"All log messages before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers"
    rb"|cpu_feature_guard|To enable the following instructions|Unable to register cu\w+ factory"
    rb"|computation placer already registered|failed call to cuInit|Could not find TensorRT|TF-TRT Warning"
    rb"|cudart_stub|gpu_device\.cc.*(Cannot dlopen|Skipping registering)|Created TensorFlow Lite \w+ delegate for CPU"
)

_stderr_lock = threading.RLock()  # file descriptors belong to all threads


def quiet_tensorflow_start() -> None:
    """Let the next import of TensorFlow be quiet, whoever imports it; a level that the user has set stays.

    Without effect if TensorFlow has been imported already, or if `TF_CPP_MIN_LOG_LEVEL` asks for its messages.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault(LOG_LEVEL, "3") in ("2", "3"):
        import_within("tensorflow", without_start_messages)
        logging.getLogger("tensorflow").addFilter(_is_not_about_keras_tracing)


def _is_not_about_keras_tracing(record: logging.LogRecord) -> bool:
    """Return False for the advice to trace less often that Keras' own functions get when several models are used."""
    message = str(record.msg)
    return "triggered tf.function retracing" not in message or "TensorFlowTrainer" not in record.getMessage()


def _is_stderr(stream: Any) -> bool:
    """Return whether a stream writes to the file descriptor of stderr."""
    try:
        return bool(stream.fileno() == 2)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def without_start_messages() -> Iterator[None]:
    """Hold back what the block writes to the file descriptor of stderr, then pass on all but `START_MESSAGES`."""
    import tempfile

    with _stderr_lock, tempfile.TemporaryFile() as held:
        try:
            sys.stderr.flush()
            stderr_copy = os.dup(2)
        except (AttributeError, OSError, ValueError):  # no stderr, or a closed one
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            with shown_on(stderr_copy) if _is_stderr(sys.stderr) else contextlib.nullcontext():
                yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(stderr_copy, 2)
            os.close(stderr_copy)
            held.seek(0)
            lines = [line for line in held.read().splitlines(keepends=True) if not START_MESSAGES.search(line)]
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(2, b"".join(lines))

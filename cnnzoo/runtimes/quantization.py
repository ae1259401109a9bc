"""Post-training quantization to int8, for OpenVINO and ONNX models."""

import contextlib
import io
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

from cnnzoo.core.extras import install_command
from cnnzoo.core.progress import show_progress

_ENVIRONMENT_LOCK = threading.RLock()


def quantize_to_int8(network: Any, inputs: list[Any]) -> Any:
    """Quantize an OpenVINO or ONNX model to int8, calibrated with `inputs`, one entry per image."""
    with telemetry_off(), contextlib.redirect_stdout(io.StringIO()):  # hides the progress bars of nncf
        try:
            import nncf
        except ImportError:
            raise ImportError(f"Quantizing to int8 requires nncf: {install_command('export')}") from None
        nncf.set_log_level(logging.ERROR)
        with show_progress("Quantizing to int8"):
            return nncf.quantize(network, nncf.Dataset(inputs), subset_size=len(inputs))


@contextlib.contextmanager
def telemetry_off() -> Iterator[None]:
    """Keep OpenVINO's converter and nncf from reporting their use over the network."""
    # Both send nothing while these environment variables say that they run in a CI job. The variables belong to the
    # whole process, so threads take turns.
    with _ENVIRONMENT_LOCK:
        before = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
        os.environ.update(dict.fromkeys(before, "true"))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value

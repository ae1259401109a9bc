"""The table of runtimes and export formats, and the choice among them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.extras import install_command
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.warn import warn_caller
from cnnzoo.runtimes.base import RunFunction, Runtime
from cnnzoo.runtimes.keras import Keras
from cnnzoo.runtimes.litert import LiteRT
from cnnzoo.runtimes.onnx import ONNXRuntime
from cnnzoo.runtimes.openvino import OpenVINO
from cnnzoo.surgery.accelerator import has_accelerator

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# Fastest first, as measured by benchmarks/inference.py
RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in (OpenVINO(), ONNXRuntime(), LiteRT(), Keras())}
FORMATS: dict[str, Runtime] = {runtime.format: runtime for runtime in RUNTIMES.values()}
PRECISIONS = ("float32", "float16", "bfloat16", "int8")


class RuntimeChoice(NamedTuple):
    """The runtime that will run a network, and its precision."""

    runtime: Runtime
    precision: str
    is_automatic: bool  # chosen by "auto", so that Keras may be used instead


class OpenRuntime(NamedTuple):
    """A network that is ready to run."""

    name: str
    precision: str
    run: RunFunction


def is_installed(name: str) -> bool:
    """Return whether the named runtime can be imported."""
    return importlib.util.find_spec(RUNTIMES[name].module) is not None


def prefer_own_runtime(format: str) -> str:
    """Return the runtime that an export format is made for, or "auto" if it is not installed.

    OpenVINO, for example, is the fastest for ONNX exports, but who exports to ONNX will run ONNX Runtime.
    """
    name = FORMATS[format].name
    return name if is_installed(name) else "auto"


def choose_runtime(
    runtime: str,
    precision: str | None,
    readers: Sequence[str],
    own_precision: str = "float32",
    *,
    is_model: bool = False,
) -> RuntimeChoice:
    """Return the requested runtime, or the fastest installed one.

    Args:
        runtime: a name in `RUNTIMES`, or "auto".
        precision: the precision to compute in; None for that of the network.
        readers: names of the runtimes that can open the network, fastest first.
        own_precision: the precision of the network.
        is_model: whether the network is a Keras model, which Keras computes in 16 bits too.

    Raises:
        InputError: if a name is unknown, or runtime, precision and network do not go together.
        ImportError: if the runtime is not installed.
    """
    # Check the names.
    if runtime not in ("auto", *RUNTIMES):
        raise unknown_name("runtime", runtime, ("auto", *RUNTIMES))
    if precision not in (None, *PRECISIONS):
        raise unknown_name("precision", precision, PRECISIONS)
    if runtime != "auto" and runtime not in readers:
        raise InputError(f"The network can only be run by {' or '.join(readers)}. Received: runtime={runtime!r}")

    # Check the precision: a network keeps its own, except that OpenVINO computes float networks in bfloat16 too, and
    # Keras computes its models in bfloat16 and float16.
    chosen_precision = precision or own_precision
    able = list(readers)
    if chosen_precision != own_precision or chosen_precision == "bfloat16":
        able = [name for name in readers if _changes_precision(name, own_precision, chosen_precision, is_model)]
        if not able and chosen_precision != "bfloat16":
            remedy = ""
            if chosen_precision in ("int8", "float16"):
                remedy = "; set the precision when exporting: cnnzoo.export(..., precision=...)"
            raise InputError(f"The network is {own_precision}, not {chosen_precision}{remedy}")
    if not able or (runtime != "auto" and runtime not in able):
        needed = " or ".join(RUNTIMES[name].title for name in able or ("openvino",))
        raise InputError(
            f"{chosen_precision} requires {needed}. Received: runtime={runtime!r}; possible here: {', '.join(readers)}"
        )

    # Choose the runtime.
    is_automatic = runtime == "auto"
    readers = able
    if runtime == "auto":
        runtime = next((name for name in readers if is_installed(name)), readers[0])
    if not is_installed(runtime):
        raise ImportError(f"{runtime} is not installed: {install_command('export')}")
    return RuntimeChoice(RUNTIMES[runtime], chosen_precision, is_automatic)


def _changes_precision(runtime: str, own_precision: str, precision: str, is_model: bool) -> bool:
    """Return whether a runtime computes a network of one precision in another one."""
    if own_precision not in ("float32", "float16"):
        return False
    return (runtime, precision) == ("openvino", "bfloat16") or (
        runtime == "keras" and is_model and precision in ("bfloat16", "float16")
    )


def choose_runtime_for_model(runtime: str = "auto", precision: str | None = None) -> RuntimeChoice:
    """Choose the runtime for a Keras model.

    On another backend than TensorFlow only Keras itself can run it. Keras is the fastest where there is an accelerator,
    which the other runtimes do not use.
    """
    readers = tuple(RUNTIMES) if keras.backend.backend() == "tensorflow" else ("keras",)
    if has_accelerator():
        readers = ("keras", *(name for name in readers if name != "keras"))
    return choose_runtime(runtime, precision, readers, is_model=True)


def open_model(model: keras.Model, choice: RuntimeChoice) -> OpenRuntime:
    """Convert a Keras model for a runtime and open it.

    If a runtime that was chosen by "auto" cannot run the model, warn and let Keras run it.

    Raises:
        InputError: if the runtime cannot run the model and was not chosen by "auto".
    """
    name, precision = choice.runtime.name, choice.precision
    try:
        return OpenRuntime(name, precision, choice.runtime.open(choice.runtime.convert(model), precision))
    except ImportError:
        raise
    except Exception as error:  # a converter may raise anything on a layer that it does not know
        message = f"{name} cannot run {model.name}: {error}"
        if not choice.is_automatic or name == "keras":
            raise InputError(message) from error
        warn_caller(f"{message}; using Keras instead")
        return OpenRuntime("keras", precision, RUNTIMES["keras"].open(model, precision))

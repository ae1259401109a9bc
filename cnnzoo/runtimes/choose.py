"""What runs a network: OpenVINO, ONNX Runtime, LiteRT or Keras itself; each gives a function from images to scores."""

import contextlib
import importlib.util
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError, unknown_name

RunFunction = Callable[[np.ndarray], np.ndarray]  # images (N, H, W, C) to probabilities (N, classes)

# What has to be installed for each, the fastest first (benchmarks/inference.py), and what installs it
RUNTIME_MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "litert": "ai_edge_litert", "keras": "keras"}
INSTALL_HINT = "pip install 'cnnzoo[export]'"
PRECISIONS = ("float32", "float16", "bfloat16", "int8")


class RuntimeChoice(NamedTuple):
    """A runtime, how it opens what is to be run, and in which precision."""

    name: str
    open: Callable[..., RunFunction]
    precision: str


def is_installed(name: str) -> bool:
    """Whether a runtime can be imported."""
    return importlib.util.find_spec(RUNTIME_MODULES[name]) is not None


def choose_runtime(
    runtime: str, precision: str | None, readers: Mapping[str, Any], own: str = "float32"
) -> RuntimeChoice:
    """The runtime asked for, or the fastest one, of those that can read what is there, whose precision is `own`.

    Raises:
        InputError: for names that are unknown, or do not go together.
        ImportError: for a runtime that is not installed.
    """
    if runtime not in ("auto", *RUNTIME_MODULES):
        raise unknown_name("runtime", runtime, ("auto", *RUNTIME_MODULES))
    if precision not in (None, *PRECISIONS):
        raise unknown_name("precision", precision, PRECISIONS)
    if runtime != "auto" and runtime not in readers:
        raise InputError(f"This is run by {' or '.join(readers)}. Received: runtime={runtime!r}")
    wanted = precision or own
    if wanted not in (own, "bfloat16") or (wanted == "bfloat16" and own not in ("float32", "float16")):
        how = "an export says so: cnnzoo.export(..., precision=...)" if wanted in ("int8", "float16") else ""
        raise InputError(f"This is {own}, not {wanted}{'; ' + how if how else ''}")
    if wanted == "bfloat16":
        if runtime not in ("auto", "openvino") or "openvino" not in readers:
            raise InputError(f"bfloat16 is for OpenVINO. Received: runtime={runtime!r} of {', '.join(readers)}")
        runtime = "openvino"
    if runtime == "auto":
        runtime = next((name for name in readers if is_installed(name)), next(iter(readers)))
    if not is_installed(runtime):
        raise ImportError(f"{runtime} is not installed: {INSTALL_HINT}")
    return RuntimeChoice(runtime, readers[runtime], wanted)


def quantize_to_int8(network: Any, images: list[Any]) -> Any:
    """An OpenVINO or ONNX model in int8, calibrated with images."""
    with telemetry_off(), contextlib.redirect_stdout(io.StringIO()):  # its bars
        try:
            import nncf
        except ImportError:
            raise ImportError(f"int8 is made by nncf: {INSTALL_HINT}") from None
        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(network, nncf.Dataset(images), subset_size=len(images))


@contextlib.contextmanager
def telemetry_off() -> Iterator[None]:
    """OpenVINO's converter and nncf tell their maker over the network of each use, except under these variables."""
    before = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
    os.environ.update(dict.fromkeys(before, "true"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images as uint8, which graphs of other runtimes take."""
    if images.dtype != np.uint8 and images.size and not (images.min() >= -0.5 and images.max() < 255.5):
        raise InputError(
            f"Images are levels of 0 to 255. Received: {images.min():.3g} to {images.max():.3g}; "
            "runtime='keras' takes what the model takes"
        )
    levels = images if images.dtype == np.uint8 else np.clip(np.rint(images), 0, 255).astype("uint8")
    return np.ascontiguousarray(levels)


def open_openvino(model: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
    """Of an OpenVINO model or a file that OpenVINO reads."""
    import openvino as ov

    core = ov.Core()
    network = core.read_model(model) if isinstance(model, str | os.PathLike) else model
    if shape:
        network.reshape((-1, *shape))
    hint = "bf16" if precision == "bfloat16" else "f32"
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"})
    return lambda images: compiled(to_uint8(images))[0]


def open_onnxruntime(model: Any, precision: str = "float32") -> RunFunction:
    """Of the path or the bytes of an ONNX model."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["scores"], {"images": to_uint8(images)})[0]


def open_litert(model: Any, precision: str = "float32") -> RunFunction:
    """Of the path or the bytes of a LiteRT model, for one batch size at a time."""
    from ai_edge_litert.interpreter import Interpreter

    key = "model_content" if isinstance(model, bytes) else "model_path"
    interpreter = Interpreter(**{key: model if isinstance(model, bytes) else str(model)}, num_threads=available_cores())
    image, scores = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    ready: list[tuple[int, ...]] = [()]

    def run(images: np.ndarray) -> np.ndarray:
        if ready[0] != images.shape:
            interpreter.resize_tensor_input(image, images.shape)
            interpreter.allocate_tensors()
            ready[0] = images.shape
        interpreter.set_tensor(image, to_uint8(images))
        interpreter.invoke()
        return interpreter.get_tensor(scores)

    return run

"""OpenVINO: the fastest runtime on processors; its export takes pixels of any size and resizes them inside.

An int8 export takes pixels of the network's own size.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.threads import limited_cores
from cnnzoo.runtimes.base import RunFunction, Runtime, to_uint8
from cnnzoo.runtimes.network import build_graph
from cnnzoo.runtimes.quantization import quantize_to_int8, telemetry_off
from cnnzoo.surgery.fold import fold

if TYPE_CHECKING:
    import keras


class OpenVINO(Runtime):
    """OpenVINO, also for ONNX exports."""

    name = "openvino"
    title = "OpenVINO"
    module = "openvino"
    writer_modules = ("openvino",)
    int8_modules = ("nncf",)
    format = "openvino"
    format_title = "OpenVINO"
    precisions = ("float32", "float16", "int8")
    readers = ("openvino",)
    resizes_inside = True
    model_file = "model.xml"
    files = ("model.bin", "model.xml")
    packages = "openvino numpy pillow"
    usage = """```python
import json
from pathlib import Path
import numpy as np
import openvino
{read_pixels}
model = openvino.Core().read_model("{name}/model.xml")
model.reshape(pixels.shape)
# Without the hint, some processors compute in bfloat16, which changes the probabilities.
compiled = openvino.compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
scores = compiled(pixels)[0][0]
classes = json.loads(Path("{name}/cnnzoo.json").read_text("utf-8"))["card"]["classes"]
print(classes[scores.argmax()], scores.max())
```"""

    def convert(
        self,
        model: keras.Model,
        *,
        any_size: bool = False,
        precision: str = "float32",
        images: np.ndarray | None = None,
    ) -> Any:
        """Return the `openvino.Model` of a Keras model."""
        ov = _import_openvino()
        graph = build_graph(fold(model), any_size).get_concrete_function()
        with telemetry_off(), _version_report_repaired():
            # Copy the weights: the folded model, which owns them, is deleted when this method returns.
            network = ov.convert_model(graph, share_weights=False)
        network.input(0).tensor.set_names({"images"})
        network.output(0).tensor.set_names({"scores"})
        if precision == "int8":
            assert images is not None
            network = quantize_to_int8(network, [image[None] for image in images])
        return network

    def open(self, source: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
        """Compile an `openvino.Model`, or a file that OpenVINO reads: model.xml or model.onnx."""
        ov = _import_openvino()
        core = ov.Core()
        network = core.read_model(source) if isinstance(source, str | os.PathLike) else source
        if shape:
            network.reshape((-1, *shape))
        hint = "bf16" if precision == "bfloat16" else "f32"
        options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if cores := limited_cores():  # OpenVINO knows no quota of a container, and would start a thread for each core
            options["INFERENCE_NUM_THREADS"] = str(cores)
        compiled = core.compile_model(network, "CPU", options)
        return lambda images: compiled(to_uint8(images))[0]

    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Write model.xml and model.bin; the class names are in its metadata `model_info/labels`."""
        ov = _import_openvino()
        network = self.convert(model, any_size=precision != "int8", precision=precision, images=images)
        labels = " ".join(name.replace(" ", "_") for name in cards.card(model).classes)
        network.set_rt_info(labels, ["model_info", "labels"])
        path.mkdir()
        ov.save_model(network, path / self.model_file, compress_to_fp16=precision == "float16")


def _import_openvino() -> Any:
    """Import OpenVINO, which otherwise reports every import over the network."""
    with telemetry_off():
        import openvino
    return openvino


@contextlib.contextmanager
def _version_report_repaired() -> Iterator[None]:
    """On Python 3.13 and newer, replace a function of OpenVINO's TensorFlow frontend that fails there.

    It imports TensorFlow by `exec` and deletes the name by another `exec`, which does not see it since PEP 667. The
    frontend needs only the version of TensorFlow from it.
    """
    if sys.version_info < (3, 13):
        yield
        return
    import tensorflow as tf
    from openvino.frontend.tensorflow import utils

    original = utils.get_environment_setup
    utils.get_environment_setup = lambda framework: {"tensorflow": tf.__version__}
    try:
        yield
    finally:
        utils.get_environment_setup = original

"""LiteRT (formerly TensorFlow Lite), for small devices; its exports take uint8 pixels of the network's own size."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.progress import show_progress
from cnnzoo.core.startup import without_start_messages
from cnnzoo.core.threads import available_cores
from cnnzoo.runtimes.base import RunFunction, Runtime, to_uint8
from cnnzoo.runtimes.network import build_graph
from cnnzoo.surgery.fold import fold

if TYPE_CHECKING:
    import keras


class LiteRT(Runtime):
    """LiteRT."""

    name = "litert"
    title = "LiteRT"
    module = "ai_edge_litert"
    writer_modules = ("ai_edge_litert",)
    format = "litert"
    format_title = "LiteRT"
    precisions = ("float32", "float16", "int8")
    readers = ("litert",)
    model_file = "model.tflite"
    files = ("model.tflite",)
    packages = "ai-edge-litert numpy pillow"
    usage = """```python
import json
from pathlib import Path
import numpy as np
from ai_edge_litert.interpreter import Interpreter
{read_pixels}
model = Interpreter("{name}/model.tflite")
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], pixels)
model.invoke()
scores = model.get_tensor(model.get_output_details()[0]["index"])[0]
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
    ) -> bytes:
        """Return the bytes of the LiteRT model of a Keras model; it always takes images of the model's own size."""
        import tensorflow as tf

        graph = build_graph(fold(model)).get_concrete_function()
        with _quiet_converter():
            # Convert the function alone. With the model, its variables would stay variables, which no interpreter
            # initializes.
            converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
            if precision != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision == "float16":
                converter.target_spec.supported_types = [tf.float16]
            if precision == "int8":
                assert images is not None
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.representative_dataset = lambda: _calibrate(images)
            content: bytes = converter.convert()
        return content

    def open(self, source: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
        """Open the bytes of a LiteRT model or a model.tflite."""
        from ai_edge_litert.interpreter import Interpreter

        model = {"model_content": source} if isinstance(source, bytes) else {"model_path": str(source)}
        interpreter = Interpreter(**model, num_threads=available_cores())
        image, scores = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        allocated_shape: tuple[int, ...] = ()

        def run(images: np.ndarray) -> np.ndarray:
            # An interpreter has memory for one batch size at a time.
            nonlocal allocated_shape
            if allocated_shape != images.shape:
                interpreter.resize_tensor_input(image, images.shape)
                with without_start_messages() if allocated_shape == () else contextlib.nullcontext():
                    interpreter.allocate_tensors()
                allocated_shape = images.shape
            interpreter.set_tensor(image, to_uint8(images))
            interpreter.invoke()
            probabilities: np.ndarray = interpreter.get_tensor(scores)
            return probabilities

        return run

    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Write model.tflite."""
        content = self.convert(model, precision=precision, images=images)
        path.mkdir()
        (path / self.model_file).write_bytes(content)


def _calibrate(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield the inputs of the network for each image, and show how far the calibration is."""
    with show_progress("Calibrating int8", len(images), "images") as progress:
        for image in progress.track(images):
            yield [image[None]]


@contextlib.contextmanager
def _quiet_converter() -> Iterator[None]:
    """Silence two pieces of advice that do not apply: to pass the model too, and to quantize the input."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")
            yield
    finally:
        absl.setLevel(level)

"""A LiteRT model: uint8 pixels of the network's own size in, probabilities out."""

import logging
import warnings
from pathlib import Path
from typing import Any

from cnnzoo.runtimes import choose
from cnnzoo.runtimes.network import build_graph

FILES = ("model.tflite",)


def convert_to_litert(model: Any, precision: str = "float32", images: Any = None) -> bytes:
    """The LiteRT model of a Keras model."""
    import tensorflow as tf

    function = build_graph(model).get_concrete_function()
    absl = logging.getLogger("absl")  # which would have the model passed too
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        # with the model itself, variables would stay variables, which no interpreter initialises
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: ([image[None]] for image in images)
        with warnings.catch_warnings():  # the input is pixels, which stay as they are
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")
            return converter.convert()
    finally:
        absl.setLevel(level)


def write(model: Any, path: Path, precision: str, images: Any) -> None:
    """Write model.tflite into the folder `path`; int8 is calibrated with `images` (N, H, W, C)."""
    path.mkdir()
    (path / FILES[0]).write_bytes(convert_to_litert(model, precision, images))


READERS = {"litert": lambda path, precision, shape: choose.open_litert(path / FILES[0], precision)}
USAGE = """```python
import json
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}")
image = image.resize(({width}, {height}))  # or as cnnzoo.json says: crop, pad
model = Interpreter("{name}/model.tflite")
model.allocate_tensors()
pixels = np.asarray(image, "uint8").reshape(1, {height}, {width}, {channels})
model.set_tensor(model.get_input_details()[0]["index"], pixels)
model.invoke()
scores = model.get_tensor(model.get_output_details()[0]["index"])[0]
print(json.load(open("{name}/cnnzoo.json"))["card"]["classes"][scores.argmax()], scores.max())
```"""

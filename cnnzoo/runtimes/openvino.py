"""An OpenVINO model: uint8 pixels of any size in, probabilities out, resized inside as the network was trained.

In int8 the pixels are of the network's own size.
"""

from pathlib import Path
from typing import Any

from cnnzoo import cards
from cnnzoo.runtimes import choose
from cnnzoo.runtimes.network import build_graph

FILES = ("model.bin", "model.xml")


def convert_to_openvino(model: Any, any_size: bool = False) -> Any:
    """The OpenVINO model of a Keras model."""
    import openvino as ov

    with choose.telemetry_off():
        made = ov.convert_model(build_graph(model, any_size).get_concrete_function())
    made.input(0).tensor.set_names({"images"})
    made.output(0).tensor.set_names({"scores"})
    return made


def write(model: Any, path: Path, precision: str, images: Any) -> None:
    """Write model.xml and model.bin into the folder `path`; int8 is calibrated with `images` (N, H, W, C)."""
    import openvino as ov

    made = convert_to_openvino(model, any_size=precision != "int8")
    if precision == "int8":
        made = choose.quantize_to_int8(made, [image[None] for image in images])
    made.set_rt_info(" ".join(name.replace(" ", "_") for name in cards.card(model).classes), ["model_info", "labels"])
    path.mkdir()
    ov.save_model(made, path / FILES[1], compress_to_fp16=precision == "float16")


def open_exported_openvino(path: Path, precision: str, shape: tuple[int, ...]) -> choose.RunFunction:
    """By OpenVINO itself, for images of the network's size."""
    return choose.open_openvino(path / FILES[1], precision, shape)


READERS = {"openvino": open_exported_openvino}
USAGE = """```python
import json
import numpy as np
import openvino
from PIL import Image, ImageOps

image = np.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}"), "uint8")
model = openvino.compile_model("{name}/model.xml")
scores = model(image.reshape(1, *image.shape[:2], {channels}))[0][0]
print(json.load(open("{name}/cnnzoo.json"))["card"]["classes"][scores.argmax()], scores.max())
```"""

"""An ONNX model: uint8 pixels of any size in, probabilities out, resized inside as the network was trained.

In int8 the pixels are of the network's own size.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.runtimes import choose
from cnnzoo.runtimes.network import build_graph

FILES = ("model.onnx",)
OPSET = 17


def convert_to_onnx(model: Any, any_size: bool = False) -> Any:
    """The ONNX model of a Keras model."""
    try:
        import onnx
        import tf2onnx
    except ImportError:
        raise ImportError(f"ONNX models are written with onnx and tf2onnx: {choose.INSTALL_HINT}") from None
    # the weights come in afterwards: as constants of the graph, those of a VGG take minutes and all memory
    function = build_graph(model, any_size, weights=True)
    made, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    _insert_weights(made, {f"weight_{i}": np.asarray(variable) for i, variable in enumerate(model.variables)})
    old = made.graph.output[0].name
    for node in made.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = "scores"
    made.graph.output[0].name = "scores"
    onnx.helper.set_model_props(made, {"classes": json.dumps(cards.card(model).classes)})
    onnx.checker.check_model(made)
    return made


def _insert_weights(made: Any, weights: dict[str, np.ndarray]) -> None:
    """Give a model its weights in the place of inputs, in the layout that its nodes make of them."""
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    known = weights | {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    inputs, nodes = [each for each in made.graph.input if each.name not in weights], []
    for node in made.graph.node:
        if node.input and all(name in known for name in node.input):
            values = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input})
            known |= dict(zip(node.output, values, strict=True))
        else:
            nodes.append(node)
    for field, values in (("input", inputs), ("node", nodes)):
        made.graph.ClearField(field)
        getattr(made.graph, field).extend(values)
    used = {name for node in nodes for name in _input_names(node)}
    made.graph.ClearField("initializer")
    made.graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in sorted(used & known.keys()))


def _input_names(node: Any) -> set[str]:
    """What a node takes, and the nodes of its branches."""
    branches = (inner for attribute in node.attribute for inner in attribute.g.node)
    return set(node.input).union(*map(_input_names, branches))


def write(model: Any, path: Path, precision: str, images: Any) -> None:
    """Write model.onnx into the folder `path`; int8 is calibrated with `images` (N, H, W, C)."""
    path.mkdir()
    made = convert_to_onnx(model, any_size=precision != "int8")
    if precision == "int8":
        made = choose.quantize_to_int8(made, [{"images": image[None]} for image in images])
    (path / FILES[0]).write_bytes(made.SerializeToString())


READERS = {
    "openvino": lambda path, precision, shape: choose.open_openvino(path / FILES[0], precision, shape),
    "onnxruntime": lambda path, precision, shape: choose.open_onnxruntime(path / FILES[0], precision),
}
USAGE = """```python
import json
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

image = np.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}"), "uint8")
session = onnxruntime.InferenceSession("{name}/model.onnx")
(scores,) = session.run(None, {{"images": image.reshape(1, *image.shape[:2], {channels})}})
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print(classes[scores[0].argmax()], scores[0].max())
```"""

"""ONNX Runtime, and ONNX exports that take pixels of any size and resize them inside.

An int8 export takes pixels of the network's own size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.extras import install_command
from cnnzoo.core.threads import available_cores
from cnnzoo.runtimes.base import RunFunction, Runtime, to_uint8
from cnnzoo.runtimes.network import build_graph, check_tensorflow_backend
from cnnzoo.runtimes.quantization import quantize_to_int8
from cnnzoo.surgery.fold import fold

if TYPE_CHECKING:
    import keras

OPSET = 17


class ONNXRuntime(Runtime):
    """ONNX Runtime; its exports also run on OpenVINO."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    module = "onnxruntime"
    writer_modules = ("onnx", "tf2onnx")
    int8_modules = ("nncf",)
    format = "onnx"
    format_title = "ONNX"
    precisions = ("float32", "int8")
    readers = ("openvino", "onnxruntime")
    resizes_inside = True
    model_file = "model.onnx"
    files = ("model.onnx",)
    packages = "onnxruntime numpy pillow"
    usage = """```python
import json
import numpy as np
import onnxruntime
{read_pixels}
session = onnxruntime.InferenceSession("{name}/model.onnx", providers=["CPUExecutionProvider"])
scores = session.run(None, {{"images": pixels}})[0][0]
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
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
        """Return the `onnx.ModelProto` of a Keras model; its metadata `classes` holds the class names as JSON."""
        check_tensorflow_backend()
        try:
            import onnx
            import tf2onnx
        except ImportError as error:
            raise ImportError(explain_missing_module(error)) from None

        # Convert with the weights as inputs and insert them afterwards. As constants of the graph, the weights of a
        # VGG would take minutes and all memory.
        folded = fold(model)
        graph = build_graph(folded, any_size, weights=True)
        network, _ = tf2onnx.convert.from_function(graph, input_signature=graph.input_signature, opset=OPSET)
        _insert_weights(network, {f"weight_{i}": np.asarray(value) for i, value in enumerate(folded.variables)})

        _rename_output(network, "scores")
        onnx.helper.set_model_props(network, {"classes": json.dumps(cards.card(model).classes)})
        onnx.checker.check_model(network)
        if precision == "int8":
            assert images is not None
            network = quantize_to_int8(network, [{"images": image[None]} for image in images])
        return network

    def open(self, source: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
        """Open an `onnx.ModelProto` or a model.onnx."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.log_severity_level = 3
        network = source if isinstance(source, str | os.PathLike) else source.SerializeToString()
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(["scores"], {"images": to_uint8(images)})[0]

    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Write model.onnx."""
        network = self.convert(model, any_size=precision != "int8", precision=precision, images=images)
        path.mkdir()
        (path / self.model_file).write_bytes(network.SerializeToString())


def explain_missing_module(error: ImportError) -> str:
    """Return what to install. tf2onnx imports TensorFlow, which is missing where Keras runs on another backend."""
    name = (error.name or "").partition(".")[0]
    if name not in ("", "onnx", "tf2onnx"):
        return f"Writing ONNX models requires {name}, which tf2onnx imports: {error}"
    return f"Writing ONNX models requires onnx and tf2onnx: {install_command('export')}"


def _rename_output(network: Any, name: str) -> None:
    """Rename the only output of an ONNX model, wherever a node uses it."""
    old_name = network.graph.output[0].name
    for node in network.graph.node:
        for names in (node.input, node.output):
            for i, used_name in enumerate(names):
                if used_name == old_name:
                    names[i] = name
    network.graph.output[0].name = name


def _insert_weights(network: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Replace the inputs named in `weights` by constants.

    Nodes that only depend on constants, such as the transposition of a kernel, are computed once and removed.
    """
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    # Split the nodes into those that can be computed now and those that depend on the images.
    constants = dict(weights) | {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    inputs = [tensor for tensor in network.graph.input if tensor.name not in weights]
    nodes = []
    for node in network.graph.node:
        if node.input and all(name in constants for name in node.input):
            values = ReferenceEvaluator(node).run(None, {name: constants[name] for name in node.input})
            constants |= dict(zip(node.output, values, strict=True))
        else:
            nodes.append(node)

    # Write the rest back, with the constants that it still needs.
    for field, values in (("input", inputs), ("node", nodes)):
        network.graph.ClearField(field)
        getattr(network.graph, field).extend(values)
    used_names = {name for node in nodes for name in _input_names(node)}
    network.graph.ClearField("initializer")
    network.graph.initializer.extend(
        numpy_helper.from_array(constants[name], name) for name in sorted(used_names & constants.keys())
    )


def _input_names(node: Any) -> set[str]:
    """Return the names of a node's inputs, including those of the nodes in its branches."""
    branches = (inner for attribute in node.attribute for inner in attribute.g.node)
    return set(node.input).union(*map(_input_names, branches))

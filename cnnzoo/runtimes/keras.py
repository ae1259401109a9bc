"""A Keras model for each runtime, converted in memory."""

from typing import Any

import numpy as np

from cnnzoo.core.lazy import Lazy
from cnnzoo.runtimes import choose, litert, onnx, openvino
from cnnzoo.runtimes.choose import RunFunction
from cnnzoo.runtimes.network import build_network
from cnnzoo.surgery.fold import fold

keras = Lazy("keras")


def model_openers() -> dict[str, Any]:
    """How each runtime opens a Keras model, the fastest first; on other backends than TensorFlow only Keras' own."""
    return {"keras": open_keras} if keras.backend.backend() != "tensorflow" else MODEL_OPENERS


def open_keras(model: Any, precision: str) -> RunFunction:
    """Keras itself: one graph on TensorFlow, and what Keras compiles on other backends."""
    run = build_network(model)
    if keras.backend.backend() != "tensorflow":
        whole = keras.Model(model.inputs[0], run(model.inputs[0]))
        return lambda images: np.asarray(whole.predict_on_batch(images.astype("float32", copy=False)))
    import tensorflow as tf

    shape = (None, *model.input_shape[1:])
    by_kind = {k: tf.function(run, input_signature=[tf.TensorSpec(shape, k)]) for k in ("uint8", "float32")}

    def call(images: np.ndarray) -> np.ndarray:
        kind = "uint8" if images.dtype == np.uint8 else "float32"
        return by_kind[kind](images.astype(kind, copy=False)).numpy()

    return call


MODEL_OPENERS = {
    "openvino": lambda model, precision: choose.open_openvino(openvino.convert_to_openvino(fold(model)), precision),
    "onnxruntime": lambda model, precision: choose.open_onnxruntime(
        onnx.convert_to_onnx(fold(model)).SerializeToString()
    ),
    "litert": lambda model, precision: choose.open_litert(litert.convert_to_litert(fold(model))),
    "keras": open_keras,
}

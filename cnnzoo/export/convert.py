"""A Keras model for each runtime, converted in memory."""

from typing import Any

import numpy as np

from cnnzoo.export import litert, onnx, openvino, runtimes
from cnnzoo.export.fold import fold
from cnnzoo.export.network import scores
from cnnzoo.export.runtimes import Run
from cnnzoo.lazy import Lazy

keras = Lazy("keras")


def readers() -> dict[str, Any]:
    """How each runtime opens a Keras model, the fastest first; on other backends than TensorFlow only Keras' own."""
    return {"keras": of_keras} if keras.backend.backend() != "tensorflow" else READERS


def of_keras(model: Any, precision: str) -> Run:
    """Keras itself: one graph on TensorFlow, and what Keras compiles on other backends."""
    run = scores(model)
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


READERS = {
    "openvino": lambda model, precision: runtimes.openvino(openvino.converted(fold(model)), precision),
    "onnxruntime": lambda model, precision: runtimes.onnxruntime(onnx.proto(fold(model)).SerializeToString()),
    "litert": lambda model, precision: runtimes.litert(litert.content(fold(model))),
    "keras": of_keras,
}

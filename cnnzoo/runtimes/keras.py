"""Keras itself, on any backend; its export is a TensorFlow SavedModel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.lazy import Lazy
from cnnzoo.runtimes import saved_model
from cnnzoo.runtimes.base import RunFunction, Runtime
from cnnzoo.runtimes.network import make_probability_function
from cnnzoo.surgery.fold import fold

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")


class Keras(Runtime):
    """Keras for models, TensorFlow for SavedModels."""

    name = "keras"
    title = "Keras"
    module = "keras"
    format = "saved_model"
    format_title = "SavedModel"
    readers = ("keras",)
    files = ("assets", "fingerprint.pb", "saved_model.pb", "variables")
    packages = "tensorflow"
    usage = saved_model.USAGE

    def convert(
        self,
        model: keras.Model,
        *,
        any_size: bool = False,
        precision: str = "float32",
        images: np.ndarray | None = None,
    ) -> keras.Model:
        """Return the model unchanged."""
        return model

    def open(self, source: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
        """Open a Keras model or the folder of a SavedModel."""
        if isinstance(source, str | os.PathLike):
            return saved_model.open_saved_model(source)
        if keras.backend.backend() == "tensorflow":
            return _compile_for_tensorflow(source)
        network = make_probability_function(source)
        compiled = keras.Model(source.inputs[0], network(source.inputs[0]))
        return lambda images: np.asarray(compiled.predict_on_batch(images.astype("float32", copy=False)))

    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Write a SavedModel with its signatures; see `saved_model.write_saved_model`."""
        saved_model.write_saved_model(fold(model), path)


def _compile_for_tensorflow(model: keras.Model) -> RunFunction:
    """Return a function over one TensorFlow graph per input type, uint8 and float32."""
    import tensorflow as tf

    network = make_probability_function(model)
    shape = (None, *model.input_shape[1:])
    graphs = {
        dtype: tf.function(network, input_signature=[tf.TensorSpec(shape, dtype)]) for dtype in ("uint8", "float32")
    }

    def run(images: np.ndarray) -> np.ndarray:
        dtype = "uint8" if images.dtype == np.uint8 else "float32"
        probabilities: np.ndarray = graphs[dtype](images.astype(dtype, copy=False)).numpy()
        return probabilities

    return run

"""Keras itself, on any backend; its export is a TensorFlow SavedModel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.data.decode import FILE_CHANNELS
from cnnzoo.runtimes import saved_model
from cnnzoo.runtimes.base import RunFunction, Runtime
from cnnzoo.runtimes.model_program import ModelProgram
from cnnzoo.surgery.fold import fold

if TYPE_CHECKING:
    import keras


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

    def describe_usage(self, channels: int) -> str:
        """Return `usage`, or how to pass an array if no image file has so many channels."""
        return self.usage if channels in FILE_CHANNELS else saved_model.USAGE_OF_ARRAYS

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
        """Open a Keras model, also in mixed precision, or the folder of a SavedModel."""
        if isinstance(source, str | os.PathLike):
            return saved_model.open_saved_model(source)
        return ModelProgram(source, precision)

    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Write a SavedModel with its signatures; see `saved_model.write_saved_model`."""
        saved_model.write_saved_model(fold(model), path)

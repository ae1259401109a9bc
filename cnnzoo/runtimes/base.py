"""The interface that all runtimes share: convert a Keras model, open it for inference, save it as an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.extras import install_command

if TYPE_CHECKING:
    import keras

RunFunction = Callable[[np.ndarray], np.ndarray]  # images (N, H, W, C) to probabilities (N, classes)


class Runtime(ABC):
    """A runtime together with the export format that it writes.

    Attributes:
        name: name of the runtime, as in `cnnzoo.load(runtime=...)`.
        title: its name in sentences.
        module: Python module that has to be installed.
        writer_modules: Python modules that have to be installed to write the format, beside TensorFlow.
        int8_modules: more of them for int8.
        format: name of the export format, as in `cnnzoo.export(format=...)`.
        format_title: its name in sentences.
        precisions: precisions that the export format offers.
        readers: names of the runtimes that open the export format, fastest first.
        resizes_inside: whether the exported graph takes images of any size and pads them, except in int8.
        model_file: the file in an export folder that a runtime opens; empty for the folder itself.
        files: names of all files and folders that `save` writes.
        packages: what `pip install` needs to run the code in `usage`.
        usage: Markdown that shows how to use an export without cnnzoo; a `str.format` template with the fields `name`,
            `shell_name` and `url_name` of the folder, and `read_pixels`, the code that reads an image to `pixels`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    module: ClassVar[str]
    writer_modules: ClassVar[tuple[str, ...]] = ()
    int8_modules: ClassVar[tuple[str, ...]] = ()
    format: ClassVar[str]
    format_title: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    readers: ClassVar[tuple[str, ...]]
    resizes_inside: ClassVar[bool] = False
    model_file: ClassVar[str] = ""
    files: ClassVar[tuple[str, ...]]
    packages: ClassVar[str]
    usage: ClassVar[str]

    def list_readers(self, precision: str) -> tuple[str, ...]:
        """Return the names of the runtimes that open an export in `precision`, the preferred one first.

        Each runtime rounds int8 in its own way, so the format's own is preferred, which is the one that was checked.
        """
        if precision != "int8":
            return self.readers
        return self.name, *(name for name in self.readers if name != self.name)

    def check_writer(self, precision: str) -> None:
        """Check that what writes the format is installed, without importing it.

        Raises:
            ImportError: if a package is missing.
        """
        needed = (*self.writer_modules, *(self.int8_modules if precision == "int8" else ()))
        if missing := [module for module in needed if find_spec(module) is None]:
            what = f"{self.format_title} in int8" if {*missing} <= {*self.int8_modules} else self.format_title
            raise ImportError(f"Writing {what} requires {' and '.join(missing)}: {install_command('export')}")

    def describe_usage(self, channels: int) -> str:
        """Return `usage` for a network of so many channels."""
        return self.usage

    @abstractmethod
    def convert(
        self,
        model: keras.Model,
        *,
        any_size: bool = False,
        precision: str = "float32",
        images: np.ndarray | None = None,
    ) -> Any:
        """Convert a Keras model to the network that `open` takes.

        Args:
            model: a classifier with one image input of a fixed size.
            any_size: whether the network takes images of any size and resizes them inside.
            precision: "int8" (and for LiteRT "float16") changes the weights; others are up to `open` and `save`.
            images: uint8 images (N, H, W, C) to calibrate int8 with.
        """

    @abstractmethod
    def open(self, source: Any, precision: str = "float32", shape: tuple[int, ...] | None = None) -> RunFunction:
        """Open a network for inference.

        Args:
            source: the result of `convert`, or the path of the `model_file` of an export.
            precision: "bfloat16" (OpenVINO and Keras) and "float16" (Keras) compute a float32 network in 16 bits;
                otherwise the network decides.
            shape: fix the input to (height, width, channels), for a network that takes any size.
        """

    @abstractmethod
    def save(self, model: keras.Model, path: Path, precision: str, images: np.ndarray | None) -> None:
        """Convert a Keras model and write it to the new folder `path`; int8 is calibrated with `images`."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round images to uint8, the input type of all converted graphs.

    Raises:
        InputError: if values are outside 0 to 255.
    """
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.size and not (images.min() >= -0.5 and images.max() < 255.5):
        raise InputError(
            f"Images must have pixel values from 0 to 255. Received: {images.min():.3g} to {images.max():.3g}; "
            "runtime='keras' accepts whatever the model accepts"
        )
    return np.ascontiguousarray(np.clip(np.rint(images), 0, 255).astype("uint8"))

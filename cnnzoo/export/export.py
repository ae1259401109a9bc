"""The public `export`: write a model to a folder that runs without cnnzoo, after comparing the two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path
from cnnzoo.data.images import ImageData
from cnnzoo.export.check import compare_outputs, sample_inputs
from cnnzoo.export.model_card import render_model_card
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.exported import MODEL_CARD_FILE, ExportInfo, is_export, read_export, write_export_info
from cnnzoo.inference.load import load
from cnnzoo.runtimes.base import Runtime
from cnnzoo.runtimes.choose import FORMATS

if TYPE_CHECKING:
    import keras


class Export(NamedTuple):
    """A finished export.

    Attributes:
        path: the folder.
        format: name of the export format.
        difference: largest difference between a probability of the export and of the model.
        accuracy: accuracy of the export on the validation images; None if `data` was not given.
        before: accuracy of the model on the same images.
    """

    path: Path
    format: str
    difference: float
    accuracy: float | None = None
    before: float | None = None


def export(
    model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str = "saved_model",
    *,
    precision: str = "float32",
    data: ImageData | None = None,
    max_drop: float = 0.01,
    overwrite: bool = False,
    allow_failed: bool = False,
) -> Export:
    """Export `model` to the folder `path`, which then runs without Keras and cnnzoo.

    Before the folder gets its name, it is opened in its own runtime and compared with the model: on photographs that
    come with scikit-learn, and on the images of `data`.

    Args:
        model: a Keras classifier, or the path of a run or of a .keras file.
        path: a folder that does not exist yet, or an earlier export with `overwrite`.
        format: "saved_model" (takes image files or pixels of any size), "onnx" or "openvino" (pixels of any size), or
            "litert" (pixels of the model's size). All return class names and probabilities.
        precision: "float32"; "float16" halves the file (LiteRT, OpenVINO); "int8" is faster and requires `data`.
        data: its training images calibrate int8, and its validation images measure the loss of accuracy. Its classes
            may be some of the model's.
        max_drop: largest accepted loss of validation accuracy, from 0 to 1.
        overwrite: replace an earlier export once the new one is complete.
        allow_failed: export the weights that a run has saved when it failed; see `cnnzoo.load`.

    Returns:
        The path of the export, and how far its outputs are from the model's.

    Raises:
        InputError: for an unknown format, a path that exists, a model that is no classifier, or an export that does
            not reproduce the model's probabilities or loses too much accuracy. Nothing is written then.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> exported = cnnzoo.export(model, "exported")
        >>> exported.difference < 1e-3
        True
        >>> image = cnnzoo.load_data("digits").test.images[:1]
        >>> cnnzoo.load("exported").predict(image)[0].label
        '4'
    """
    # Check the arguments.
    if not isinstance(data, ImageData | None):
        raise InputError(f"data must be what cnnzoo.load_data returns. Received: {data!r:.100}")
    if not 0 <= max_drop <= 1:
        raise InputError(f"max_drop must be a share of accuracy from 0 to 1. Received: {max_drop}")
    path, is_model = check_path(path, "the folder of the export"), hasattr(model, "layers")
    runtime = check_request(format, precision, path, overwrite, data is not None)

    # Open the model, and prepare the images to compare with.
    if not is_model and read_export(check_path(model, "the model")):
        raise InputError(f"An export cannot be exported again. Received: {str(model)!r}")
    original = Classifier.of(model, "keras") if is_model else load(model, "keras", allow_failed=allow_failed)
    inputs = sample_inputs(original, data)

    # Write the export, compare it, and describe it; it appears at `path` only if all of this succeeds.
    with atomic_write(path) as new_path:
        runtime.save(original.model, new_path, precision, inputs.calibration)
        info = ExportInfo(original.card, format, precision, original.shape)
        write_export_info(new_path, info)
        comparison = compare_outputs(original, load(new_path), inputs, precision, max_drop)
        text = render_model_card(path.name, info, comparison, model, runtime.usage)
        (new_path / MODEL_CARD_FILE).write_text(text, encoding="utf-8")
    return Export(path, format, *comparison)


def check_request(format: str, precision: str, path: Path, overwrite: bool, has_data: bool) -> Runtime:
    """Check what can be checked before anything slow.

    Returns:
        The runtime that writes the format.

    Raises:
        InputError: if format and precision do not go together, int8 lacks data, or the path exists.
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise unknown_name("format", str(format), FORMATS)
    runtime = FORMATS[format]
    if precision not in runtime.precisions:
        raise unknown_name(f"precision of {format}", precision, runtime.precisions)
    if precision == "int8" and not has_data:
        raise InputError("int8 requires data (--data): images to calibrate with, and to measure the loss of accuracy")
    if (path.exists() or path.is_symlink()) and not (overwrite and is_export(path)):
        remedy = (
            "choose another path" if overwrite else "overwrite=True (--overwrite) replaces an export and nothing else"
        )
        raise InputError(f"{path} already exists; {remedy}")
    return runtime

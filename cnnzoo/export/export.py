"""The public `export`: write a model to a folder that runs without cnnzoo, after comparing the two."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_milliseconds
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.images import ImageData
from cnnzoo.data.training_images import find_training_images, write_training_images
from cnnzoo.evaluation.evaluations import find_run_folder
from cnnzoo.export.check import Comparison, compare_outputs, sample_inputs
from cnnzoo.export.model_card import render_model_card
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.exported import MODEL_CARD_FILE, OWN_FILES, ExportInfo, is_export, read_export, write_export_info
from cnnzoo.inference.load import load
from cnnzoo.runtimes.base import Runtime
from cnnzoo.runtimes.choose import FORMATS, choose_runtime, prefer_own_runtime

if TYPE_CHECKING:
    import keras


class Export(NamedTuple):
    """A finished export; `print` shows what it is and how well it agrees with its model.

    Attributes:
        path: the folder.
        format: name of the export format.
        difference: largest difference between a probability of the export and of the model.
        accuracy: accuracy of the export on the validation images; None if `data` was not given.
        before: accuracy of the model on the same images.
        transform: how the export brings images to the size of the network, in words.
        precision: precision of the export.
        size: bytes of the files that the network consists of.
        comparison: the comparison with the model: numbers of images, equal classes, the time of one image.
    """

    path: Path
    format: str
    difference: float
    accuracy: float | None = None
    before: float | None = None
    transform: str = ""
    precision: str = "float32"
    size: int = 0
    comparison: Comparison | None = None

    def __str__(self) -> str:
        size = f"{self.size / 1e6:.1f} MB" if self.size >= 1e5 else f"{self.size / 1e3:.1f} kB"
        lines = [f"Wrote {self.path} ({self.format}, {self.precision}, {size})", f"Images are {self.transform}"]
        if self.comparison is not None:
            lines += [self.comparison.describe_agreement(), self.comparison.describe_accuracy()]
            duration = format_milliseconds(self.comparison.milliseconds)
            lines.append(f"One image takes about {duration} here, without reading the file")
        return "\n".join(filter(None, lines))


@check_arguments()
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
    classes: Sequence[str] | None = None,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    levels: float | Sequence[float] | None = None,
    verbose: bool = True,
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
        classes: the names of the classes, in the order of the model's outputs. By default those of its card.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is what the model's card says; a model without a
            card gets the whole image, as Keras' own loaders resize it.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3"; "auto" is what the card says.
        pad: black pixels around the resized image. By default what the card says.
        levels: the levels of images of more than 8 bits that become black and white, as in `load_data`. By default what
            the card says.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        The path of the export, how far its outputs are from the model's, and how it resizes images; `print` shows it
        in sentences. `cnnzoo.evaluate(path, data)` measures the export on a test split.

    Raises:
        InputError: for an unknown format, a path that exists, a model that is no classifier, or an export that does
            not reproduce the model's probabilities or loses too much accuracy. Nothing is written then.
        ImportError: if a package that writes the format is not installed; told before the model is loaded.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> exported = cnnzoo.export(model, "exported", "litert")
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
    path, is_model = check_path(path, "the folder of the export"), not isinstance(model, str | bytes | os.PathLike)
    runtime = check_request(format, precision, path, overwrite, data is not None)

    # Open the model, and prepare the images to compare with.
    if not is_model and read_export(check_path(model, "the model")):
        raise InputError(f"An export cannot be exported again. Received: {str(model)!r}")
    options: dict[str, Any] = {
        "classes": classes,
        "crop": crop,
        "interpolation": interpolation,
        "pad": pad,
        "levels": levels,
    }
    with show_progress("Preparing the export", verbose=verbose):
        if is_model:
            original = Classifier.of(model, "keras", **options)
        else:
            original = load(model, "keras", allow_failed=allow_failed, **options)
        inputs = sample_inputs(original, data)
        if data is not None:
            _warn_of_training_images(original, data)

    # Write the export, compare it, and describe it; it appears at `path` only if all of this succeeds.
    with atomic_write(path) as new_path:
        with show_progress(f"Converting to {format}", verbose=verbose):
            runtime.save(original.model, new_path, precision, inputs.calibration)
        # The export says how it resizes images, also where the card leaves that to the default.
        card = replace(original.card, transform=original.card.evaluation_transform)
        run = "" if is_model else find_relative_run(check_path(model, "the model"), path)
        info = ExportInfo(card, format, precision, original.shape, run=run)
        write_export_info(new_path, info)
        # So that evaluating the export on images that the model was trained on is noticed.
        if (digests := find_training_images(original.card)) is not None:
            write_training_images(new_path, digests)
        exported = load(new_path, prefer_own_runtime(format))
        comparison = compare_outputs(original, exported, inputs, precision, max_drop, verbose)
        text = render_model_card(path.name, info, comparison, model, runtime.describe_usage(original.shape[2]))
        (new_path / MODEL_CARD_FILE).write_text(text, encoding="utf-8")
    return Export(
        path,
        format,
        comparison.difference,
        comparison.accuracy,
        comparison.before,
        transform=original.transform.describe(),
        precision=precision,
        size=sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name not in OWN_FILES),
        comparison=comparison,
    )


def find_relative_run(model: Path, path: Path) -> str:
    """Return the path of the run of a model relative to the folder of its export, by which its evaluations are counted.

    It is "" without a run, and unless both are below the working directory: exports are given away, and other paths
    tell about the machine.
    """
    run, root = find_run_folder(model), Path.cwd().resolve()
    if run is None or not all(each.resolve().is_relative_to(root) for each in (run, path)):
        return ""
    return Path(os.path.relpath(run.resolve(), path.resolve())).as_posix()


def _warn_of_training_images(original: Classifier, data: ImageData) -> None:
    """Warn if the model was trained on some of the validation images, on which the export is measured."""
    digests = find_training_images(original.card)
    if digests is None:
        return
    images = len(data.validation)
    if count := int(np.isin(data.validation.image_digests(), digests).sum()):
        warn_caller(
            f"{count:,} of the {images:,} validation images are training images of {original.card.name}, so its "
            "accuracy here is too good. Divide the data as in its training: load_data(..., splits=..., seed=...) "
            "(--splits, --seed)"
        )


def check_request(format: str, precision: str, path: Path, overwrite: bool, has_data: bool) -> Runtime:
    """Check what can be checked before anything slow.

    Returns:
        The runtime that writes the format.

    Raises:
        InputError: if format and precision do not go together, int8 lacks data, or the path exists.
        ImportError: if a package that writes or opens the format is not installed.
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise unknown_name("format", str(format), FORMATS)
    runtime = FORMATS[format]
    others = [other for other, kind in FORMATS.items() if precision in kind.precisions]
    if precision not in runtime.precisions and others:
        raise InputError(
            f"The format {format} has no precision {precision}; {' and '.join(others)} have it: "
            f"format={others[0]!r} (--format {others[0]}). Precisions of {format}: {', '.join(runtime.precisions)}"
        )
    if precision not in runtime.precisions:
        raise unknown_name(f"precision of {format}", precision, runtime.precisions)
    runtime.check_writer(precision)
    choose_runtime(prefer_own_runtime(format), None, runtime.list_readers(precision), precision)  # to compare with
    if precision == "int8" and not has_data:
        raise InputError("int8 requires data (--data): images to calibrate with, and to measure the loss of accuracy")
    if (path.exists() or path.is_symlink()) and not (overwrite and is_export(path)):
        remedy = (
            "choose another path" if overwrite else "overwrite=True (--overwrite) replaces an export and nothing else"
        )
        raise InputError(f"{path} already exists; {remedy}")
    return runtime

"""The public `load`: a classifier from a run directory, a .keras file or an export."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo import cards
from cnnzoo.core.archives import check_keras_archive
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.forks import check_not_forked
from cnnzoo.core.json_files import checksum
from cnnzoo.core.paths import check_path, nearest_path, path_exists, resolve_path
from cnnzoo.core.progress import show_progress
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.training_images import TRAINING_IMAGES_FILE, remember_training_images
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.exported import EXPORT_FILE, ExportInfo, check_export_files, open_export, read_export
from cnnzoo.inference.runs import MODEL_FILE, RECORD_FILE, check_failed_model, find_run_model
from cnnzoo.runtimes.choose import FORMATS, choose_runtime

if TYPE_CHECKING:
    import keras


@check_arguments()
def load(
    path: str | os.PathLike[str],
    runtime: str = "auto",
    precision: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    levels: float | Sequence[float] | None = None,
    allow_failed: bool = False,
) -> Classifier:
    """Load the classifier in a run directory, a .keras file or an export.

    Models of cnnzoo carry their class names and their transform with them. Any other Keras model gets numbers for
    names, and the whole of each image, resized to its input size, as Keras' own loaders do; a message says so.

    Args:
        path: the directory of a finished run, a .keras file, or the folder of an export.
        runtime: "keras" (which is TensorFlow for a SavedModel), "openvino", "onnxruntime" or "litert". "auto" takes
            the fastest that is installed and can open the file: on an accelerator Keras, the only one that uses it.
        precision: "float32", "bfloat16" (OpenVINO, on processors that support it, and Keras for models), "float16"
            (Keras for models), or "int8" for an export in int8. By default that of the export, and float32 for models.
        classes: the names of the classes, in the order of the model's outputs. By default those of its card.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is what the model's card says.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3"; "auto" is what the card says.
        pad: black pixels around the resized image. By default what the card says.
        levels: the levels of images of more than 8 bits that become black and white, as in `load_data`. By default what
            the card says.
        allow_failed: use the weights that a run has saved when it failed, which may be those of its start.

    Returns:
        A classifier; its Keras model, if there is one, is the attribute `model`.

    Raises:
        InputError: if there is nothing to load at `path`, it is damaged, its run failed, or the runtime cannot run it.
        ImportError: if the runtime is not installed.

    Example:
        >>> path = cnnzoo.save(cnnzoo.get("lenet5", weights="digits"), "digits.keras")
        >>> classifier = cnnzoo.load(path, runtime="keras")
        >>> classifier
        <Classifier lenet5: 32x32x1 to 10 classes, keras float32>
        >>> image = cnnzoo.load_data("digits").test.images[:1]
        >>> classifier.predict(image)[0].label
        '4'
    """
    path = check_path(path, "the model")
    changes: dict[str, Any] = {
        "classes": classes,
        "crop": crop,
        "interpolation": interpolation,
        "pad": pad,
        "levels": levels,
    }
    if info := read_export(path):
        check_export_files(path, info)
        return _load_export(path, info, runtime, precision, changes)
    file = path / MODEL_FILE if path.is_dir() else path
    if (path / RECORD_FILE).exists():
        file = find_run_model(path, allow_failed)
    if file.suffix != ".keras" or not file.exists():
        if (path.parent / EXPORT_FILE).exists():
            raise InputError(f"{str(path)!r} is a file of an export; give its folder: {path.parent}")
        near = "" if path_exists(path) else nearest_path(path)
        hint = f". Did you mean {near}?" if near else ". cnnzoo.get builds a network by its name"
        raise InputError(
            f"The model must be a run directory, a .keras file or an export; there is none at {str(path)!r}{hint}"
        )
    model = load_keras_file(file)
    if not path.is_dir():
        check_failed_model(file, cards.card(model).training, allow_failed)
    reopen = _reopen(path, runtime, precision, changes | {"allow_failed": allow_failed})
    return Classifier.of(model, runtime, precision, reopen=reopen, **changes)


def _load_export(
    path: Path, info: ExportInfo, runtime: str, precision: str | None, changes: Mapping[str, Any]
) -> Classifier:
    """Return the classifier of an export, which is opened when it is first used."""
    if changes["pad"] not in (None, info.card.pad):
        raise InputError(
            f"The export {str(path)!r} adds its border of {info.card.pad} pixels itself. "
            f"Received: pad={changes['pad']}. Export the model again: cnnzoo.export(..., pad=...)"
        )
    choice = choose_runtime(runtime, precision, FORMATS[info.format].list_readers(info.precision), info.precision)
    written = (path / EXPORT_FILE).stat()
    if (digests := path / TRAINING_IMAGES_FILE).exists():
        remember_training_images(info.card, digests)
    return Classifier(
        cards.change_card(info.card, **changes),
        info.shape,
        partial(open_export, path, info, choice),
        choice.runtime.name,
        choice.precision,
        reopen=_reopen(path, runtime, precision, changes),
        identity=f"{resolve_path(path)}, {written.st_mtime_ns}, {written.st_size}",
        format=info.format,
        content=checksum(info.files),
    )


def _reopen(path: Path, runtime: str, precision: str | None, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return how a process that gets a pickled classifier loads it again."""
    return partial(load, **options), str(resolve_path(path)), runtime, precision


def load_keras_file(file: Path) -> keras.Model:
    """Return the Keras model of a .keras file, with the card in the file beside it.

    Raises:
        InputError: if the file cannot be loaded, or its layers would run code from the file.
    """
    check_not_forked()
    import keras

    import cnnzoo.layers  # noqa: F401  # registers the layers that the file may name

    try:
        check_keras_archive(file)
        with show_progress(f"Loading {file.name}"):
            model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras may raise anything for a broken archive, configuration or layer
        raise InputError(f"Cannot load {str(file)!r}: {error!s:.2000}") from None
    if hasattr(model, "inputs"):  # otherwise `load` says that it has no graph
        try:
            cards.card(model)
        except InputError as error:
            raise InputError(f"Cannot load {str(file)!r}: {error}") from None
    _attach_card_beside(model, cards.card_path(file))
    if (digests := file.with_name(TRAINING_IMAGES_FILE)).exists() and cards.has_card(model):
        remember_training_images(cards.card(model), digests)
    return model


def _attach_card_beside(model: keras.Model, card_file: Path) -> None:
    """Give a model without a card the one in the file beside it, as versions before 0.8 wrote it."""
    if not card_file.exists() or not hasattr(model, "inputs"):
        return
    if not cards.has_card(model):
        cards.attach_card(model, cards.Card.from_file(card_file))
        return
    with contextlib.suppress(InputError):
        if cards.Card.from_file(card_file) == cards.card(model):
            return
    warn_caller(
        f"{card_file} says something else than the card inside the model, and is not used. To change names or "
        "transform, pass classes=, crop=, interpolation= or pad= to cnnzoo.load",
    )

"""Evaluate a model on one split of a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.arguments import OF_DATA, check_arguments
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.progress import show_progress
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.data.training_images import CARD_KEY, TRAINING_IMAGES_FILE, find_training_images
from cnnzoo.evaluation.calibration import apply_temperature, fit_temperature
from cnnzoo.evaluation.class_matching import use_classes_of_model
from cnnzoo.evaluation.classifiers import describe_classifier, name_classifier, predict_with_classifier
from cnnzoo.evaluation.compatibility import (
    bind_to_classifier,
    bind_to_model,
    check_image_data,
    check_not_empty,
    check_output_matches,
    match_class_names,
)
from cnnzoo.evaluation.report import Report
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.load import load
from cnnzoo.surgery.outputs import as_functional, predict_probabilities

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH_SIZE = 256


@check_arguments(OF_DATA)
def evaluate(
    model: keras.Model | Classifier | str | os.PathLike[str],
    data: ImageData,
    *,
    split: str = "test",
    batch_size: int = EVALUATION_BATCH_SIZE,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    verbose: bool = True,
) -> Report:
    """Evaluate a model, a run or an export on one split of `data` in a single prediction pass.

    Calibrated metrics use the temperature that training stored in the model's card. If the card has none, the
    temperature is fitted on the validation split, which takes a second prediction pass.

    Data for evaluation alone, `load_data(..., split="test")`, gets the classes of the model: classes may be missing in
    it, and images of other classes are left out. The report says so, and how many of the images the model was trained
    on, if its run has kept their digests.

    An export is measured as it runs: on its runtime, in its precision, and with the transform and the temperature that
    are in it. So the loss of accuracy by int8 is known on the test split, not only on the validation images that
    `export` compares.

    Args:
        model: a Keras classifier of images (B, H, W, C) with pixels from 0 to 255; the path of a run, of a .keras file
            or of an export; or a `Classifier`, which is measured on its own runtime.
        data: the data set, from `load_data`. Its images are resized to the model's input size.
        split: the split to evaluate: "train", "validation" or "test".
        batch_size: number of images per prediction batch.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is what `load_data` was given, or else what the
            model's card says; a model without a card gets the whole image, as Keras' own loaders resize it.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3"; "auto" is what the card says.
        pad: black pixels around the resized image. By default what `load_data` was given, or what the card says.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        A `Report` with the predictions and all metrics. `print(report)` shows a table; `report.save(folder)` writes
        files.

    Raises:
        InputError: if the split is unknown or empty, if model and data have different classes, or if the model
            predicts NaN or infinite values.

    Example:
        >>> data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> report = cnnzoo.evaluate(model, data, split="validation")
        >>> len(report.labels)
        180
        >>> report.accuracy > 0.9
        True
    """
    data = check_image_data(data)
    if split not in data.splits:
        raise unknown_name("split", split, data.splits)
    transform: dict[str, Any] = {"crop": crop, "interpolation": interpolation, "pad": pad}
    model = _open_model(model, **transform)
    card = model.card if isinstance(model, Classifier) else cards.card(model)
    remarks: list[str] = []
    if data.is_for_evaluation:
        data, class_remarks = use_classes_of_model(card, data)
        remarks = [*data.notes, *class_remarks]
        data = replace(data, notes=tuple(remarks))
    if isinstance(model, Classifier):
        data = bind_to_classifier(model, data, **transform)
    else:
        check_output_matches(model, data.classes)
        data = bind_to_model(model, data, **transform)
    class_names = match_class_names(card.classes, data.classes)
    check_not_empty(data, split)
    training_images = _find_training_images(card, data, split)
    if training_images is None and CARD_KEY in card.training:
        remarks.append(
            f"Whether {card.name} was trained on some of these images is not known, as {TRAINING_IMAGES_FILE} of its "
            "run is not beside the model."
        )

    temperature = card.temperature
    if isinstance(model, Classifier):
        # What it returns is divided by the temperature already; a report has the probabilities before that.
        probabilities = predict_with_classifier(model, data, split, batch_size, verbose)
        probabilities = apply_temperature(probabilities, 1 / temperature) if temperature else probabilities
        remarks.append(f"Measured as it runs: {describe_classifier(model)}.")
        data = replace(data, notes=(*data.notes, remarks[-1]))
    else:
        probabilities = predict_split(model, data, split, batch_size, verbose)
        if temperature is None and split == "test" and len(data.validation):
            temperature = fit_validation_temperature(model, data, batch_size, verbose)
    report = make_report(model, data, split, class_names, probabilities, temperature)
    report = replace(report, training_images=training_images, remarks=tuple(remarks))
    if split != "train" and report.training_images_summary:
        warn_caller(report.training_images_summary)
    return report


def _open_model(model: keras.Model | Classifier | str | os.PathLike[str], **transform: Any) -> keras.Model | Classifier:
    """Return what is evaluated: a functional Keras model, also of a run; or a classifier, also of an export."""
    if isinstance(model, str | os.PathLike):
        classifier = load(model, **transform)
        return classifier if classifier.model is None else as_functional(classifier.model)
    return model if isinstance(model, Classifier) else as_functional(model)


def make_report(
    model: keras.Model | Classifier,
    data: ImageData,
    split: str,
    class_names: Sequence[str],
    probabilities: np.ndarray,
    temperature: float | None,
) -> Report:
    """Return the report of `probabilities` (N, classes), which `model` predicted for a split of `data`."""
    images = data.splits[split]
    return Report(
        model=name_classifier(model) if isinstance(model, Classifier) else model.name,
        data=data.source,
        split=split,
        classes=tuple(class_names),
        names=images.names,
        labels=images.labels,
        probabilities=probabilities,
        images=images.images,
        temperature=temperature,
        notes=(data.describe_transform(), *data.notes),
    )


def predict_split(
    model: keras.Model,
    data: ImageData,
    split: str,
    batch_size: int = EVALUATION_BATCH_SIZE,
    verbose: bool = True,
) -> np.ndarray:
    """Return the probabilities (N, classes) that `model` predicts for a split of `data`, bound to the model's size.

    Raises:
        InputError: if the model predicts NaN or infinite values.
    """
    images = data.splits[split]
    batches = Batches(images, len(data.classes), batch_size)
    with show_progress(f"Evaluating on the {split} split", len(images), "images", verbose) as progress:
        probabilities = predict_probabilities(model, batches, progress=progress)
    if bad := int((~np.isfinite(probabilities).all(axis=1)).sum()):
        raise InputError(
            f"{model.name} predicts NaN or infinite values for {bad} of {len(images)} images; its weights may be broken"
        )
    return probabilities


def fit_validation_temperature(
    model: keras.Model, data: ImageData, batch_size: int = EVALUATION_BATCH_SIZE, verbose: bool = True
) -> float:
    """Return the temperature that minimizes the log loss on the validation split; see `evaluation.calibration`."""
    return fit_temperature(data.validation.labels, predict_split(model, data, "validation", batch_size, verbose))


def _find_training_images(card: cards.Card, data: ImageData, split: str) -> np.ndarray | None:
    """Return which images of a split (N,) the model was trained on; None if its training images are not known.

    Warns if they are not known, but the data has the name of those that the model was trained on.
    """
    digests = find_training_images(card)
    if digests is not None:
        return np.isin(data.splits[split].image_digests(), digests)
    if CARD_KEY in card.training:  # `evaluate` says that the digests are missing
        return None
    training_data = card.training.get("data", {})
    known_fingerprint = training_data.get("fingerprints", {}).get(split)
    if training_data.get("source") == data.source and known_fingerprint != data.fingerprints[split]:
        warn_caller(
            f"The model was trained on another split of {data.source}, so its training images may be among "
            "these. Load the data with the splits and seed of its run",
        )
    return None

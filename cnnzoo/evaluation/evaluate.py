"""Evaluate a model on one split of a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.arguments import OF_DATA, check_arguments
from cnnzoo.core.card_fields import check_target_accuracy
from cnnzoo.core.compilation import use_compilation_cache
from cnnzoo.core.connection import connection_errors
from cnnzoo.core.errors import InputError, check_integer, unknown_name
from cnnzoo.core.paths import check_path
from cnnzoo.core.processes import check_same, count_processes, is_main_process
from cnnzoo.core.progress import show_progress
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.images import ImageData
from cnnzoo.data.training_images import CARD_KEY, TRAINING_IMAGES_FILE, find_training_images
from cnnzoo.evaluation.calibration import apply_temperature
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
from cnnzoo.evaluation.evaluations import record_evaluation_of
from cnnzoo.evaluation.min_probability import choose_min_probability
from cnnzoo.evaluation.report import Report
from cnnzoo.evaluation.report_maps import add_maps, check_maps
from cnnzoo.evaluation.report_tables import digest_names_and_images
from cnnzoo.evaluation.temperature import choose_temperature
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.exported import runtime_to_measure
from cnnzoo.inference.load import load
from cnnzoo.surgery.outputs import as_functional, predict_probabilities, warn_if_no_logits
from cnnzoo.surgery.weights import hash_weights

if TYPE_CHECKING:
    import keras


@check_arguments(OF_DATA)
def evaluate(
    model: keras.Model | Classifier | str | os.PathLike[str],
    data: ImageData,
    *,
    split: str = "test",
    batch_size: int | str = "auto",
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    target_accuracy: float | None = None,
    maps: bool | str = "auto",
    verbose: bool = True,
) -> Report:
    """Evaluate a model, a run or an export on one split of `data` in a single prediction pass.

    The report has the probabilities that `cnnzoo predict` gives: with the temperature that training stored in the
    model's card. If the card has none, one is fitted on the validation split, which takes a second prediction pass, and
    the report says what it would change.

    Data for evaluation alone, `load_data(..., split="test")`, gets the classes of the model: classes may be missing in
    it, and images of other classes are left out. The report says so, and how many of the images the model was trained
    on, if its run has kept their digests.

    An export itself is measured: in its precision, and with the transform and the temperature that are in it. It runs
    on the runtime of its format, such as ONNX Runtime, or on another one if that is not installed. So the loss of
    accuracy by int8 is known on the test split, not only on the validation images that `export` compares.

    Args:
        model: a Keras classifier of images (B, H, W, C) with pixels from 0 to 255; the path of a run, of a .keras file
            or of an export; or a `Classifier`, which is measured on its own runtime.
        data: the data set, from `load_data`. Its images are resized to the model's input size.
        split: the split to evaluate: "train", "validation" or "test".
        batch_size: number of images per prediction batch; "auto" takes as many as fit into a byte budget, or into the
            memory of the accelerator, up to 256.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is what `load_data` was given, or else what the
            model's card says; a model without a card gets the whole image, as Keras' own loaders resize it.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3"; "auto" is what the card says.
        pad: black pixels around the resized image. By default what `load_data` was given, or what the card says.
        target_accuracy: the accuracy, such as 0.95, that the answers of the model shall have: the least probability of
            an answer is chosen for it on the validation split, and the report says how many images of `split` get an
            answer and how many of these are right. The card of the model keeps it, and a temperature if it has none.
        maps: whether the page of the report shows a map beside each picture: what speaks for the class that the model
            predicts (Grad-CAM). "auto" makes them if that takes a few seconds at most, and not on JAX. There are none
            for exports.
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
        >>> report = cnnzoo.evaluate(model, data, target_accuracy=0.98)
        >>> cnnzoo.card(model).min_probability == report.min_probability
        True
        >>> report.metrics["answers"]["accuracy"] > report.accuracy
        True
    """
    data = check_image_data(data)
    if split not in data.splits:
        raise unknown_name("split", split, data.splits)
    if target_accuracy is not None:
        check_target_accuracy(target_accuracy)
        if not len(data.validation):
            raise InputError(
                f"target_accuracy needs validation images, on which min_probability is chosen, and {data.source} is "
                "loaded without any. Load it with the splits of the training, such as splits=(0.8, 0.1, 0.1) (--splits "
                "0.8,0.1,0.1)"
            )
    if batch_size != "auto":
        check_integer("batch_size", batch_size, 1)
    check_maps(maps)
    transform: dict[str, Any] = {"crop": crop, "interpolation": interpolation, "pad": pad}
    received, model = model, _open_model(model, **transform)
    if not isinstance(model, Classifier):
        warn_if_no_logits(model)
    card = card_of(model)
    remarks: list[str] = []
    if data.is_for_evaluation:
        data, class_remarks = use_classes_of_model(card, data)
        remarks = [*data.notes, *class_remarks]
        data = replace(data, notes=tuple(remarks))
    with show_progress("Preparing the images", verbose=verbose):
        if isinstance(model, Classifier):
            data = bind_to_classifier(model, data, **transform)
        else:
            check_output_matches(model, data.classes)
            data = bind_to_model(model, data, **transform)
    class_names = match_class_names(card.classes, data.classes)
    check_not_empty(data, split)
    if count_processes() > 1:
        facts = {"split": split, "fingerprint": data.fingerprints[split], "calibration": card.calibration}
        check_same(facts if isinstance(model, Classifier) else facts | {"weights": hash_weights(model)})
    training_images = _find_training_images(card, data, split)
    if training_images is None and CARD_KEY in card.training:
        remarks.append(
            f"Whether {card.name} was trained on some of these images is not known, as {TRAINING_IMAGES_FILE} of its "
            "run is not beside the model."
        )

    probabilities = predict_split(model, data, split, batch_size, verbose)
    if isinstance(model, Classifier):
        remarks.append(f"Measured: {describe_classifier(model)}.")
        data = replace(data, notes=(*data.notes, remarks[-1]))
    suggestion: dict[str, Any] = {}
    if target_accuracy is not None:
        card = calibrate_on_validation(model, data, target_accuracy, batch_size, verbose)
        _keep_card(received, card)
        _keep_card(model, card)
    elif not isinstance(model, Classifier) and card.temperature is None and split == "test" and len(data.validation):
        card = calibrate_on_validation(model, data, None, batch_size, verbose)
        suggestion = {"temperature": card.temperature, "calibration": card.calibration}
    report = make_report(model, data, split, class_names, probabilities)
    report = replace(report, training_images=training_images, remarks=tuple(remarks), **suggestion)
    record_evaluation_of(received, data, report)
    report = add_maps(report, model, maps)
    if split != "train" and report.training_images_summary:
        warn_caller(report.training_images_summary)
    return report


def _open_model(model: keras.Model | Classifier | str | os.PathLike[str], **transform: Any) -> keras.Model | Classifier:
    """Return what is evaluated: a functional Keras model, also of a run; or a classifier, also of an export."""
    if isinstance(model, str | os.PathLike):
        classifier = load(model, runtime_to_measure(check_path(model, "the model")), **transform)
        return classifier if classifier.model is None else as_functional(classifier.model)
    return model if isinstance(model, Classifier) else as_functional(model)


def card_of(model: keras.Model | Classifier) -> cards.Card:
    """Return the card of a Keras model or a classifier."""
    return model.card if isinstance(model, Classifier) else cards.card(model)


def _keep_card(model: keras.Model | Classifier | str | os.PathLike[str], card: cards.Card) -> None:
    """Give a card to a model or a classifier; files stay as they are."""
    if isinstance(model, Classifier):
        model.card = card
    elif not isinstance(model, str | os.PathLike):
        cards.attach_card(model, card)


def make_report(
    model: keras.Model | Classifier,
    data: ImageData,
    split: str,
    class_names: Sequence[str],
    probabilities: np.ndarray,
) -> Report:
    """Return the report of a split of `data`.

    It has the probabilities that `cnnzoo predict` gives: with the temperature in the model's card.

    Args:
        model: the model.
        data: the data set.
        split: name of the split.
        class_names: the names to show for the classes.
        probabilities: (N, classes), which `predict_split` returned, without a temperature.
    """
    images, card = data.splits[split], card_of(model)
    uncalibrated = None
    if card.temperature not in (None, 1.0):
        probabilities, uncalibrated = apply_temperature(probabilities, card.temperature), probabilities
    return Report(
        model=name_classifier(model) if isinstance(model, Classifier) else model.name,
        data=data.source,
        split=split,
        classes=tuple(class_names),
        names=images.names,
        labels=images.labels,
        probabilities=probabilities,
        images=images.images,
        temperature=card.temperature,
        notes=(data.describe_transform(), *data.notes),
        uncalibrated_probabilities=uncalibrated,
        min_probability=card.min_probability,
        calibration=card.calibration,
        images_digest=digest_names_and_images(images.names, images.image_digests()),
    )


def predict_split(
    model: keras.Model | Classifier,
    data: ImageData,
    split: str,
    batch_size: int | str = "auto",
    verbose: bool = True,
) -> np.ndarray:
    """Return the probabilities (N, classes) that `model` predicts for a split of `data`, bound to the model's size.

    They are those before the temperature in the model's card; a classifier divides by it, which is undone.

    Raises:
        InputError: if the model predicts NaN or infinite values, or the classifier anything but probabilities.
    """
    if isinstance(model, Classifier):
        probabilities = predict_with_classifier(model, data, split, batch_size, verbose)
        temperature = model.card.temperature
        return probabilities if temperature in (None, 1.0) else apply_temperature(probabilities, 1 / temperature)
    from cnnzoo.data.batches import loading_errors  # imports Keras
    from cnnzoo.evaluation.prediction_batches import make_prediction_batches

    use_compilation_cache()
    images = data.splits[split]
    batches = make_prediction_batches(model, data, split, batch_size)
    count = batches.own_images
    evaluating = show_progress(f"Evaluating on the {split} split", count, "images", verbose and is_main_process())
    probabilities = np.empty((0, len(data.classes)))
    with evaluating as progress, loading_errors(batches), connection_errors():
        if count or count_processes() == 1:
            probabilities = predict_probabilities(model, batches, progress=progress, count=count)
        probabilities = batches.gather_results(probabilities)
    if bad := int((~np.isfinite(probabilities).all(axis=1)).sum()):
        raise InputError(
            f"{model.name} predicts NaN or infinite values for {bad} of {len(images)} images; its weights may be broken"
        )
    return probabilities


def calibrate(
    card: cards.Card,
    labels: np.ndarray,
    probabilities: np.ndarray,
    target_accuracy: float | None = None,
    *,
    add_temperature: bool = True,
) -> cards.Card:
    """Return the card of a model with a temperature and, for a target accuracy, a least probability of answers.

    `evaluation.temperature` and `evaluation.min_probability` say how they are chosen; the card records it.

    Args:
        card: the card of the model. The temperature that it may have is kept.
        labels: class indices (N,) of the validation images.
        probabilities: predictions (N, classes) for them, without a temperature.
        target_accuracy: the accuracy that the answers of the model shall have; None if all images get an answer.
        add_temperature: whether a card without a temperature gets one. A classifier would not use it.
    """
    if card.temperature is None and add_temperature:
        choice = choose_temperature(labels, probabilities)
        card = replace(card, temperature=choice.temperature, calibration={"temperature": choice.to_dict()})
    if target_accuracy is None:
        return card
    if card.temperature not in (None, 1.0):
        probabilities = apply_temperature(probabilities, card.temperature)
    answers = choose_min_probability(labels, probabilities, target_accuracy)
    calibration = card.calibration | {"min_probability": answers.to_dict()}
    return replace(card, min_probability=answers.min_probability, calibration=calibration)


def calibrate_on_validation(
    model: keras.Model | Classifier,
    data: ImageData,
    target_accuracy: float | None = None,
    batch_size: int | str = "auto",
    verbose: bool = True,
) -> cards.Card:
    """Return the card of `model` as `calibrate` changes it on the validation split."""
    probabilities = predict_split(model, data, "validation", batch_size, verbose)
    return calibrate(
        card_of(model),
        data.validation.labels,
        probabilities,
        target_accuracy,
        add_temperature=not isinstance(model, Classifier),
    )


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

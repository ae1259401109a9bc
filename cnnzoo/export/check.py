"""Compare an export with its model, on real photographs and on the user's own images."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.cards import Card, default_class_names
from cnnzoo.core.errors import InputError
from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.progress import Progress, show_progress
from cnnzoo.data.images import ImageData
from cnnzoo.data.splits import Split
from cnnzoo.data.transform import Transform
from cnnzoo.inference.classifier import Classifier

# Of a probability. In float32 a runtime may sum in another order, which some networks amplify.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2}
MAX_CALIBRATION_IMAGES = 300  # training images that calibrate int8
MAX_COMPARED_IMAGES = 100  # validation images whose probabilities are compared
BATCH_SIZE = 32
SMALLEST_SHOWN_DIFFERENCE = 1e-5  # smaller ones come from the order of sums, and are nothing to think about
TIMED_CALLS = 5  # whose median is the time of one image


class SampleInputs(NamedTuple):
    """Images to compare an export with its model, at the size that the network takes.

    Attributes:
        photos: uint8 (N, H, W, C), on which the probabilities are compared.
        calibration: uint8 (N, H, W, C) from the training images, to calibrate int8.
        validation: the validation images, with labels that count the model's classes.
    """

    photos: np.ndarray
    calibration: np.ndarray | None = None
    validation: Split | None = None


class Comparison(NamedTuple):
    """The differences between an export and its model.

    Attributes:
        difference: largest difference between two probabilities.
        images: number of images whose probabilities were compared.
        same_class: number of these images that get the same likeliest class.
        mean_difference: mean difference between the probabilities of the model's likeliest class.
        milliseconds: time that the export takes for one image on this machine.
        accuracy: validation accuracy of the export.
        before: validation accuracy of the model.
        validation_images: number of validation images.
    """

    difference: float
    images: int = 0
    same_class: int = 0
    mean_difference: float = 0.0
    milliseconds: float = 0.0
    accuracy: float | None = None
    before: float | None = None
    validation_images: int = 0

    def describe_agreement(self) -> str:
        """Return in a sentence how well the export and its model agree."""
        same = "all" if self.same_class == self.images else f"{self.same_class:,} of"
        largest, mean = format_difference(self.difference), format_difference(self.mean_difference)
        average = "" if float(mean) >= float(largest) else f" ({mean} on average for the likeliest class)"
        return (
            f"The export and the model give {same} {self.images:,} compared images the same class, and probabilities "
            f"that differ by at most {largest}{average}"
        )

    def describe_accuracy(self) -> str:
        """Return in a sentence how accurate both are on the validation images; "" if that was not measured."""
        if self.accuracy is None or self.before is None:
            return ""
        accuracy, before = (format_share(value, self.validation_images) for value in (self.accuracy, self.before))
        points = 100 / self.validation_images
        caution = f". One image is {points:.2g} points here, so smaller losses do not show" if points > 1 else ""
        return (
            f"Of {self.validation_images:,} validation images the export classifies {accuracy} "
            f"correctly, and the model {before}{caution}"
        )


def format_difference(difference: float) -> str:
    """Return a difference of probabilities as a decimal number, rounded up.

    Example:
        >>> from cnnzoo.export.check import format_difference
        >>> format_difference(0.03141), format_difference(2e-7)
        ('0.032', '0.00001')
    """
    if difference <= SMALLEST_SHOWN_DIFFERENCE:
        return f"{SMALLEST_SHOWN_DIFFERENCE:.5f}"
    digits = 1 - math.floor(math.log10(difference))  # two that are not zero
    rounded = math.ceil(difference * 10**digits) / 10**digits
    return f"{rounded:.{digits}f}"


def sample_inputs(classifier: Classifier, data: ImageData | None) -> SampleInputs:
    """Return sample photographs, and the training and validation images of `data`.

    Raises:
        InputError: if `data` has classes that the model lacks, or no training or validation images.
    """
    photos = sample_photos(classifier.transform)
    if data is None:
        return SampleInputs(photos)
    card = classifier.card
    class_indices = _map_classes(card, data)
    if not len(data.train) or not len(data.validation):
        raise InputError(f"{data.source} needs both training and validation images, but one of them is empty")

    data = data.resize_to(classifier.shape, card.pad, card.transform)
    calibration_indices = np.random.default_rng(0).permutation(len(data.train))[:MAX_CALIBRATION_IMAGES]
    compared_indices = np.arange(min(MAX_COMPARED_IMAGES, len(data.validation)))
    return SampleInputs(
        photos=np.concatenate([photos, *_iter_batches(data.validation.take(compared_indices).images)]),
        calibration=np.concatenate(list(_iter_batches(data.train.take(calibration_indices).images))),
        validation=replace(data.validation, labels=class_indices[data.validation.labels]),
    )


def _map_classes(card: Card, data: ImageData) -> np.ndarray:
    """Return the index of the model's class for each class of the data, matched by name or WordNet id.

    Raises:
        InputError: if the data has a class that the model lacks.
    """
    numbers = default_class_names(len(card.classes))
    if len(data.classes) == len(numbers) and numbers in (card.classes, data.classes):
        return np.arange(len(numbers))
    indices = {name: i for names in (card.ids, card.classes) for i, name in enumerate(names)}
    if unknown_classes := [name for name in data.classes if name not in indices]:
        raise InputError(
            f"The data has classes that the model lacks: {', '.join(unknown_classes[:10])}. "
            f"The model's are {', '.join(card.classes[:10])}{', ...' if len(card.classes) > 10 else ''}"
        )
    return np.array([indices[name] for name in data.classes])


def sample_photos(transform: Transform) -> np.ndarray:
    """Return sixteen parts of the two photographs that come with scikit-learn, transformed."""
    from sklearn.datasets import load_sample_images

    parts = [
        image[top : top + 213, left : left + 160]
        for image in load_sample_images().images
        for top in (0, 213)
        for left in (0, 160, 320, 480)
    ]
    if transform.channels in (1, 3):
        return transform(parts)
    # For any other number of channels, repeat the color planes.
    planes = [np.resize(part.transpose(2, 0, 1), (transform.channels, *part.shape[:2])) for part in parts]
    photos = transform.transform_arrays(np.stack(planes).transpose(0, 2, 3, 1))
    return np.rint(photos).astype(np.uint8)


def compare_outputs(
    model: Classifier, export: Classifier, inputs: SampleInputs, precision: str, max_drop: float, verbose: bool = True
) -> Comparison:
    """Compare the probabilities of an export with those of its model, and their validation accuracies.

    Raises:
        InputError: if they differ by more than the precision allows, or the accuracy drops by more than `max_drop`.
    """
    photos, validation = inputs.photos, inputs.validation
    with show_progress("Comparing the export with the model", 2 * len(photos), "predictions", verbose) as progress:
        expected, actual = (_predict(classifier, photos, progress) for classifier in (model, export))
    difference = float(np.abs(expected - actual).max())
    if not difference <= TOLERANCES.get(precision, 1.0):
        raise InputError(
            f"The export's probabilities differ from the model's by up to {difference:.2g}; the export was not kept"
        )
    same_class = int((expected.argmax(axis=1) == actual.argmax(axis=1)).sum())
    likeliest = np.arange(len(photos)), expected.argmax(axis=1)
    mean_difference = float(np.abs(expected - actual)[likeliest].mean())
    with show_progress("Measuring the speed of the export", verbose=verbose):
        milliseconds = measure_milliseconds(export, photos[:1])
    comparison = Comparison(difference, len(photos), same_class, mean_difference, milliseconds)
    if validation is None:
        return comparison
    activity = "Measuring the accuracy of model and export"
    with show_progress(activity, 2 * len(validation), "predictions", verbose) as progress:
        before, accuracy = (
            float((_predict(classifier, validation.images, progress).argmax(axis=1) == validation.labels).mean())
            for classifier in (model, export)
        )
    if before - accuracy > max_drop:
        raise InputError(
            f"In {precision} the accuracy on {len(validation):,} validation images drops from "
            f"{format_share_interval((before, accuracy), len(validation))}, by more than max_drop={max_drop} "
            f"(--max-drop {max_drop}); the export was not kept"
        )
    return comparison._replace(accuracy=accuracy, before=before, validation_images=len(validation))


def measure_milliseconds(classifier: Classifier, image: np.ndarray) -> float:
    """Return how long a classifier takes for one image (1, H, W, C), without reading and resizing it."""
    classifier.scores(image)  # the first call may compile
    times = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        classifier.scores(image)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _predict(classifier: Classifier, images: Any, progress: Progress) -> np.ndarray:
    """Return the probabilities (N, classes) of images of the network's size."""
    scores = []
    for batch in _iter_batches(images):
        scores.append(classifier.scores(batch))
        progress.advance(len(batch))
    return np.concatenate(scores)


def _iter_batches(images: Any) -> Iterator[np.ndarray]:
    """Yield a few images at a time, of an array or of lazily decoded photos of the network's size."""
    return (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))

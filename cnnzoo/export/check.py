"""Whether an export does what its model does: on real photos, and on the user's own images."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.cards import Card
from cnnzoo.core.errors import InputError
from cnnzoo.data.images import ImageData
from cnnzoo.data.splits import Split
from cnnzoo.data.transform import Transform

# Of a probability; float32 rounds in another order, which some networks make much of
TOLERANCES = {"float32": 1e-3, "float16": 2e-2}
MAX_CALIBRATION_IMAGES = 300  # images of training
MAX_COMPARED_IMAGES = 100  # images of validation
BATCH_SIZE = 32


class SampleInputs(NamedTuple):
    """What an export is shown, as the network takes it, uint8 (N, H, W, C)."""

    photos: np.ndarray  # on which it is compared with its model
    calibration: np.ndarray | None = None
    validation: Split | None = None


class Comparison(NamedTuple):
    """How far probabilities are apart at most, and the accuracies on validation of the export and its model."""

    difference: float
    accuracy: float | None = None
    before: float | None = None


def sample_inputs(classifier: Any, data: ImageData | None) -> SampleInputs:
    """Photographs, and what `data` has of training and validation; raises InputError where they do not fit."""
    pictures = sample_photos(classifier.transform)
    if data is None:
        return SampleInputs(pictures)
    card, places = classifier.card, _map_classes(classifier.card, data)
    if not len(data.train) or not len(data.validation):
        raise InputError(f"{data.source} has no images for training, or none for validation: both are needed")
    bound = data.resize_to(classifier.shape, card.pad, card.transform)
    some = np.random.default_rng(0).permutation(len(bound.train))[:MAX_CALIBRATION_IMAGES]
    few = np.concatenate(
        [
            pictures,
            *_iter_batches(bound.validation.take(np.arange(min(MAX_COMPARED_IMAGES, len(bound.validation)))).images),
        ]
    )
    judged = replace(bound.validation, labels=places[bound.validation.labels])
    return SampleInputs(few, np.concatenate(list(_iter_batches(bound.train.take(some).images))), judged)


def _map_classes(card: Card, data: ImageData) -> np.ndarray:
    """Which of the model's classes each of the data's is, by its name or its WordNet id; the data may lack some."""
    numbers = tuple(map(str, range(len(card.classes))))
    if len(data.classes) == len(numbers) and numbers in (card.classes, data.classes):
        return np.arange(len(numbers))
    known = {name: i for names in (card.ids, card.classes) for i, name in enumerate(names)}
    if strange := [name for name in data.classes if name not in known]:
        raise InputError(
            f"The data has classes that the model has not: {', '.join(strange[:10])}. "
            f"The model's are {', '.join(card.classes[:10])}{', ...' if len(card.classes) > 10 else ''}"
        )
    return np.array([known[name] for name in data.classes])


def sample_photos(transform: Transform) -> np.ndarray:
    """Sixteen parts of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    parts = [
        image[top : top + 213, left : left + 160]
        for image in load_sample_images().images
        for top in (0, 213)
        for left in (0, 160, 320, 480)
    ]
    if transform.channels in (1, 3):
        return transform(parts)
    planes = [np.resize(part.transpose(2, 0, 1), (transform.channels, *part.shape[:2])) for part in parts]
    return np.rint(transform.transform_arrays(np.stack(planes).transpose(0, 2, 3, 1))).astype("uint8")


def compare_outputs(model: Any, export: Any, seen: SampleInputs, precision: str, max_drop: float) -> Comparison:
    """Compare an export with its model; raises InputError where they are too far apart."""
    before, after = (np.concatenate([each.scores(b) for b in _iter_batches(seen.photos)]) for each in (model, export))
    difference = float(np.abs(before - after).max())
    if not difference <= TOLERANCES.get(precision, 1.0):
        raise InputError(f"The export's probabilities differ from the model's by {difference:.2g}; it was not kept")
    if seen.validation is None:
        return Comparison(difference)
    was, now = (_measure_accuracy(each, seen.validation) for each in (model, export))
    if was - now > max_drop:
        raise InputError(
            f"In {precision} the accuracy on {len(seen.validation):,} validation images falls from {100 * was:.2f} to "
            f"{100 * now:.2f} %, by more than max_drop={max_drop} (--max-drop); the export was not kept"
        )
    return Comparison(difference, now, was)


def _measure_accuracy(classifier: Any, split: Split) -> float:
    guesses = [classifier.scores(images).argmax(axis=1) for images in _iter_batches(split.images)]
    return float((np.concatenate(guesses) == split.labels).mean())


def _iter_batches(images: Any) -> Iterator[np.ndarray]:
    """Images of the network's size, an array or photos, a few at a time."""
    return (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))

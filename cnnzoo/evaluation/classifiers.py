"""Predictions of classifiers, such as exports, for an evaluation: on the runtime and in the precision that they use."""

from __future__ import annotations

import numpy as np

from cnnzoo.core.progress import show_progress
from cnnzoo.data.images import ImageData
from cnnzoo.inference.classifier import Classifier
from cnnzoo.runtimes.choose import FORMATS, RUNTIMES, is_installed

MAX_BATCH_SIZE = 8  # processors are not faster with more, and progress is shown between two batches


def predict_with_classifier(
    classifier: Classifier, data: ImageData, split: str, batch_size: int | str = "auto", verbose: bool = True
) -> np.ndarray:
    """Return the probabilities (N, classes), float64, of a split of `data` that is bound to the classifier's size.

    The rows add up to one, also in int8, where those of an export do so only roughly.

    Raises:
        InputError: if the classifier returns anything but probabilities.
    """
    images = data.splits[split].images
    largest = classifier.device_batch_size or MAX_BATCH_SIZE
    size = largest if isinstance(batch_size, str) else min(batch_size, largest)
    batches = []
    with show_progress(f"Evaluating on the {split} split", len(images), "images", verbose) as progress:
        for start in range(0, len(images), size):
            batches.append(classifier.scores(images[start : start + size]))
            progress.advance(len(batches[-1]))
    scores = np.concatenate(batches).clip(0).astype("float64")
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def name_classifier(classifier: Classifier) -> str:
    """Return the name of the model with what distinguishes this classifier from it: "lenet5 (onnx int8)".

    Example:
        >>> from cnnzoo.evaluation.classifiers import name_classifier
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> name_classifier(cnnzoo.Classifier.of(model, runtime="litert"))
        'lenet5 (litert float32)'
    """
    return f"{classifier.card.name} ({classifier.format or classifier.runtime} {classifier.precision})"


def describe_classifier(classifier: Classifier) -> str:
    """Return in words what was measured, after the classifier has run once."""
    runtime = RUNTIMES[classifier.runtime].title
    if not classifier.format:
        return f"the model in {classifier.precision}, run by {runtime}"
    own = FORMATS[classifier.format]
    if classifier.format == "saved_model":
        runtime = "TensorFlow"
    elif own.name != classifier.runtime:
        reason = "is not installed" if not is_installed(own.name) else "was not chosen"
        runtime += f" ({own.title}, the runtime of the format, {reason})"
    return f"the {own.format_title} export in {classifier.precision}, run by {runtime}"

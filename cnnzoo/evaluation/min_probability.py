"""The least probability of an answer: what is less probable is called unsure, so that the others are right more often.

The threshold is chosen on validation images for an accuracy that the answers shall have, with a bound for chance; see
Geifman and El-Yaniv 2017, "Selective classification for deep neural networks", arXiv:1705.08500.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from cnnzoo.core.card_fields import check_target_accuracy
from cnnzoo.core.numbers import format_share
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.calibration import wilson_interval

CONFIDENCE = 0.95  # that the answers of other images reach the accuracy too
DECIMALS = 4  # of a threshold


@dataclass(frozen=True)
class MinProbabilityChoice:
    """A threshold that was chosen on validation images, or why there is none.

    Attributes:
        min_probability: the threshold; None if no threshold is known to reach the accuracy.
        target_accuracy: the accuracy that the answers shall have.
        images: number of validation images.
        answered: how many of them reach the threshold.
        correct: how many of those are right.
        accuracy_bound: the lower 95 % bound of the accuracy of the answers, by Clopper and Pearson.
        reason: why there is no threshold; "" if there is one.
    """

    min_probability: float | None
    target_accuracy: float
    images: int
    answered: int = 0
    correct: int = 0
    accuracy_bound: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that have a value, ready for JSON."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    def __str__(self) -> str:
        target = f"{100 * self.target_accuracy:g} %"
        if self.min_probability is None:
            return f"No min_probability for an accuracy of {target}: {self.reason}"
        return (
            f"Min_probability {self.min_probability:.{DECIMALS}g} for an accuracy of {target}: it answers "
            f"{self.answered:,} of {format_count(self.images, 'validation image')}, {self.correct:,} of them right"
        )


def explain_too_few_images(images: int, target_accuracy: float) -> str:
    """Return why so many validation images cannot show an accuracy, whatever the model answers; "" if they can.

    Example:
        >>> from cnnzoo.evaluation.min_probability import explain_too_few_images
        >>> explain_too_few_images(51, 0.95)
        '51 validation images cannot show it. Even if all answers are right, at least 59 are needed'
    """
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(target_accuracy))
    if images >= needed:
        return ""
    count = format_count(images, "validation image")
    return f"{count} cannot show it. Even if all answers are right, at least {needed:,} are needed"


def choose_min_probability(y_true: ArrayLike, probabilities: ArrayLike, target_accuracy: float) -> MinProbabilityChoice:
    """Choose the lowest threshold at which the answers reach an accuracy, in spite of chance.

    The lower 95 % bound of the accuracy of all answers that reach the threshold (Clopper and Pearson, one-sided) must
    be at least `target_accuracy`. As the lowest of many thresholds is taken, the accuracy of other images misses the
    target a little more often than in 5 % of the cases: in up to 7 % in simulations (`benchmarks/calibration.py`).

    Args:
        y_true: class indices (N,) of validation images.
        probabilities: predictions (N, classes), as the model gives them in use.
        target_accuracy: the accuracy, above 0 and below 1.

    Raises:
        InputError: if `target_accuracy` is no such number.

    Example:
        >>> from cnnzoo.evaluation.min_probability import choose_min_probability
        >>> probabilities = np.linspace([0.5, 0.5], [1, 0], 400)
        >>> labels = (np.arange(400) % 4 == 0) & (np.arange(400) < 200)
        >>> choice = choose_min_probability(labels, probabilities, target_accuracy=0.95)
        >>> choice.min_probability, choice.answered, choice.correct
        (0.7212, 223, 218)
    """
    check_target_accuracy(target_accuracy)
    values, labels = np.asarray(probabilities, "float64"), np.asarray(y_true)
    confidence, is_right = values.max(axis=1), values.argmax(axis=1) == labels
    images = len(labels)

    # Of all answers down to each confidence: their number, how many are right, and the bound of their accuracy
    order = np.argsort(-confidence, kind="stable")
    confidence = confidence[order]
    is_last = np.append(confidence[1:] < confidence[:-1], True)
    answered, correct = np.arange(1, images + 1)[is_last], np.cumsum(is_right[order])[is_last]
    bounds = accuracy_bounds(correct, answered)
    reached = np.flatnonzero(bounds >= target_accuracy)

    if not len(reached):
        reason = explain_too_few_images(images, target_accuracy)
        if not reason:
            best = int(bounds.argmax())
            reason = (
                f"no threshold surely reaches it on {format_count(images, 'validation image')}. With the best one, "
                f"{correct[best]:,} of {format_count(int(answered[best]), 'answer')} are right, so that an accuracy of "
                f"only {format_share(bounds[best], images)} is sure (95 % confidence)"
            )
        return MinProbabilityChoice(None, target_accuracy, images, reason=reason)
    i = int(reached[-1])
    lowest, next_lower = confidence[answered[i] - 1], confidence[answered[i]] if answered[i] < images else 0.0
    return MinProbabilityChoice(
        0.0 if answered[i] == images else _round_between(next_lower, lowest),
        target_accuracy,
        images,
        int(answered[i]),
        int(correct[i]),
        float(bounds[i]),
    )


def accuracy_bounds(correct: ArrayLike, answered: ArrayLike) -> np.ndarray:
    """Return the lower 95 % bounds of accuracies, one-sided, by Clopper and Pearson."""
    correct, answered = np.asarray(correct), np.asarray(answered)
    with np.errstate(invalid="ignore"):
        bounds = beta.ppf(1 - CONFIDENCE, correct, answered - correct + 1)
    return np.where(correct > 0, bounds, 0.0)


def measure_answers(y_true: ArrayLike, probabilities: ArrayLike, min_probability: float) -> dict[str, Any]:
    """Return how many images get an answer, and how many answers are right, with 95 % intervals by Wilson's score.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
        min_probability: the threshold.

    Returns:
        "min_probability", "answered" and "unsure" (numbers of images), "coverage" (the share of answers), "accuracy"
        (of the answers; None if there are none) and "intervals_95" of the last two.
    """
    values = np.asarray(probabilities, "float64")
    is_answer = values.max(axis=1) >= min_probability
    images, answered = len(values), int(is_answer.sum())
    correct = int((values.argmax(axis=1) == np.asarray(y_true))[is_answer].sum())
    intervals = {"coverage": wilson_interval(answered, images)}
    if answered:
        intervals["accuracy"] = wilson_interval(correct, answered)
    return {
        "min_probability": min_probability,
        "answered": answered,
        "unsure": images - answered,
        "coverage": answered / images,
        "accuracy": correct / answered if answered else None,
        "intervals_95": intervals,
    }


def _round_between(low: float, high: float) -> float:
    """Return a number of few decimals that is above `low` and at most `high`, as far from both as that allows."""
    middle = (low + high) / 2
    rounded = round(float(middle), DECIMALS)
    return rounded if low < rounded <= high else float(middle)

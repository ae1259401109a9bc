"""Check the scores that a runtime returns: what is no probability is never given as an answer."""

from __future__ import annotations

import numpy as np

from cnnzoo.cards import Card
from cnnzoo.core.card_fields import check_min_probability
from cnnzoo.core.errors import InputError

TOLERANCE = 0.01  # of a probability and of their sum, for the rounding of bfloat16 and float16
SORTING_SHARE = 8  # all classes are sorted if no more than so many times the best ones that are asked for
INT8_ROUNDING = 1 / 512  # of each probability, in a graph whose softmax has 8 bits


def find_bad_scores(scores: np.ndarray, precision: str) -> dict[int, str]:
    """Return what is wrong with the rows of `scores` (N, classes) that are no probabilities, by their number."""
    sums = scores.sum(axis=1, dtype="float64")
    tolerance = TOLERANCE + (INT8_ROUNDING * scores.shape[1] if precision == "int8" else 0)
    in_range = ((scores >= -TOLERANCE) & (scores <= 1 + TOLERANCE)).all(axis=1)  # False for NaN
    is_good = in_range & (sums > 0) & (np.abs(sums - 1) <= tolerance)
    return {int(i): _describe_row(scores[i], float(sums[i])) for i in np.flatnonzero(~is_good)}


def find_best_classes(scores: np.ndarray, top: int) -> np.ndarray:
    """Return the indices (N, top) of the largest scores (N, classes) of each row, in their order; ties by the index.

    Example:
        >>> from cnnzoo.inference.scores import find_best_classes
        >>> find_best_classes(np.array([[0.1, 0.4, 0.1, 0.4]]), 3).tolist()
        [[1, 3, 0]]
    """
    classes = scores.shape[1]
    if top * SORTING_SHARE >= classes or not np.isfinite(scores).all():
        return np.argsort(-scores, axis=1, kind="stable")[:, :top]
    # Sorting all of a thousand classes takes longer than an accelerator takes to compute them.
    best = np.sort(np.argpartition(-scores, top - 1, axis=1)[:, :top], axis=1)
    best_scores = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-best_scores, axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    # Of several classes with the lowest of these scores, the first ones count.
    lowest = best_scores.min(axis=1)
    tied = np.flatnonzero((scores >= lowest[:, None]).sum(axis=1) > top)
    best[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :top]
    return np.asarray(best)


def check_scores(scores: np.ndarray, precision: str, name: str) -> None:
    """Check that every row of `scores` holds probabilities.

    Raises:
        InputError: if one does not; it tells their number and what is wrong with the first.
    """
    if bad := find_bad_scores(scores, precision):
        first, problem = next(iter(bad.items()))
        raise InputError(f"{name}: {len(bad)} of {len(scores)} images have no answer. Image {first}: {problem}")


def _describe_row(row: np.ndarray, total: float) -> str:
    """Return in words why a row of scores is no row of probabilities."""
    if count := int((~np.isfinite(row)).sum()):
        problem = f"{count} of the {len(row)} scores are NaN or infinite"
    elif row.min() < -TOLERANCE or row.max() > 1 + TOLERANCE:
        problem = f"the {len(row)} scores are between {row.min():.4g} and {row.max():.4g}"
    else:
        problem = f"the {len(row)} scores add up to {total:.4g} instead of 1"
    return f"The model has no answer for this image: {problem}. The model may be damaged, or the image out of its range"


def resolve_min_probability(value: float | str | None, card: Card) -> float | None:
    """Return the least probability of an answer: a number that was given, or for "auto" that of the card.

    Raises:
        InputError: if `value` is neither, or the card has none.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        check_min_probability(value)
        return float(value)
    if value != "auto":
        raise InputError(f'min_probability must be a number from 0 to 1, "auto" or None. Received: {value!r:.100}')
    if card.min_probability is not None:
        return card.min_probability
    choice = card.calibration.get("min_probability", {})
    if reason := isinstance(choice, dict) and choice.get("reason"):
        raise InputError(
            f"{card.name} has no min_probability, as none was found for an accuracy of "
            f"{100 * choice.get('target_accuracy', 0):g} %: {reason!s:.500}. Give a number (--min-probability 0.8), or "
            "ask for a lower accuracy: target_accuracy=... (--target-accuracy)"
        )
    raise InputError(
        f"{card.name} has no min_probability. Give a number (--min-probability 0.8), or let it be chosen on validation "
        "images for the accuracy that you need: --target-accuracy 0.95 of cnnzoo train and fine-tune, with --resume "
        "also for a finished run; in Python target_accuracy=0.95 of fit_and_evaluate, fine_tune and evaluate"
    )

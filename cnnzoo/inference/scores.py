"""Check the scores that a runtime returns: what is no probability is never given as an answer."""

from __future__ import annotations

import numpy as np

from cnnzoo.core.errors import InputError

TOLERANCE = 0.01  # of a probability and of their sum, for the rounding of bfloat16 and float16
INT8_ROUNDING = 1 / 512  # of each probability, in a graph whose softmax has 8 bits


def find_bad_scores(scores: np.ndarray, precision: str) -> dict[int, str]:
    """Return what is wrong with the rows of `scores` (N, classes) that are no probabilities, by their number."""
    sums = scores.sum(axis=1, dtype="float64")
    tolerance = TOLERANCE + (INT8_ROUNDING * scores.shape[1] if precision == "int8" else 0)
    in_range = ((scores >= -TOLERANCE) & (scores <= 1 + TOLERANCE)).all(axis=1)  # False for NaN
    is_good = in_range & (sums > 0) & (np.abs(sums - 1) <= tolerance)
    return {int(i): _describe_row(scores[i], float(sums[i])) for i in np.flatnonzero(~is_good)}


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

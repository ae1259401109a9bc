"""Statistics of two classifiers on the same images: tests, intervals, and a correction for several comparisons.

Only the images on which exactly one of the two is right tell them apart: the "gains" of B over A, where B alone is
right, and its "losses", where A alone is right. All functions take numbers or arrays of the same shape.

* McNemar's exact test asks whether gains and losses differ by more than chance: each of them would be a gain with
  probability 1/2 (McNemar 1947).
* The interval of the difference in accuracy, and the tests of a margin, come from one score test (Tango 1998,
  Statistics in Medicine 17: 891-908). The interval holds the differences that this test does not reject.
  docs/decisions.md says how often it contains the true difference, and why Newcombe's interval is not used.
* Several comparisons at once are corrected by Holm's method (Holm 1979), which bounds the probability of any false one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, ndtr, ndtri

SIGNIFICANT = 0.05  # p-values below count as evidence
LEVEL = 0.95  # of intervals
BISECTIONS = 60  # each halves the distance to an end of an interval


def mcnemar_p(gains: ArrayLike, losses: ArrayLike) -> np.ndarray:
    """Return the two-sided p-values of McNemar's exact test; 1 where the two never differ.

    Args:
        gains: numbers of images on which only B is right.
        losses: numbers of images on which only A is right.

    Example:
        >>> from cnnzoo.evaluation.paired_statistics import mcnemar_p
        >>> float(mcnemar_p(9, 1))
        0.021484375
    """
    b, c = np.asarray(gains, "int64"), np.asarray(losses, "int64")
    # The probability of at most as many as the smaller of the two is this integral.
    tail = betainc(np.maximum(b, c), np.minimum(b, c) + 1, 0.5)
    return np.asarray(np.where(b == c, 1.0, np.minimum(1.0, 2 * tail)))


def difference_interval(
    gains: ArrayLike, losses: ArrayLike, images: ArrayLike, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds (low, high) of the interval of B's accuracy minus A's.

    Args:
        gains: numbers of images on which only B is right.
        losses: numbers of images on which only A is right.
        images: numbers of all images, above 0.
        level: the share of such intervals that contain the true difference.

    Example:
        >>> from cnnzoo.evaluation.paired_statistics import difference_interval
        >>> low, high = difference_interval(12, 2, 50)
        >>> round(float(low), 4), round(float(high), 4)
        (0.0611, 0.3447)
    """
    b, c, n = (np.asarray(values, "float64") for values in (gains, losses, images))
    difference, limit = (b - c) / n, ndtri(0.5 + level / 2)

    def find_end(far: float) -> np.ndarray:
        """Return the difference between the observed one and `far` at which the score reaches the limit."""
        inside, outside = difference, np.full(difference.shape, far)
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            is_rejected = np.abs(tango_score(b, c, n, middle)) > limit
            outside, inside = np.where(is_rejected, middle, outside), np.where(is_rejected, inside, middle)
        return np.asarray(inside)

    return find_end(-1.0), find_end(1.0)


def noninferiority_p(gains: ArrayLike, losses: ArrayLike, images: ArrayLike, margin: float) -> np.ndarray:
    """Return the p-values against "the accuracy of B is below that of A by `margin` or more"."""
    return np.asarray(ndtr(-tango_score(gains, losses, images, -margin)))


def equivalence_p(gains: ArrayLike, losses: ArrayLike, images: ArrayLike, margin: float) -> np.ndarray:
    """Return the p-values against "the accuracies differ by `margin` or more": of two one-sided tests, the larger."""
    not_above = np.asarray(ndtr(tango_score(gains, losses, images, margin)))
    return np.asarray(np.maximum(noninferiority_p(gains, losses, images, margin), not_above))


def tango_score(gains: ArrayLike, losses: ArrayLike, images: ArrayLike, difference: ArrayLike) -> np.ndarray:
    """Return Tango's score of a hypothetical difference of accuracies: about normal if that is the true one.

    The variance is that of the most likely probabilities among those with this difference; they solve a quadratic
    equation.
    """
    b, c, n, d = (np.asarray(values, "float64") for values in (gains, losses, images, difference))
    linear = (2 * n - b + c) * d - b - c
    constant = -c * d * (1 - d)
    loss_probability = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
    variance = n * (2 * loss_probability + d * (1 - d))
    distance = b - c - n * d
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = distance / np.sqrt(np.maximum(variance, 0))
    return np.asarray(np.where(np.abs(distance) < 1e-12 * n, 0.0, scores))


def correct_by_holm(p_values: ArrayLike) -> np.ndarray:
    """Return p-values (N,) that account for their number, by Holm's method; none is below its original.

    Example:
        >>> from cnnzoo.evaluation.paired_statistics import correct_by_holm
        >>> correct_by_holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, "float64")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, steps)
    return corrected

"""Differences of accuracies, their intervals and their p-values as text."""

from collections.abc import Sequence

from cnnzoo.core.numbers import share_decimals


def format_p(p: float) -> str:
    """Return a p-value for a sentence.

    Example:
        >>> from cnnzoo.evaluation.differences import format_p
        >>> format_p(0.03125), format_p(1e-9)
        ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def format_points(value: float, images: int) -> str:
    """Return a difference of shares in points, with the digits that this number of images can tell apart.

    Example:
        >>> from cnnzoo.evaluation.differences import format_points
        >>> format_points(0.0333, 180), format_points(-0.05, 40)
        ('+3.3 points', '-5 points')
    """
    return f"{100 * value:+.{share_decimals(images)}f} points"


def format_point_interval(interval: Sequence[float], images: int) -> str:
    """Return an interval of a difference of shares, in points."""
    return " to ".join(f"{100 * bound:+.{share_decimals(images)}f}" for bound in interval)

"""Differences of accuracies, their intervals and their p-values as text."""

from collections.abc import Sequence

from cnnzoo.core.numbers import share_decimals


def point_decimals(images: int) -> int:
    """Return the decimals of a difference in points: those of the shares, but at least one."""
    return max(1, share_decimals(images))


def format_p(p: float) -> str:
    """Return a p-value for a sentence.

    Example:
        >>> from cnnzoo.evaluation.differences import format_p
        >>> format_p(0.03125), format_p(1e-9)
        ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def format_points(value: float, images: int) -> str:
    """Return a difference of shares in points, with the digits that so many images can tell apart, but at least one.

    Example:
        >>> from cnnzoo.evaluation.differences import format_points
        >>> format_points(0.0333, 180), format_points(-0.05, 40)
        ('+3.3 points', '-5.0 points')
    """
    return f"{100 * value:+.{point_decimals(images)}f} points"


def format_point_interval(interval: Sequence[float], images: int) -> str:
    """Return an interval of a difference of shares, in points."""
    return " to ".join(f"{100 * bound:+.{point_decimals(images)}f}" for bound in interval)

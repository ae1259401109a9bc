"""Shares, scores and intervals as text, with as many digits as the number of images can tell apart."""

import math
from collections.abc import Sequence

MAX_DECIMALS = 2  # of a percentage; what only more than 10,000 images could tell apart is not shown


def format_share(value: float, images: int | None = None) -> str:
    """Return a share as a percentage, with the fewest decimals at which one image more makes a difference.

    These are none up to 100 images, one up to 1,000, and two for more. A share that is not 0 or 1 never reads 0 % or
    100 %: it gets the decimals that this takes.

    Args:
        value: the share, from 0 to 1.
        images: the number of images that it is a share of; None if it is a probability or unknown, for one decimal.

    Example:
        >>> format_share(19 / 24, 24), format_share(19 / 24, 720), format_share(19 / 24, 50_000)
        ('79 %', '79.2 %', '79.17 %')
        >>> format_share(0.9994), format_share(0.99996), format_share(1)
        ('99.9 %', '99.996 %', '100.0 %')
    """
    return f"{_percent(value, share_decimals(images))} %"


def format_probabilities(values: Sequence[float]) -> list[str]:
    """Return the probabilities of one image as percentages, all with the same decimals.

    They have one decimal, and more where the likeliest would read 100 % without being 1.

    Example:
        >>> format_probabilities([0.9, 0.1]), format_probabilities([0.99962, 0.00038]), format_probabilities([1, 1e-9])
        (['90.0 %', '10.0 %'], ['99.96 %', '0.04 %'], ['100.0 %', '0.0 %'])
    """
    largest = max(values, default=0.0)
    decimals = len(_percent(largest, 1).partition(".")[2]) if largest > 0.5 else 1
    return [f"{100 * value:.{decimals}f} %" for value in values]


def format_share_interval(bounds: Sequence[float], images: int | None = None) -> str:
    """Return an interval of shares, with the digits of `format_share`.

    Example:
        >>> format_share_interval([0.5953, 0.9076], 24)
        '60 to 91 %'
    """
    return f"{' to '.join(_percent(bound, share_decimals(images)) for bound in bounds)} %"


def format_score(value: float, images: int | None = None) -> str:
    """Return a score that is no percentage, such as a log loss, with as many digits as `format_share` would show.

    Example:
        >>> format_score(0.634217, 24), format_score(0.634217, 500), format_score(0.634217, 50_000)
        ('0.63', '0.634', '0.6342')
    """
    return f"{value:.{share_decimals(images) + 2}f}"


def share_decimals(images: int | None) -> int:
    """Return the decimals of a percentage of `images` images: the fewest at which one image makes a difference."""
    if images is None:
        return 1
    return min(MAX_DECIMALS, max(0, math.ceil(math.log10(max(images, 1))) - 2))


def _percent(value: float, decimals: int) -> str:
    """Return 100 * `value` with these decimals, or with more if it would read 0 or 100 without being that."""
    text = f"{100 * value:.{decimals}f}"
    while 0 < value < 1 and float(text) in (0, 100) and decimals < 6:
        decimals += 1
        text = f"{100 * value:.{decimals}f}"
    return text

"""Curves as small as a word, as letters for terminals; `core.small_charts` draws them for pages."""

import math
from collections.abc import Sequence

LEVELS = "▁▂▃▄▅▆▇█"
MAX_LETTERS = 12


def thin_out(values: Sequence[float], count: int) -> list[float]:
    """Return at most `count` of the finite values, evenly spaced, with the first and the last.

    Example:
        >>> from cnnzoo.core.sparklines import thin_out
        >>> thin_out([0, 1, 2, 3, 4, 5, 6], 3)
        [0, 3, 6]
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) <= count:
        return finite
    return [finite[round(i * (len(finite) - 1) / (count - 1))] for i in range(count)]


def write_sparkline(values: Sequence[float], value_range: tuple[float, float]) -> str:
    """Return a curve as letters, for a terminal.

    Example:
        >>> from cnnzoo.core.sparklines import write_sparkline
        >>> write_sparkline([0.5, 0.75, 0.9, 1.0], (0.5, 1.0))
        '▁▅▇█'
    """
    low, high = value_range
    shares = [(value - low) / ((high - low) or 1) for value in thin_out(values, MAX_LETTERS)]
    return "".join(LEVELS[min(max(math.floor(share * len(LEVELS)), 0), len(LEVELS) - 1)] for share in shares)

"""Types that several components share."""

from collections.abc import Sequence

Statistics = tuple[Sequence[float], Sequence[float]]  # mean and standard deviation of pixels scaled to 0..1
Preprocessing = str | Statistics  # a name of `preprocessing.STATISTICS`, or the statistics themselves
Shape = tuple[int | None, int | None, int]  # height, width, channels; None leaves a side open

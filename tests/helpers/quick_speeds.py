"""Measurements of speed that are over at once, for what a benchmark does around them."""

from unittest import mock

from cnnzoo.export import speed


def use_quick_speeds():
    """Make the benchmarks of this process measure a few calls, and in this process; a context manager."""
    return mock.patch("cnnzoo.export.benchmark.measure_in_process", measure_quickly)


def measure_quickly(path, runtime):
    """Stand in for `measure_in_process`."""
    with mock.patch.multiple(speed, MAX_CALLS=speed.MIN_CALLS, BATCH_SIZES=(1, 4), BATCH_SECONDS=0):
        return speed.measure_speed(str(path), runtime)

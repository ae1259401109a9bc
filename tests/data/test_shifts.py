"""Shifts of small images: by whole pixels and with a flip, or by fractions of pixels."""

import itertools

import numpy as np
from scipy import ndimage
from scipy.stats import kstest, uniform

from cnnzoo.data.shifts import random_shift_and_flip, random_translation


def test_small_images_are_shifted_by_whole_pixels_and_half_of_them_mirrored():
    images = np.random.default_rng(0).integers(1, 256, (400, 16, 12, 3), "uint8")
    shifted = random_shift_and_flip(images, 1 / 8, np.random.default_rng(1))
    assert shifted.dtype == np.uint8
    assert shifted.shape == images.shape
    offsets = set()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for before, after in zip(padded, shifted, strict=True):
        candidates = itertools.product(range(5), range(5), (1, -1))
        (offset,) = [p for p in candidates if (before[p[0] : p[0] + 16, p[1] : p[1] + 12][:, :: p[2]] == after).all()]
        offsets.add(offset)
    assert {row for row, _, _ in offsets} == {0, 1, 2, 3, 4}, "up to an eighth of 16 rows each way"
    assert {column for _, column, _ in offsets} == {1, 2, 3}, "less than 1.5 of 12 columns"
    assert {mirror for _, _, mirror in offsets} == {1, -1}
    np.testing.assert_array_equal(shifted, random_shift_and_flip(images, 1 / 8, np.random.default_rng(1)))


def test_translated_images_are_interpolated_and_black_moves_in():
    """Against SciPy's shift by the same sixteenths of a pixel."""
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 32, 2), "uint8")
    out = random_translation(images, 1 / 16, np.random.default_rng(1))
    assert out.dtype == np.uint8
    floats = random_translation(images.astype("float32"), 1 / 16, np.random.default_rng(1))
    assert floats.dtype == np.float32
    assert np.abs(floats - out).max() <= 0.5
    integers = random_translation(images.astype("int64"), 1 / 16, np.random.default_rng(1))
    assert integers.dtype == np.int64
    assert np.abs(floats - integers).max() <= 0.5

    rng = np.random.default_rng(1)
    rows, columns = (np.rint(16 * (m + rng.uniform(-m, m, 60))) / 16 - m for m in (1, 2))
    for before, after, row, column in zip(images, floats, rows, columns, strict=True):
        padded = np.pad(before.astype("float64"), ((3, 3), (3, 3), (0, 0)))
        expected = ndimage.shift(padded, (-row, -column, 0), order=1)[3:-3, 3:-3]
        np.testing.assert_allclose(after, expected, atol=1e-3)


def test_translations_are_uniform():
    """Centers of gravity of a dot: up to a sixteenth of the side in each direction, as often here as there."""
    images = np.zeros((4000, 32, 32, 1), "float32")
    images[:, 16, 16] = 100
    out = random_translation(images, 1 / 16, np.random.default_rng(0))[..., 0] / 100
    for axis in (1, 2):
        centers = (out.sum(axis=3 - axis) * np.arange(32)).sum(axis=1) - 16
        assert -2 <= centers.min() < -1.95
        assert 1.95 < centers.max() <= 2
        assert kstest(centers, uniform(-2, 4).cdf).pvalue > 0.001

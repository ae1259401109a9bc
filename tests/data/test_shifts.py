"""Shifts of small images: by whole pixels and with a flip, or by fractions of pixels."""

import itertools

import numpy as np

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

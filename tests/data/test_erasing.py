"""Random Erasing: the probability, area and aspect of the paper, and random pixels."""

import random

import numpy as np
import pytest

from cnnzoo.data.erasing import random_erasing


def test_rectangles_are_those_of_the_paper():
    pixels, rng = np.full((100, 80, 1), 300, "int16"), random.Random(0)
    areas, aspects = [], []
    for _ in range(4000):
        erased = (random_erasing(pixels, rng) != 300)[..., 0]
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        assert erased.sum() == len(rows) * len(columns)
        if len(rows):
            areas.append(len(rows) * len(columns) / 8000)
            aspects.append(len(rows) / len(columns))
    assert len(areas) == pytest.approx(2000, abs=150), "half of the images"
    assert 0.015 < min(areas) < 0.03
    assert 0.38 < max(areas) < 0.41
    assert 0.28 < min(aspects) < 0.35
    assert 2.9 < max(aspects) < 3.6


def test_erased_pixels_are_random_and_the_others_unchanged():
    pixels = np.zeros((64, 64, 3), "uint8")
    out = next(out for seed in range(9) if (out := random_erasing(pixels, random.Random(seed))) is not pixels)
    assert not pixels.any()
    values = out[(out > 0).any(axis=2)]
    assert values.mean() == pytest.approx(127.5, abs=10)
    assert len(np.unique(values)) > 100
    assert (values[:, 0] != values[:, 1]).mean() > 0.9, "each channel by itself"


def test_images_too_small_to_erase_stay():
    for shape in ((1, 1, 1), (1, 50, 3)):
        pixels = np.ones(shape, "uint8")
        for seed in range(20):
            np.testing.assert_array_equal(random_erasing(pixels, random.Random(seed)), pixels)

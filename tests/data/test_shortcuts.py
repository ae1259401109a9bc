"""Classes that can be told by the size, shape or color of their files are found, and no others."""

import numpy as np
import pytest

from cnnzoo.data.listing import ListedImage
from cnnzoo.data.scan import ImageFacts
from cnnzoo.data.shortcuts import find_shortcuts


def find(**classes):
    """Return the findings for classes of (height, width, mode) triples."""
    images = [
        ListedImage(f"{label}/{i}", f"{label}/{i}", label) for label, rows in classes.items() for i in range(len(rows))
    ]
    facts = [ImageFacts(height=h, width=w, mode=mode) for rows in classes.values() for h, w, mode in rows]
    return [finding.reason for finding in find_shortcuts(images, facts)]


def photos(count, seed=0, low=300, high=600, mode="RGB"):
    rng = np.random.default_rng(seed)
    return [(*rng.integers(low, high, 2).tolist(), mode) for _ in range(count)]


SMALL, WIDE, GRAY = [(128, 128, "RGB")] * 40, [(400, 1600, "RGB")] * 40, photos(40, 9, mode="L")


def test_a_class_of_small_files_is_found():
    assert find(ant=photos(40), bee=photos(60, 1), flower=SMALL) == [
        "flower: nearly all of its images have at most 128 pixels on the shorter side, and nearly all others have more"
    ]


def test_a_class_of_large_files_is_found():
    assert find(a=photos(30, 1, 60, 70), b=photos(30, 2, 60, 70), c=photos(30))[0].startswith(
        "c: nearly all of its images have at least 3"
    )


def test_a_few_exceptions_do_not_hide_it():
    assert len(find(ant=photos(99) + SMALL[:1], bee=photos(99, 1), flower=SMALL + photos(1, 2))) == 1


def test_of_two_classes_one_is_named():
    assert len(find(ant=photos(40), flower=SMALL)) == 1


def test_shape_and_color_tell_classes_too():
    assert "width divided by height" in find(a=photos(40, low=380, high=420), b=WIDE)[0]
    assert find(a=photos(40), b=photos(40, 1), c=GRAY) == [
        "c: nearly all of its images are gray, and nearly all others are in color"
    ]


@pytest.mark.parametrize(
    "classes",
    [
        {"a": photos(40), "b": photos(40, 1)},
        {"a": photos(40), "b": SMALL[:19]},  # too few to tell
        {"a": [(300, 300, "RGB")] * 40, "b": [(320, 320, "RGB")] * 40},  # a small difference
        {"a": SMALL + photos(40), "b": photos(40, 1)},  # half of a class
        {"a": photos(40)},
        {},
    ],
)
def test_ordinary_classes_are_not(classes):
    assert not find(**classes)

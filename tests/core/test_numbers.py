"""Numbers as text: no digits that the images cannot tell apart, and no 100 % that is none."""

import pytest

from cnnzoo.core.numbers import (
    format_probabilities,
    format_score,
    format_share,
    format_share_interval,
    share_decimals,
)


@pytest.mark.parametrize(
    ("images", "decimals"), [(0, 0), (1, 0), (24, 0), (100, 0), (101, 1), (1000, 1), (1001, 2), (50_000, 2), (None, 1)]
)
def test_digits_follow_from_the_number_of_images(images, decimals):
    assert share_decimals(images) == decimals
    assert format_score(0.123456789, images) == f"{0.123456789:.{decimals + 2}f}"


@pytest.mark.parametrize("images", [1, 7, 24, 100, 101, 999, 1000, 9999])
def test_one_image_more_makes_a_difference(images):
    texts = [format_share(count / images, images) for count in range(images + 1)]
    assert len(set(texts)) == len(texts)
    assert texts.count("0 %") <= 1 >= texts.count("100 %")


def test_only_everything_reads_100_and_only_nothing_reads_0():
    assert format_share(49_999 / 50_000, 50_000) == "99.998 %"
    assert format_share(1e-6, 50_000) == "0.0001 %"
    assert format_share(1.0, 50_000) == "100.00 %"
    assert format_share(0.0, 24) == "0 %"
    assert format_share(1e-300) == "0.000000 %", "nobody reads 300 digits"
    assert format_share_interval((0.0, 0.99999), 50) == "0 to 99.999 %"


def test_a_probability_below_1_never_reads_100():
    assert format_probabilities([0.9996]) == ["99.96 %"]
    assert format_probabilities([1 - 2**-24]) == ["99.99999 %"], "the largest of float32 below 1"
    assert format_probabilities([1]) == ["100.0 %"]


def test_the_probabilities_of_one_image_have_the_same_digits():
    assert format_probabilities([0.999997, 3e-6]) == ["99.9997 %", "0.0003 %"]
    assert format_probabilities([0.4, 0.35, 1e-9]) == ["40.0 %", "35.0 %", "0.0 %"]
    assert format_probabilities([]) == []

"""What the page of a comparison suggests: each step comes from its counts, and links to what it names."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnnzoo.evaluation.comparison_steps import count_images_needed, suggest_steps
from cnnzoo.evaluation.paired_statistics import difference_interval


def make_comparison(gains, losses, images=1000, **changes):
    fields = {
        "gains": np.arange(gains),
        "losses": np.arange(losses),
        "labels": np.zeros(images, int),
        "difference": (gains - losses) / images,
        "margin": None,
        "is_better": False,
        "is_worse": False,
        "is_equivalent": None,
        "has_same_probabilities": False,
        "per_class": [{"name": "ant", "images": 500, "difference": -0.1, "p_holm": 0.2, "gains": 0, "losses": 5}],
        "slices": {},
    }
    return SimpleNamespace(**fields | changes)


def test_a_difference_that_is_not_shown_says_how_many_images_would_show_it():
    first, second = suggest_steps(make_comparison(30, 20))
    assert first.title == "Compare the two on more images"
    assert "Only 50 of 1,000 images tell the two apart" in first.evidence
    assert "A difference of +1.0 points would be shown on about 2,000 images." in first.evidence
    assert "--margin 0.01" in first.evidence
    assert (second.title, second.address) == ("Look at the 20 images that only A recognizes", "#losses")
    (copies,) = suggest_steps(make_comparison(0, 0, has_same_probabilities=True))
    assert copies.title == "Check that A and B are the models you mean"
    (same,) = suggest_steps(make_comparison(0, 0))
    assert "would be shown" not in same.evidence
    assert "--margin" not in suggest_steps(make_comparison(3, 2, margin=0.01))[0].evidence
    assert suggest_steps(make_comparison(3, 0, is_equivalent=True)) == []


@pytest.mark.parametrize(("gains", "losses", "images"), [(12, 8, 100), (8, 12, 100), (300, 280, 10_000)])
def test_the_number_of_images_is_where_the_interval_leaves_0(gains, losses, images):
    needed = count_images_needed(gains, losses, images)
    for factor, leaves in ((needed / images * 1.01, True), (needed / images / 1.06, False)):
        low, high = difference_interval(gains * factor, losses * factor, images * factor)
        assert bool(low > 0 or high < 0) == leaves


def test_no_number_is_named_for_no_difference_or_a_tiny_one():
    assert count_images_needed(10, 10, 100) is None
    assert count_images_needed(1001, 1000, 10_000) is None


def test_the_group_that_got_worst_is_named():
    bees = {"name": "bee\n", "images": 200, "difference": -0.05, "p_holm": 0.01, "gains": 1, "losses": 11}
    small = {"name": "small", "images": 300, "difference": -0.04, "p_holm": 0.001, "gains": 1, "losses": 13}
    comparison = make_comparison(3, 30, is_worse=True, slices={"size": [small], "color": [bees]})
    first, _ = suggest_steps(comparison)
    assert first.title == "Look at “bee\\n”, where B is worse"
    assert "-5.0 points on 200 images: B is right on 1 that A gets wrong, and wrong on 11" in first.evidence
    assert first.address == "#by-3"

"""A page of a report has at most 3 MB, whatever the number of classes and images, and however long their names are."""

import numpy as np
import pytest
from helpers.pages import Page

from cnnzoo.evaluation.report import Report

MAX_BYTES = 3_000_000
HOSTILE = "<b>\x1b[2J\n"


class NoiseImages:
    """Images (N, 400, 400, 3) of noise, which no picture format compresses, made when they are read."""

    def __init__(self, count):
        self.shape = (count, 400, 400, 3)

    def __getitem__(self, part):
        seed = part.start if isinstance(part, slice) else part
        return np.random.default_rng(seed).integers(0, 256, (1, *self.shape[1:]), "uint8")


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "count"), [(100, 10_000), (1050, 1500)])
def test_a_page_is_bounded(classes, count):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    guesses = np.where(rng.random(count) < 0.5, labels, rng.integers(0, classes, count))
    p = np.full((count, classes), 1e-4, "float32")
    p[np.arange(count), guesses] = 0.9
    p /= p.sum(axis=1, keepdims=True)
    names = tuple(f"{HOSTILE}{i} {'W' * 200}" for i in range(classes))
    files = np.array([f"{HOSTILE}{i}" + "W" * 200 for i in range(count)])
    report = Report("net", "set", "test", names, files, labels, p, NoiseImages(count))
    html = report.to_html()
    assert len(html.encode("utf-8")) <= MAX_BYTES
    page = Page(html)
    page.check()
    assert len(page.all("img")) == 48
    assert "classes that are confused most often" in page.text
    assert f"All {classes:,} classes: true classes from top to bottom" in page.text
    assert ("1,000 of 1,050 classes with the lowest F1; report.json has all" in page.text) == (classes > 1000)
    assert "<b>\\x1b[2J\\n0" in page.text

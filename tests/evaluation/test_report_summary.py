"""Reports in a notebook: headline, confusion matrix and mistakes."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.notebooks import HOSTILE, check_summary
from PIL import Image

import cnnzoo
from cnnzoo.core.gallery import MAX_TILES


@pytest.fixture
def report(trained):
    """The report of a model that takes every third image for another class."""
    probabilities = np.roll(trained.report.probabilities, 1, axis=1)
    probabilities[::3] = trained.report.probabilities[::3]
    return replace(trained.report, probabilities=probabilities)


def make_report(classes, images_per_class=2):
    """A report of random predictions with hostile class names."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), images_per_class)
    probabilities = rng.dirichlet(np.ones(classes), len(labels))
    return cnnzoo.Report(
        model=HOSTILE,
        data=HOSTILE,
        split="test",
        classes=tuple(f"{i}{HOSTILE}" for i in range(classes)),
        names=np.array([f"{HOSTILE}{i}" for i in range(len(labels))]),
        labels=labels,
        probabilities=probabilities,
        images=rng.integers(0, 256, (len(labels), 64, 64, 3), "uint8"),
        remarks=(HOSTILE,),
    )


def test_a_notebook_shows_the_headline_and_the_matrix(report):
    page = check_summary(report._repr_html_())
    wrong = int((report.predicted != report.labels).sum())
    assert f"{wrong} of {len(report.labels)} test images are classified wrong" in page.text
    assert len(page.all("svg")) == 1
    assert "report.show_mistakes()" in page.text
    assert "report.html" in page.text


@pytest.mark.parametrize("classes", [2, 12, 25, 60])
def test_hostile_names_and_many_classes_stay_small(classes):
    report = make_report(classes)
    page = check_summary(report._repr_html_())
    assert page.all("svg") or "most confused pairs" in page.text
    check_summary(report.show_mistakes(100)._repr_html_())


def test_mistakes_have_both_probabilities(report, tmp_path):
    gallery = report.show_mistakes(count=5, path=tmp_path / "a.png")
    first = report.worst[0]
    tile = gallery.tiles[0]
    assert tile.lines == (f"true: {report.classes[report.labels[first]]}", report.names[first])
    (predicted, share), (true, true_share) = tile.shares
    assert (predicted, true) == (report.classes[report.predicted[first]], report.classes[report.labels[first]])
    assert share == pytest.approx(report.probabilities[first].max())
    assert true_share == pytest.approx(report.probabilities[first, report.labels[first]])
    assert gallery.title.startswith(f"5 of {len(report.worst)} mistakes of lenet5 on arrays, test")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
    assert len(report.show_mistakes(count=10_000)) == min(len(report.worst), MAX_TILES)


def test_a_report_without_mistakes_says_so(trained):
    perfect = replace(trained.report, probabilities=np.eye(3, dtype="float32")[trained.report.labels])
    assert perfect.show_mistakes().title == "No mistakes of lenet5 on arrays, test"
    assert "show_mistakes" not in check_summary(perfect._repr_html_()).text


def test_wrong_options_are_refused(trained):
    with pytest.raises(cnnzoo.InputError, match="count must be a whole number"):
        trained.report.show_mistakes(0)
    with pytest.raises(cnnzoo.InputError, match=r"must be a \.png file"):
        trained.report.show_mistakes(path="a.jpg")

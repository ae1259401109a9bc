"""The maps beside the pictures of a report: for which images and classes, where they cost too much, and the page."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.pages import Page
from helpers.small_models import shrink_resnet

import cnnzoo
from cnnzoo.evaluation import report_maps
from cnnzoo.evaluation.report_maps import list_pictures
from cnnzoo.surgery.multiply_adds import estimate_multiply_adds


@pytest.fixture(scope="module")
def data():
    return cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))


@pytest.fixture(scope="module")
def model():
    return cnnzoo.get("lenet5", weights="mnist")


@pytest.fixture(scope="module")
def report(model, data):
    return cnnzoo.evaluate(model, data, verbose=False)


def test_each_picture_has_the_map_of_the_class_it_was_taken_for(report, model):
    pairs = list_pictures(report)
    assert pairs[0] == (report.worst[0], report.predicted[report.worst[0]])
    assert report.maps.keys() == set(pairs)
    classifier = cnnzoo.Classifier.of(model, "keras", pad=0)  # the digits of the report have their border already
    for (i, other), levels in list(report.maps.items())[:3]:
        (explanation,) = cnnzoo.explain(classifier, np.asarray(report.images[i : i + 1]), target=other)
        assert levels.shape == (32, 32)
        expected = np.rint(255 * explanation.map)
        assert np.abs(levels.astype(int) - expected).max() <= 1


def test_the_page_shows_the_maps_beside_the_pictures(report):
    shown, hidden = Page(report.to_html()), Page(replace(report, maps={}).to_html())
    shown.check()
    assert len(shown.all("img")) == 2 * len(hidden.all("img")) > 0
    assert "what speaks for" in shown.text
    assert "what speaks for" not in hidden.text


def test_a_map_without_evidence_is_stated(report):
    empty = {pair: np.zeros_like(levels) for pair, levels in report.maps.items()}
    assert "nothing speaks for" in Page(replace(report, maps=empty).to_html()).text


def test_maps_can_be_switched_off_and_on(model, data, monkeypatch):
    assert not cnnzoo.evaluate(model, data, maps=False, verbose=False).maps
    monkeypatch.setattr(report_maps, "MAX_MULTIPLY_ADDS", 1000)
    assert not cnnzoo.evaluate(model, data, verbose=False).maps
    assert cnnzoo.evaluate(model, data, maps=True, verbose=False).maps
    with pytest.raises(cnnzoo.InputError, match="maps must be True, False or 'auto'. Received: 'yes'"):
        cnnzoo.evaluate(model, data, maps="yes")


def test_a_report_of_a_network_without_feature_maps_has_no_maps(data):
    keras.utils.set_random_seed(0)
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    assert not cnnzoo.evaluate(flat, data, verbose=False).maps
    with pytest.warns(UserWarning, match="The report has no maps: .*has no layer with feature maps"):
        assert not cnnzoo.evaluate(flat, data, maps=True, verbose=False).maps


def test_a_report_is_not_lost_because_of_its_maps(model, data, monkeypatch):
    """Whatever a layer raises that has no gradient, or too little memory."""

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(report_maps, "compute_network_maps", fail)
    report = cnnzoo.evaluate(model, data, verbose=False)
    assert report.accuracy > 0
    assert not report.maps
    with pytest.warns(UserWarning, match="The report has no maps: MemoryError"):
        assert cnnzoo.evaluate(model, data, maps=True, verbose=False).accuracy == report.accuracy


def test_files_have_no_maps_of_their_own(report, tmp_path):
    """report.json stays as it is: maps are pictures of the page."""
    report.save(tmp_path)
    assert "maps" not in (tmp_path / "report.json").read_text()


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "small"])
def test_multiply_adds_are_those_of_the_registry(name):
    if name != "small":
        macs = cnnzoo.info(name).row.macs
        assert estimate_multiply_adds(cnnzoo.get(name)) == pytest.approx(macs, rel=0.02)
        return
    model = cnnzoo.get(shrink_resnet("resnet18"), image_size=64, classes=3)
    nested = keras.Model(inputs := keras.Input((64, 64, 3)), model(inputs))
    assert estimate_multiply_adds(nested) == estimate_multiply_adds(model)

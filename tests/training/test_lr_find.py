"""The range test: it finds a rate that trains, draws its curve, and leaves the model as it was."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.training import RECIPE, fit, new_lenet
from PIL import Image

import cnnzoo


def find(model, data, **options):
    return cnnzoo.lr_find(model, data, **{"recipe": RECIPE, "verbose": False, **options})


def test_the_suggestion_trains_and_the_weights_are_back(data, tmp_path):
    model = new_lenet()
    before = model.get_weights()
    rate_test = find(model, data)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert rate_test == find(model, data), "the same seed, the same curve"
    assert rate_test.rates[0] == pytest.approx(1e-6)
    assert 1e-3 < rate_test.suggestion < 0.5
    rate_test.save(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert min(picture.size) > 300
    assert f"Suggested learning rate: {rate_test.suggestion:.2g}" in str(rate_test)
    report = fit(model, data, recipe=replace(RECIPE, epochs=10, learning_rate=rate_test.suggestion))
    assert report.accuracy > 0.8


def test_the_rate_test_stops_when_the_loss_explodes(data):
    rate_test = find(new_lenet(), data, recipe=replace(RECIPE, momentum=0.99), high=1e4)
    assert len(rate_test.losses) < 100
    assert rate_test.losses[-1] > 3 * min(rate_test.losses)
    assert rate_test.suggestion <= rate_test.rates[int(np.argmin(rate_test.losses))] / 9


def test_auto_takes_the_suggestion_once(data, tmp_path):
    recipe = replace(RECIPE, learning_rate="auto")
    auto = fit(new_lenet(), data, recipe=recipe, run_dir=tmp_path / "a")
    rate = find(new_lenet(), data).suggestion
    assert auto.history == fit(new_lenet(), data, recipe=replace(RECIPE, learning_rate=rate)).history
    assert (tmp_path / "a" / "lr_find.png").exists()
    assert auto.record["learning_rate.found"] == rate


def test_wrong_input(data, tmp_path):
    for options, message in (
        ({"low": 1.0, "high": 0.1}, "Rates must rise from low to high"),
        ({"steps": 3}, "steps must be a whole number from 10"),
        ({"recipe": "sdg"}, "Did you mean sgd"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            find(new_lenet(), data, **options)
    with pytest.raises(cnnzoo.InputError, match=r"must be a \.png file"):
        cnnzoo.RateTest((1.0,), (1.0,), 1.0).save(tmp_path / "a.jpg")
    model = new_lenet()
    before = model.get_weights()
    with pytest.raises(cnnzoo.TrainingError, match=r"No learning rate from 1000 to 10000 .* weights are as before"):
        find(model, data, low=1e3, high=1e4)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

"""The learning rate range test: it finds a rate that trains, draws its curve, and restores the model."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.training import RECIPE, assert_same_weights, fit, new_lenet
from PIL import Image

import cnnzoo


def find_rate(model, data, **options):
    return cnnzoo.lr_find(model, data, **{"recipe": RECIPE, "verbose": False, **options})


@pytest.fixture(scope="module")
def rate_test(data):
    """The result of the range test, whose model has its weights back."""
    model = new_lenet()
    before = model.get_weights()
    result = find_rate(model, data)
    assert_same_weights(before, model.get_weights())
    return result


@pytest.mark.slow
def test_the_suggestion_trains(rate_test, data, tmp_path):
    assert rate_test.rates[0] == pytest.approx(1e-6)
    assert 1e-3 < rate_test.suggestion < 0.5
    rate_test.save(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert min(picture.size) > 300
    assert f"Suggested learning rate: {rate_test.suggestion:.2g}" in str(rate_test)
    report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=10, learning_rate=rate_test.suggestion))
    assert report.accuracy > 0.8


def test_it_stops_if_the_loss_explodes(data):
    result = find_rate(new_lenet(), data, recipe=replace(RECIPE, momentum=0.99), high=1e4)
    assert len(result.rates) == len(result.losses) < 100
    assert result.losses[-1] > 3 * min(result.losses)
    assert result.suggestion <= result.rates[int(np.argmin(result.losses))] / 9


@pytest.mark.slow
def test_auto_trains_at_the_suggested_rate(rate_test, data, tmp_path):
    short = replace(RECIPE, epochs=2)
    auto = fit(new_lenet(), data, recipe=replace(short, learning_rate="auto"), run_dir=tmp_path / "run")
    assert auto.record["learning_rate.found"] == rate_test.suggestion, "the same seed, the same suggestion"
    same = fit(new_lenet(), data, recipe=replace(short, learning_rate=rate_test.suggestion))
    assert auto.history == same.history
    assert (tmp_path / "run" / "lr_find.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 1.0, "high": 0.1}, "Rates must rise from low to high"),
        ({"steps": 3}, "steps must be a whole number from 10"),
        ({"recipe": "sdg"}, "Did you mean sgd"),
    ],
)
def test_invalid_options_raise_an_error(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        find_rate(new_lenet(), data, **options)


def test_the_curve_is_saved_as_png_only(tmp_path):
    with pytest.raises(cnnzoo.InputError, match=r"must be a \.png file"):
        cnnzoo.RateTest((1.0,), (1.0,), 1.0).save(tmp_path / "curve.jpg")


def test_rates_that_are_all_too_high_raise_an_error_and_restore_the_weights(data):
    model = new_lenet()
    before = model.get_weights()
    with pytest.raises(cnnzoo.TrainingError, match=r"No learning rate from 1000 to 10000 .* weights are as before"):
        find_rate(model, data, low=1e3, high=1e4)
    assert_same_weights(before, model.get_weights())

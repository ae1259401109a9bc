"""Whether a temperature is applied: with simulated models, whose best temperature is known."""

import numpy as np
import pytest
from helpers.simulated_predictions import simulate_predictions

from cnnzoo.evaluation import temperature
from cnnzoo.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    log_losses,
    log_probabilities,
    reliability_bins,
)
from cnnzoo.evaluation.temperature import choose_temperature, fit_temperature

SEEDS = range(20)


def choose_many(images, **options):
    return [choose_temperature(*simulate_predictions(images, seed=seed, **options)) for seed in SEEDS]


def count_applied(choices):
    return sum(not choice.reason for choice in choices)


@pytest.mark.parametrize("images", [20, 100, 500])
@pytest.mark.parametrize("spread", [4, 12])
def test_well_calibrated_models_stay_as_they_are(images, spread):
    choices = choose_many(images, spread=spread)
    assert count_applied(choices) <= 2
    assert all(choice.temperature == 1 for choice in choices if choice.reason)


@pytest.mark.parametrize(("factor", "images", "applied"), [(3, 100, 15), (1.5, 500, 18), (0.5, 100, 15)])
def test_models_that_are_too_confident_or_too_little_are_calibrated(factor, images, applied):
    choices = choose_many(images, factor=factor)
    assert count_applied(choices) >= applied
    for choice in choices:
        if not choice.reason:
            assert (choice.temperature > 1) == (factor > 1)


def test_5000_images_give_the_temperature_itself():
    choice = choose_temperature(*simulate_predictions(5000, factor=2))
    assert choice.temperature == choice.fitted == pytest.approx(2, rel=0.05)
    assert not choice.reason
    assert str(choice) == f"Temperature {choice.temperature:.3g}, fitted on 5,000 validation images"


@pytest.mark.parametrize("images", [24, 50, 300])
@pytest.mark.parametrize("factor", [0.5, 1, 1.5, 3])
def test_other_images_are_never_much_worse_off(images, factor):
    """The mean change of log loss and of the calibration error on other images, over 20 validation splits."""
    labels, p = simulate_predictions(4000, factor=factor, seed=99)
    before = log_losses(labels, p).mean(), expected_calibration_error(reliability_bins(labels, p))
    changes = []
    for choice in choose_many(images, factor=factor):
        if choice.reason:
            changes.append((0, 0))
            continue
        q = apply_temperature(p, choice.temperature)
        after = log_losses(labels, q).mean(), expected_calibration_error(reliability_bins(labels, q))
        changes.append(np.subtract(after, before))
    mean = np.mean(changes, axis=0)
    assert (mean <= [0.002, 0.003]).all()
    assert np.max(changes, axis=0)[0] < 0.06


def test_few_images_do_not_determine_a_temperature():
    reasons = [choice.reason for choice in choose_many(24)]
    assert any(
        "24 validation images" in reason and "too few to choose a temperature; it may be anything from" in reason
        for reason in reasons
    )


def test_no_gain_is_a_reason():
    choice = choose_temperature(*simulate_predictions(2000))
    assert choice.temperature == 1
    assert choice.fitted != 1
    before, after = choice.log_loss
    assert "on 2,000 validation images, each left out of the fit in turn, a temperature would" in choice.reason
    assert ("would raise the log loss" in choice.reason) == (after > before)
    assert ("which may be chance" in choice.reason) == (after <= before)
    assert str(choice) == f"The probabilities were not calibrated: {choice.reason}"


def test_wrong_labels_do_not_spoil_the_calibration():
    """They make a high temperature the best one for the log loss, and it worsens the calibration error."""
    labels, p = simulate_predictions(1000, spread=12, wrong_labels=0.1)
    choice = choose_temperature(labels, p)
    assert choice.fitted > 2
    assert choice.gain > choice.gain_standard_error
    assert choice.calibration_error[1] > choice.calibration_error[0]
    assert "would raise the calibration error from 9" in choice.reason


def test_no_mistakes_are_a_reason():
    choice = choose_temperature([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    assert "without a mistake among 2 validation images" in choice.reason
    assert choice.to_dict().keys() == {"temperature", "fitted", "images", "mistakes", "reason"}


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        ([1], [[0.6, 0.4]]),
        ([1] * 19, [[1.0, 0.0]] * 19),
        ([0, 1, 2], np.full((3, 3), 1 / 3)),
        ([1, 0], [[1 - 1e-300, 1e-300], [1.0, 0.0]]),
    ],
)
def test_extreme_predictions_have_an_answer(labels, p):
    choice = choose_temperature(labels, p)
    assert choice.temperature == 1
    assert choice.reason
    assert all(np.isfinite(value).all() for value in choice.to_dict().values() if not isinstance(value, str))


def test_one_newton_step_leaves_an_image_out():
    """Against a fit without each image."""
    labels, p = simulate_predictions(40, classes=3, factor=2)
    quick, _ = temperature._leave_one_out_losses(labels, log_probabilities(p), fit_temperature(labels, p))
    others = [np.arange(40) != i for i in range(40)]
    temperatures = np.array([fit_temperature(labels[rows], p[rows]) for rows in others])
    exact = temperature._losses(labels, log_probabilities(p), temperatures[:, None])
    assert quick.mean() == pytest.approx(exact.mean(), rel=0.005)
    np.testing.assert_allclose(quick, exact, atol=0.05)

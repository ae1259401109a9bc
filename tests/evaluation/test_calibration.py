"""Calibration: what a temperature does to probabilities, and the intervals of what is measured."""

import numpy as np
import pytest
from helpers.simulated_predictions import simulate_predictions
from sklearn.metrics import log_loss

from cnnzoo.evaluation import calibration, metrics
from cnnzoo.evaluation.temperature import fit_temperature


def test_the_temperature_undoes_a_scaling_of_the_logits():
    """Labels are drawn from the probabilities, and then the logits are tripled, so the temperature must be three."""
    rng = np.random.default_rng(0)
    calibrated = rng.dirichlet([0.5] * 4, 20_000)
    labels = (calibrated.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    overconfident = calibration.apply_temperature(calibrated, 1 / 3)
    temperature = fit_temperature(labels, overconfident)
    assert temperature == pytest.approx(3, rel=0.03)
    np.testing.assert_allclose(calibration.apply_temperature(overconfident, 3), calibrated, atol=1e-6)
    metric = metrics.compute_metrics(labels, overconfident, list("abcd"), temperature=temperature)
    assert metric["calibrated"]["calibration_error"] < 0.02 < metric["calibration_error"]
    assert metric["calibrated"]["log_loss"] == pytest.approx(
        log_loss(labels, calibration.apply_temperature(overconfident, temperature))
    )
    assert fit_temperature(labels, np.eye(4)[labels]) == 1, "without mistakes, the temperature stays 1"


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.7, 20])
def test_a_temperature_keeps_the_order_of_the_classes(temperature):
    """Also of float32 scores that are as close as they can be, of certain ones, and of equal ones."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([0.3] * 5, 500).astype("float32")
    scores[:50, 1] = np.nextafter(scores[:50, 0], np.float32(1))
    scores[50:60] = np.eye(5)[0]
    scores[60:70] = 0.2
    scores = np.maximum(scores.astype("float64"), 1e-37)
    calibrated = calibration.apply_temperature(scores, temperature)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), scores.argmax(axis=1))
    rows = np.arange(500)[:, None]
    steps = np.diff(calibrated[rows, scores.argsort(axis=1, kind="stable")], axis=1)
    assert (steps >= 0).all()
    np.testing.assert_allclose(calibration.apply_temperature(calibrated, 1 / temperature)[70:], scores[70:], atol=1e-5)


def test_measured_calibration_equals_a_computation_by_hand():
    labels, p = simulate_predictions(300, classes=4, factor=2)
    measured = calibration.measure_calibration(labels, p)
    assert measured["log_loss"] == pytest.approx(log_loss(labels, p))
    bins = measured["reliability"]
    for accuracy, images, low, high in zip(*(bins[key] for key in ("accuracy", "images", "low", "high")), strict=True):
        expected = calibration.wilson_interval(round(accuracy * images), int(images)) if images else [0, 0]
        assert [low, high] == expected
    for key, (low, high) in measured["intervals_95"].items():
        assert low < measured[key] <= high, key
    assert calibration.measure_calibration(labels, p) == measured, "the seed is fixed"
    assert calibration.measure_calibration(labels, p, seed=1) != measured


@pytest.mark.parametrize(("factor", "images"), [(1, 24), (1, 300), (3, 100), (0.5, 300)])
def test_the_interval_of_the_calibration_error_contains_that_of_many_images(factor, images):
    """In at least 32 of 40 draws: benchmarks/calibration.py measures it more closely."""
    many = simulate_predictions(50_000, factor=factor)
    true = calibration.expected_calibration_error(calibration.reliability_bins(*many))
    hits = 0
    for seed in range(40):
        labels, p = simulate_predictions(images, factor=factor, seed=seed)
        low, high = calibration.measure_calibration(labels, p)["intervals_95"]["calibration_error"]
        hits += low <= true + 0.002 and true <= high
    assert hits >= 32


def test_chance_explains_the_calibration_error_of_few_images():
    labels, p = simulate_predictions(24)
    measured = calibration.measure_calibration(labels, p)
    assert measured["calibration_error"] > 0.1
    assert measured["chance_calibration_error"] > 0.1
    assert measured["intervals_95"]["calibration_error"][0] == 0


def test_one_image_has_a_calibration_too():
    measured = calibration.measure_calibration([0], [[0.75, 0.25]])
    assert measured["calibration_error"] == pytest.approx(0.25)
    assert np.isfinite(measured["intervals_95"]["calibration_error"]).all()

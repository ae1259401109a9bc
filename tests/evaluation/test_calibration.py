"""Calibration: temperature scaling."""

import numpy as np
import pytest

from cnnzoo.evaluation import calibration, metrics


def test_the_temperature_undoes_a_scaling_of_the_logits():
    """Labels are drawn from the probabilities, and then the logits are tripled, so the temperature must be three."""
    rng = np.random.default_rng(0)
    calibrated = rng.dirichlet([0.5] * 4, 20_000)
    labels = (calibrated.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    overconfident = calibration.apply_temperature(calibrated, 1 / 3)
    temperature = calibration.fit_temperature(labels, overconfident)
    assert temperature == pytest.approx(3, rel=0.03)
    np.testing.assert_allclose(calibration.apply_temperature(overconfident, 3), calibrated, atol=1e-6)
    metric = metrics.compute_metrics(labels, overconfident, list("abcd"), temperature=temperature)
    assert metric["calibrated"]["calibration_error"] < 0.02 < metric["calibration_error"]
    assert metric["calibrated"]["log_loss"] == pytest.approx(
        -np.mean(np.log(calibration.apply_temperature(overconfident, temperature)[np.arange(20_000), labels]))
    )
    assert calibration.fit_temperature(labels, np.eye(4)[labels]) == 1, "without mistakes, the temperature stays 1"

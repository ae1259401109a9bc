"""Calibration of probabilities by temperature scaling: Guo et al. 2017, "On calibration of modern neural networks"."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binned_statistic
from sklearn.metrics import log_loss

BIN_COUNT = 15
TEMPERATURE_RANGE = (0.05, 20.0)


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Return probabilities (N, classes) after their logits are divided by `temperature`."""
    return np.asarray(softmax(_log_probabilities(probabilities) / temperature, axis=1))


def fit_temperature(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the temperature that minimizes the log loss; it is above 1 for an overconfident model.

    It is 1 if every prediction is right, because correct predictions alone do not show how confident to be.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
    """
    log_probabilities, labels = _log_probabilities(probabilities), np.asarray(y_true)
    if (log_probabilities.argmax(axis=1) == labels).all():
        return 1.0
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(log_probabilities / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, labels].mean())

    bounds = tuple(np.log(TEMPERATURE_RANGE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _log_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return finite logarithms of probabilities, which serve as logits."""
    smallest = np.finfo("float64").tiny
    return np.asarray(np.log(np.clip(np.asarray(probabilities, "float64"), smallest, None)))


def reliability_bins(y_true: ArrayLike, probabilities: ArrayLike) -> dict[str, list[float]]:
    """Return mean confidence, accuracy and number of images in each of 15 equal bins of confidence.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes); the largest of a row is its confidence.

    Returns:
        The lists "confidence", "accuracy" and "images", with zeros for empty bins.
    """
    values = np.asarray(probabilities, "float64")
    confidence = values.max(axis=1)
    correct = (values.argmax(axis=1) == np.asarray(y_true)).astype("float64")
    edges = np.linspace(0, 1, BIN_COUNT + 1)
    columns = {
        "confidence": np.nan_to_num(binned_statistic(confidence, confidence, "mean", edges).statistic),
        "accuracy": np.nan_to_num(binned_statistic(confidence, correct, "mean", edges).statistic),
        "images": binned_statistic(confidence, confidence, "count", edges).statistic,
    }
    return {name: [float(value) for value in column] for name, column in columns.items()}


def expected_calibration_error(bins: dict[str, list[float]]) -> float:
    """Return the difference between confidence and accuracy of `reliability_bins`, averaged over images."""
    gaps = np.abs(np.subtract(bins["confidence"], bins["accuracy"]))
    return float(np.average(gaps, weights=bins["images"]))


def calibrated_metrics(
    y_true: ArrayLike, probabilities: ArrayLike, temperature: float, labels: ArrayLike
) -> dict[str, float]:
    """Return log loss and calibration error after the logits are divided by `temperature`.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes) before the division.
        temperature: the divisor, fitted on other images.
        labels: all class indices (classes,).
    """
    calibrated = apply_temperature(probabilities, temperature)
    return {
        "temperature": temperature,
        "log_loss": float(log_loss(y_true, calibrated, labels=labels)),
        "calibration_error": expected_calibration_error(reliability_bins(y_true, calibrated)),
    }

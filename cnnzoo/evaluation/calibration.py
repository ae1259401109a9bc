"""Calibration of probabilities: what a temperature does to them, and how far they are from the accuracy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from scipy.stats import binned_statistic, binomtest

BIN_COUNT = 15
SMALLEST = np.finfo("float64").tiny  # its logarithm is finite
EPSILON = np.finfo("float64").eps  # probabilities are clipped to it in scikit-learn's log loss
# Draws of a bootstrap; fewer if they would have more images than this together, so that it takes a second at most.
RESAMPLES, MIN_RESAMPLES, MAX_DRAWN_IMAGES = 2000, 200, 20_000_000
MAX_VALUES = 1_000_000  # in an array at a time


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Return probabilities (N, classes) after their logits are divided by `temperature`.

    The order of the classes stays as it is. `apply_temperature(p, 1 / t)` undoes `apply_temperature(p, t)`.
    """
    return np.asarray(softmax(log_probabilities(probabilities) / temperature, axis=1))


def log_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return finite logarithms of probabilities, which serve as logits."""
    return np.asarray(np.log(np.clip(np.asarray(probabilities, "float64"), SMALLEST, None)))


def reliability_bins(y_true: ArrayLike, probabilities: ArrayLike) -> dict[str, list[float]]:
    """Return mean confidence, accuracy and number of images in each of 15 equal bins of confidence.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes); the largest of a row is its confidence.

    Returns:
        The lists "confidence", "accuracy" and "images", and "low" and "high", the bounds of the 95 % interval of the
        accuracy by Wilson's score. Empty bins have zeros.
    """
    confidence, is_right = _confidence_and_success(y_true, probabilities)
    edges = np.linspace(0, 1, BIN_COUNT + 1)
    columns = {
        "confidence": np.nan_to_num(binned_statistic(confidence, confidence, "mean", edges).statistic),
        "accuracy": np.nan_to_num(binned_statistic(confidence, is_right, "mean", edges).statistic),
        "images": binned_statistic(confidence, confidence, "count", edges).statistic,
    }
    hits = binned_statistic(confidence, is_right, "sum", edges).statistic
    bounds = [
        wilson_interval(int(hit), int(images)) if images else [0.0, 0.0]
        for hit, images in zip(hits, columns["images"], strict=True)
    ]
    columns |= {"low": np.array([low for low, _ in bounds]), "high": np.array([high for _, high in bounds])}
    return {name: [float(value) for value in column] for name, column in columns.items()}


def expected_calibration_error(bins: dict[str, list[float]]) -> float:
    """Return the difference between confidence and accuracy of `reliability_bins`, averaged over images."""
    gaps = np.abs(np.subtract(bins["confidence"], bins["accuracy"]))
    return float(np.average(gaps, weights=bins["images"]))


def wilson_interval(correct: int, images: int) -> list[float]:
    """Return the 95 % interval of the share of correct predictions, by Wilson's score."""
    return [float(bound) for bound in binomtest(correct, images).proportion_ci(0.95, "wilson")]


def measure_calibration(y_true: ArrayLike, probabilities: ArrayLike, seed: int = 0) -> dict[str, Any]:
    """Return log loss and calibration error, with their 95 % intervals, and the bins.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
        seed: seed of the bootstrap.

    Returns:
        "log_loss", "calibration_error", "reliability" (the bins), "intervals_95" of the first two, and
        "chance_calibration_error": what a perfectly calibrated model with the same confidences would reach on average
        on as many images.
    """
    bins = reliability_bins(y_true, probabilities)
    losses, error = log_losses(y_true, probabilities), expected_calibration_error(bins)
    resampled_losses, resampled_errors, chance_errors = _resample(y_true, probabilities, losses, seed)
    return {
        "log_loss": float(losses.mean()),
        "calibration_error": error,
        "chance_calibration_error": float(chance_errors.mean()),
        "reliability": bins,
        "intervals_95": {
            "log_loss": np.quantile(resampled_losses, [0.025, 0.975]).tolist(),
            "calibration_error": _error_interval(error, resampled_errors, chance_errors),
        },
    }


def log_losses(y_true: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return the log loss (N,) of each image; probabilities (N, classes) are clipped as in scikit-learn."""
    values, labels = np.asarray(probabilities, "float64"), np.asarray(y_true)
    return -np.asarray(np.log(np.clip(values[np.arange(len(labels)), labels], EPSILON, 1 - EPSILON)))


def _resample(y_true: ArrayLike, probabilities: ArrayLike, losses: np.ndarray, seed: int) -> np.ndarray:
    """Return (3, draws): log losses and calibration errors of bootstrap draws, and calibration errors by chance.

    For the errors by chance, successes are drawn with the probability that the confidence states.
    """
    confidence, is_right = _confidence_and_success(y_true, probabilities)
    count = len(confidence)
    gaps = confidence - is_right
    bins = np.minimum((confidence * BIN_COUNT).astype(int), BIN_COUNT - 1)

    def mean_gap(gaps: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Return the calibration errors (draws,) of gaps (draws, N) in bins (draws, N)."""
        numbers = bins + BIN_COUNT * np.arange(len(gaps))[:, None]
        sums = np.bincount(numbers.ravel(), gaps.ravel(), BIN_COUNT * len(gaps)).reshape(-1, BIN_COUNT)
        return np.asarray(np.abs(sums).sum(axis=1) / count)

    rng = np.random.default_rng(seed)
    draws = int(np.clip(MAX_DRAWN_IMAGES // count, MIN_RESAMPLES, RESAMPLES))
    values = np.empty((3, draws))
    step = max(1, MAX_VALUES // count)
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        indices = rng.integers(count, size=(part.stop - start, count))
        values[0, part] = losses[indices].mean(axis=1)
        values[1, part] = mean_gap(gaps[indices], bins[indices])
        values[2, part] = mean_gap(confidence - (rng.random(indices.shape) < confidence), bins[None])
    return values


def _error_interval(error: float, resampled_errors: np.ndarray, chance_errors: np.ndarray) -> list[float]:
    """Return a 95 % interval of a calibration error.

    The error of few images is too high on average, as chance adds to it, and that of a resample has this excess twice.
    The basic (reverse percentile) interval subtracts it again, which percentiles would double (Davison and Hinkley
    1997, section 5.2). It begins at 0 if a perfectly calibrated model may reach the error by chance, and contains it.
    """
    low, high = 2 * error - np.quantile(resampled_errors, [0.975, 0.025])
    if error <= np.quantile(chance_errors, 0.975):
        low = 0.0
    return [float(np.clip(low, 0, error)), float(np.clip(high, error, 1))]


def _confidence_and_success(y_true: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest probability of each image (N,), and 1.0 where its class is right, else 0.0."""
    values = np.asarray(probabilities, "float64")
    return values.max(axis=1), (values.argmax(axis=1) == np.asarray(y_true)).astype("float64")

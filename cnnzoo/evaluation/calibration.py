"""Whether probabilities mean what they say: Guo et al. 2017, On calibration of modern neural networks."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binned_statistic
from sklearn.metrics import log_loss

BIN_COUNT = 15
TEMPERATURE_RANGE = (0.05, 20.0)  # of temperatures


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Probabilities (N, classes) as their logits, divided by `temperature`, give them."""
    return softmax(_log_probabilities(probabilities) / temperature, axis=1)


def fit_temperature(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """The divisor of the logits under which the log loss is least; over 1 where a model is too sure of itself.

    It is 1 where every guess is right: there is nothing to learn from about being wrong.
    """
    logits, y_true = _log_probabilities(probabilities), np.asarray(y_true)
    if (logits.argmax(axis=1) == y_true).all():
        return 1.0
    rows = np.arange(len(y_true))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, y_true].mean())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURE_RANGE)), method="bounded").x))


def _log_probabilities(probabilities: ArrayLike) -> np.ndarray:
    values = np.asarray(probabilities, "float64")
    return np.log(np.clip(values, np.finfo("float64").tiny, None))


def reliability_bins(y_true: ArrayLike, probabilities: ArrayLike) -> dict[str, list[float]]:
    """Of the images in each of 15 equal bins of confidence: mean confidence, accuracy, and their number."""
    values = np.asarray(probabilities, "float64")
    confidence, right = values.max(axis=1), values.argmax(axis=1) == np.asarray(y_true)
    edges = np.linspace(0, 1, BIN_COUNT + 1)
    counts = binned_statistic(confidence, confidence, "count", edges).statistic
    means = [
        np.nan_to_num(binned_statistic(confidence, v, "mean", edges).statistic)
        for v in (confidence, right.astype("float64"))
    ]
    return {
        name: [float(v) for v in column]
        for name, column in zip(("confidence", "accuracy", "images"), (*means, counts), strict=True)
    }


def expected_calibration_error(bins: dict[str, list[float]]) -> float:
    """Expected calibration error: how far confidence is from accuracy, the mean over images."""
    gaps = np.abs(np.subtract(bins["confidence"], bins["accuracy"]))
    return float(np.average(gaps, weights=bins["images"]))


def calibrated_metrics(
    y_true: ArrayLike, probabilities: ArrayLike, temperature: float, labels: ArrayLike
) -> dict[str, float]:
    """What a temperature makes of the log loss and of the calibration error."""
    after = apply_temperature(probabilities, temperature)
    return {
        "temperature": temperature,
        "log_loss": float(log_loss(y_true, after, labels=labels)),
        "calibration_error": expected_calibration_error(reliability_bins(y_true, after)),
    }

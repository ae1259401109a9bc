"""Calibration of two models side by side: log loss, calibration error, and accuracy by confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from cnnzoo.evaluation.paired_statistics import LEVEL
from cnnzoo.evaluation.prediction_files import Predictions

# As in `evaluation.calibration`, which imports scipy.stats: as long as all the rest of a comparison takes
BIN_COUNT = 15
EPSILON = np.finfo("float64").eps


def compare_calibration(a: Predictions, b: Predictions, labels: np.ndarray) -> dict[str, Any]:
    """Return calibration error, mean confidence and, where all probabilities are known, log loss of two models.

    The difference in log loss has a 95 % interval, from the standard error of the differences of the images.
    """
    result: dict[str, Any] = {"a": _measure(a, labels), "b": _measure(b, labels)}
    losses = [log_losses(each, labels) for each in (a, b)]
    for name, loss in zip(("a", "b"), losses, strict=True):
        if loss is not None:
            result[name]["log_loss"] = float(loss.mean())
    if losses[0] is not None and losses[1] is not None:
        differences = losses[1] - losses[0]
        mean, count = float(differences.mean()), len(differences)
        half = float(ndtri(0.5 + LEVEL / 2) * differences.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
        result |= {"log_loss_difference": mean, "log_loss_interval_95": [mean - half, mean + half]}
    return result


def _measure(predictions: Predictions, labels: np.ndarray) -> dict[str, Any]:
    bins = bin_by_confidence(predictions.confidence, predictions.predicted == labels)
    gaps = np.abs(np.subtract(bins["confidence"], bins["accuracy"]))
    return {
        "calibration_error": float(np.average(gaps, weights=bins["images"])),
        "mean_confidence": float(predictions.confidence.mean()),
        "reliability": bins,
    }


def bin_by_confidence(confidence: np.ndarray, is_right: np.ndarray) -> dict[str, list[float]]:
    """Return mean confidence, accuracy and number of images of the bins of confidence that have images."""
    # The upper end belongs to the last bin, as in `evaluation.calibration.reliability_bins`.
    bins = np.clip(np.digitize(confidence, np.linspace(0, 1, BIN_COUNT + 1)) - 1, 0, BIN_COUNT - 1)
    counts = np.bincount(bins, minlength=BIN_COUNT)
    kept = np.flatnonzero(counts)
    sums = (np.bincount(bins, weights, BIN_COUNT)[kept] for weights in (confidence, is_right.astype("float64")))
    means, shares = (total / counts[kept] for total in sums)
    return {"confidence": means.tolist(), "accuracy": shares.tolist(), "images": counts[kept].tolist()}


def log_losses(predictions: Predictions, labels: np.ndarray) -> np.ndarray | None:
    """Return the log loss (N,) of each image; None if only the likeliest classes are known."""
    if predictions.probabilities is None:
        return None
    own = predictions.probabilities[np.arange(len(labels)), labels].astype("float64")
    return np.asarray(-np.log(np.clip(own, EPSILON, 1 - EPSILON)))

"""What a classifier is worth, from one pass of predictions; every figure by scikit-learn and scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn import metrics as sk

from cnnzoo.evaluation import calibration

BOOTSTRAP_RESAMPLES = 2000


def compute_metrics(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    seed: int = 0,
    temperature: float | None = None,
) -> dict[str, Any]:
    """All metrics as plain numbers, ready for JSON.

    Args:
        y_true: class indices (N,).
        probabilities: (N, classes); rows add up to one.
        classes: names, in the order of the columns.
        seed: of the bootstrap intervals.
        temperature: of which the calibrated figures are, where one was fitted on other images.
    """
    y_true, probabilities = np.asarray(y_true), np.asarray(probabilities, "float64")
    labels = np.arange(len(classes))
    y_pred = probabilities.argmax(axis=1)
    matrix = sk.confusion_matrix(y_true, y_pred, labels=labels)
    intervals = {"accuracy": wilson_interval(int(matrix.trace()), len(y_true))}
    ranking = ranking_scores(y_true, probabilities, labels)
    bins = calibration.reliability_bins(y_true, probabilities)
    scores = {average: _precision_recall_f1(y_true, y_pred, labels, average) for average in (None, "macro", "weighted")}
    per_class = [dict(zip(scores[None], column, strict=True)) for column in zip(*scores[None].values(), strict=True)]
    result = {
        "images": len(y_true),
        "accuracy": float(sk.accuracy_score(y_true, y_pred)),
        # balanced_accuracy_score, without its warning where a class is predicted that the split lacks
        "balanced_accuracy": float(sk.recall_score(y_true, y_pred, labels=np.unique(y_true), average="macro")),
        "macro_f1": scores["macro"]["f1"],
        "roc_auc": _mean_ignoring_none(ranking["roc_auc"]),
        "average_precision": _mean_ignoring_none(ranking["average_precision"]),
        "log_loss": float(sk.log_loss(y_true, probabilities, labels=labels)),
        "calibration_error": calibration.expected_calibration_error(bins),
        "macro": scores["macro"],
        "weighted": scores["weighted"],
        "per_class": {
            name: row | {"roc_auc": auc, "average_precision": ap, "images": int(count)}
            for name, row, auc, ap, count in zip(classes, per_class, *ranking.values(), matrix.sum(1), strict=True)
        },
        "confusion_matrix": matrix.tolist(),
        "confused": most_confused_pairs(matrix, classes),
        "reliability": bins,
        "intervals_95": intervals | bootstrap_intervals(matrix, seed),
    }
    if temperature is not None:
        result["calibrated"] = calibration.calibrated_metrics(y_true, probabilities, temperature, labels)
    if len(classes) > 5:
        top = sk.top_k_accuracy_score(y_true, probabilities, k=5, labels=labels, normalize=False)
        result["top5_accuracy"] = float(top) / len(y_true)
        intervals = result["intervals_95"]
        intervals["top5_accuracy"] = wilson_interval(int(top), len(y_true))
    return result


def wilson_interval(right: int, images: int) -> list[float]:
    """The 95 % interval of a share, by Wilson's score."""
    return [float(v) for v in binomtest(right, images).proportion_ci(0.95, "wilson")]


def ranking_scores(y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float | None]]:
    """How well each class's probability ranks its images before the others, one against the rest.

    None for a class of which there are no images, or no others.
    """
    found: dict[str, list[float | None]] = {"roc_auc": [], "average_precision": []}
    for label in labels:
        mine, p = y_true == label, probabilities[:, label]
        both = mine.any() and not mine.all()
        found["roc_auc"].append(float(sk.roc_auc_score(mine, p)) if both else None)
        found["average_precision"].append(float(sk.average_precision_score(mine, p)) if both else None)
    return found


def _mean_ignoring_none(values: Sequence[float | None]) -> float | None:
    """The mean over the classes that have a value."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def most_confused_pairs(matrix: np.ndarray, classes: Sequence[str], count: int = 10) -> list[dict[str, Any]]:
    """The pairs of classes that are most often taken for each other, in this direction: images and their share."""
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(i, wrong.shape) for i in order if wrong.flat[i]]
    return [
        {
            "true": classes[i],
            "taken_for": classes[j],
            "images": int(wrong[i, j]),
            "share": wrong[i, j] / matrix[i].sum(),
        }
        for i, j in pairs
    ]


def find_suspect_labels(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Indices of images whose label may be wrong, the likeliest first.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068): another class is as probable as it is, on average, for
    images of that class, and the label is not; ranked by how much more probable it is than the label.
    """
    rows, classes = np.arange(len(y_true)), probabilities.shape[1]
    means = np.array([probabilities[y_true == i, i].mean() if (y_true == i).any() else np.inf for i in range(classes)])
    guess = np.where(probabilities >= means, probabilities, 0).argmax(axis=1)
    sure = (probabilities >= means).any(axis=1) & (guess != y_true)
    sure &= probabilities[rows, y_true] < means[y_true]
    margin = probabilities[rows, guess] - probabilities[rows, y_true]
    found = np.flatnonzero(sure & (margin > 0))
    return found[np.argsort(-margin[found], kind="stable")]


def _precision_recall_f1(
    y_true: ArrayLike, y_pred: ArrayLike, labels: ArrayLike, average: str | None
) -> dict[str, Any]:
    """Precision, recall and F1, averaged or a list each; 0 where a class was never predicted or is absent."""
    scores = sk.precision_recall_fscore_support(y_true, y_pred, labels=labels, average=average, zero_division=0.0)
    return {
        name: np.asarray(value).tolist() for name, value in zip(("precision", "recall", "f1"), scores, strict=False)
    }


def bootstrap_intervals(matrix: np.ndarray, seed: int) -> dict[str, list[float]]:
    """95 % percentile intervals of balanced accuracy and macro F1.

    Drawing images with replacement draws the cells of their confusion matrix from a multinomial, so
    all resamples are one array (resamples, classes, classes) and no metric runs in a loop.
    """
    draws = np.random.default_rng(seed).multinomial(matrix.sum(), matrix.ravel() / matrix.sum(), BOOTSTRAP_RESAMPLES)
    draws = draws.reshape(BOOTSTRAP_RESAMPLES, *matrix.shape).astype("float64")
    hits, actual, predicted = np.einsum("rii->ri", draws), draws.sum(2), draws.sum(1)
    with np.errstate(invalid="ignore"):
        recall = np.nanmean(hits / actual, axis=1)  # of the classes that a resample holds, as scikit-learn has it
        f1 = np.nan_to_num(2 * hits / (actual + predicted)).mean(axis=1)
    return {
        name: np.quantile(v, [0.025, 0.975]).tolist() for name, v in (("balanced_accuracy", recall), ("macro_f1", f1))
    }

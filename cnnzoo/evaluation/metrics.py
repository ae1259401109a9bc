"""What a classifier is worth, from one pass of predictions; every figure by scikit-learn and scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn import metrics as sk

RESAMPLES = 2000


def compute(y_true: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """All metrics as plain numbers, ready for JSON.

    Args:
        y_true: class indices (N,).
        probabilities: (N, classes); rows add up to one.
        classes: names, in the order of the columns.
        seed: of the bootstrap intervals.
    """
    y_true, probabilities = np.asarray(y_true), np.asarray(probabilities, "float64")
    labels = np.arange(len(classes))
    y_pred = probabilities.argmax(axis=1)
    matrix = sk.confusion_matrix(y_true, y_pred, labels=labels)
    right = binomtest(int(matrix.trace()), int(matrix.sum()))
    intervals = {"accuracy": [float(v) for v in right.proportion_ci(0.95, "wilson")]}
    scores = {average: _scores(y_true, y_pred, labels, average) for average in (None, "macro", "weighted")}
    per_class = [dict(zip(scores[None], column, strict=True)) for column in zip(*scores[None].values(), strict=True)]
    result = {
        "images": len(y_true),
        "accuracy": float(sk.accuracy_score(y_true, y_pred)),
        # balanced_accuracy_score, without its warning where a class is predicted that the split lacks
        "balanced_accuracy": float(sk.recall_score(y_true, y_pred, labels=np.unique(y_true), average="macro")),
        "macro_f1": scores["macro"]["f1"],
        "log_loss": float(sk.log_loss(y_true, probabilities, labels=labels)),
        "macro": scores["macro"],
        "weighted": scores["weighted"],
        "per_class": {
            name: row | {"images": int(count)}
            for name, row, count in zip(classes, per_class, matrix.sum(1), strict=True)
        },
        "confusion_matrix": matrix.tolist(),
        "intervals_95": intervals | bootstrap(matrix, seed),
    }
    if len(classes) > 5:
        result["top5_accuracy"] = float(sk.top_k_accuracy_score(y_true, probabilities, k=5, labels=labels))
    return result


def _scores(y_true: ArrayLike, y_pred: ArrayLike, labels: ArrayLike, average: str | None) -> dict[str, Any]:
    """Precision, recall and F1, averaged or a list each; 0 where a class was never predicted or is absent."""
    scores = sk.precision_recall_fscore_support(y_true, y_pred, labels=labels, average=average, zero_division=0.0)
    return {
        name: np.asarray(value).tolist() for name, value in zip(("precision", "recall", "f1"), scores, strict=False)
    }


def bootstrap(matrix: np.ndarray, seed: int) -> dict[str, list[float]]:
    """95 % percentile intervals of balanced accuracy and macro F1.

    Drawing images with replacement draws the cells of their confusion matrix from a multinomial, so
    all resamples are one array (resamples, classes, classes) and no metric runs in a loop.
    """
    draws = np.random.default_rng(seed).multinomial(matrix.sum(), matrix.ravel() / matrix.sum(), RESAMPLES)
    draws = draws.reshape(RESAMPLES, *matrix.shape).astype("float64")
    hits, actual, predicted = np.einsum("rii->ri", draws), draws.sum(2), draws.sum(1)
    with np.errstate(invalid="ignore"):
        recall = np.nanmean(hits / actual, axis=1)  # of the classes that a resample holds, as scikit-learn has it
        f1 = np.nan_to_num(2 * hits / (actual + predicted)).mean(axis=1)
    return {
        name: np.quantile(v, [0.025, 0.975]).tolist() for name, v in (("balanced_accuracy", recall), ("macro_f1", f1))
    }

"""Metrics of a classifier, computed from one pass of predictions by scikit-learn and SciPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from cnnzoo.evaluation import calibration
from cnnzoo.evaluation.calibration import wilson_interval
from cnnzoo.evaluation.min_probability import measure_answers

MAX_DRAWN_CELLS = 2_000_000  # of a confusion matrix, in all resamples that are drawn at a time
BOOTSTRAP_RESAMPLES = 2000


def compute_metrics(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    seed: int = 0,
    temperature: float | None = None,
    uncalibrated: ArrayLike | None = None,
    min_probability: float | None = None,
) -> dict[str, Any]:
    """Return all metrics as plain numbers, ready for JSON.

    All of them are those of `probabilities`, except "uncalibrated" and "calibrated", which hold log loss and
    calibration error without and with the temperature.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes), as the model gives them in use; each row adds up to one.
        classes: names, in the order of the columns.
        seed: seed of the bootstrap intervals.
        temperature: if given, a temperature that was fitted on other images; calibrated metrics are added.
        uncalibrated: the predictions (N, classes) before the temperature, if `probabilities` are those with it.
        min_probability: if given, the least probability of an answer; "answers" is added, see `measure_answers`.

    Example:
        >>> from cnnzoo.evaluation.metrics import compute_metrics
        >>> metrics = compute_metrics([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["cat", "dog"])
        >>> round(metrics["accuracy"], 3), metrics["per_class"]["dog"]["recall"]
        (0.667, 0.5)
    """
    y_true, probabilities = np.asarray(y_true), np.asarray(probabilities, "float64")
    labels = np.arange(len(classes))
    labels_with_images = np.unique(y_true)
    y_pred = probabilities.argmax(axis=1)

    matrix = sk.confusion_matrix(y_true, y_pred, labels=labels)
    intervals = {"accuracy": wilson_interval(int(matrix.trace()), len(y_true))}
    ranking = ranking_scores(y_true, probabilities, labels)
    measured = calibration.measure_calibration(y_true, probabilities, seed)
    scores = _precision_recall_f1(y_true, y_pred, labels, None)
    per_class = [dict(zip(scores, column, strict=True)) for column in zip(*scores.values(), strict=True)]
    macro = _precision_recall_f1(y_true, y_pred, labels_with_images, "macro")

    metrics = {
        "images": len(y_true),
        "accuracy": float(sk.accuracy_score(y_true, y_pred)),
        # balanced_accuracy_score would warn if a predicted class does not occur in the split.
        "balanced_accuracy": float(sk.recall_score(y_true, y_pred, labels=labels_with_images, average="macro")),
        "macro_f1": macro["f1"],
        "roc_auc": _mean_ignoring_none(ranking["roc_auc"]),
        "average_precision": _mean_ignoring_none(ranking["average_precision"]),
        "log_loss": measured["log_loss"],
        "calibration_error": measured["calibration_error"],
        "chance_calibration_error": measured["chance_calibration_error"],
        "macro": macro,
        "weighted": _precision_recall_f1(y_true, y_pred, labels, "weighted"),
        "per_class": {
            name: row | {"roc_auc": auc, "average_precision": ap, "images": int(count)}
            for name, row, auc, ap, count in zip(classes, per_class, *ranking.values(), matrix.sum(1), strict=True)
        },
        "confusion_matrix": matrix.tolist(),
        "confused": most_confused_pairs(matrix, classes),
        "reliability": measured["reliability"],
        "intervals_95": intervals | bootstrap_intervals(matrix, seed) | measured["intervals_95"],
    }

    # Metrics that not every report has.
    if temperature is not None:
        calibrated = measured
        if uncalibrated is None:
            with_temperature = calibration.apply_temperature(probabilities, temperature)
            calibrated = calibration.measure_calibration(y_true, with_temperature, seed)
        metrics["calibrated"] = {"temperature": temperature, **calibrated}
    if uncalibrated is not None:
        metrics["uncalibrated"] = calibration.measure_calibration(y_true, uncalibrated, seed)
    if min_probability is not None:
        metrics["answers"] = measure_answers(y_true, probabilities, min_probability)
    if len(classes) > 5:
        correct = int(sk.top_k_accuracy_score(y_true, probabilities, k=5, labels=labels, normalize=False))
        metrics["top5_accuracy"] = correct / len(y_true)
        metrics["intervals_95"]["top5_accuracy"] = wilson_interval(correct, len(y_true))
    return metrics


def ranking_scores(y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float | None]]:
    """Return ROC AUC and average precision of each class against all others.

    A class without images, or without images of other classes, has the value None.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
        labels: all class indices (classes,).
    """
    scores: dict[str, list[float | None]] = {"roc_auc": [], "average_precision": []}
    for label in labels:
        is_class, p = y_true == label, probabilities[:, label]
        has_both = is_class.any() and not is_class.all()
        scores["roc_auc"].append(float(sk.roc_auc_score(is_class, p)) if has_both else None)
        scores["average_precision"].append(float(sk.average_precision_score(is_class, p)) if has_both else None)
    return scores


def _mean_ignoring_none(values: Sequence[float | None]) -> float | None:
    """Return the mean over the classes that have a value."""
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def most_confused_pairs(matrix: np.ndarray, classes: Sequence[str], count: int = 10) -> list[dict[str, Any]]:
    """Return the pairs of classes with the most mistakes in one direction, most frequent first.

    Args:
        matrix: confusion matrix (classes, classes), one row per true class.
        classes: names, in the order of the rows.
        count: number of pairs at most.
    """
    mistakes = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(i, mistakes.shape) for i in order if mistakes.flat[i]]
    return [
        {
            "true": classes[i],
            "taken_for": classes[j],
            "images": int(mistakes[i, j]),
            "share": mistakes[i, j] / matrix[i].sum(),
        }
        for i, j in pairs
    ]


def find_suspect_labels(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the indices of images whose labels may be wrong, the most suspicious first.

    A label is suspect if another class reaches its own mean probability (the mean over the images of that class) and
    the label does not. Suspects are ranked by how much more probable the other class is. This is confident learning:
    Northcutt et al. 2021, arXiv:1911.00068.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
    """
    rows, thresholds = np.arange(len(y_true)), _mean_own_probabilities(y_true, probabilities)
    guess = confident_classes(y_true, probabilities)
    is_suspect = (probabilities >= thresholds).any(axis=1) & (guess != y_true)
    is_suspect &= probabilities[rows, y_true] < thresholds[y_true]
    margin = probabilities[rows, guess] - probabilities[rows, y_true]
    indices = np.flatnonzero(is_suspect & (margin > 0))
    return indices[np.argsort(-margin[indices], kind="stable")]


def confident_classes(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return for each image (N,) the most probable class among those that reach their own mean probability."""
    is_confident = probabilities >= _mean_own_probabilities(y_true, probabilities)
    return np.asarray(np.where(is_confident, probabilities, 0).argmax(axis=1))


def _mean_own_probabilities(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean probability of each class (classes,) over its own images; infinite for a class without images."""
    return np.array(
        [probabilities[y_true == i, i].mean() if (y_true == i).any() else np.inf for i in range(probabilities.shape[1])]
    )


def _precision_recall_f1(
    y_true: ArrayLike, y_pred: ArrayLike, labels: ArrayLike, average: str | None
) -> dict[str, Any]:
    """Return precision, recall and F1, averaged or as lists; 0 for a class that is absent or never predicted."""
    scores = sk.precision_recall_fscore_support(y_true, y_pred, labels=labels, average=average, zero_division=0.0)
    names = ("precision", "recall", "f1")
    return {name: np.asarray(value).tolist() for name, value in zip(names, scores, strict=False)}


def bootstrap_intervals(matrix: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Return 95 % percentile intervals of balanced accuracy and macro F1.

    Drawing images with replacement is the same as drawing the cells of their confusion matrix from a multinomial
    distribution. Only cells that count images are drawn, as there are a million cells of 1,000 classes, and some
    resamples at a time; sparse matrices add them up to the images of each class.

    A metric that is the same in all resamples has none: of 13 right images of 13, every resample is right too, and an
    interval without width would look like a proof.

    Args:
        matrix: confusion matrix (classes, classes), one row per true class.
        seed: seed of the resampling.
    """
    from scipy.sparse import csr_array

    # The last cell receives what is left, so it is always among them.
    cells = np.union1d(np.flatnonzero(matrix), matrix.size - 1)
    rows, columns = np.unravel_index(cells, matrix.shape)
    numbers = np.arange(len(cells))
    of_row, of_column, of_diagonal = (
        csr_array((weights, (classes, numbers)), (len(matrix), len(cells)))
        for weights, classes in ((np.ones(len(cells)), rows), (np.ones(len(cells)), columns), (rows == columns, rows))
    )
    rng, probabilities = np.random.default_rng(seed), matrix.ravel()[cells] / matrix.sum()
    chunk = max(MAX_DRAWN_CELLS // len(cells), 1)
    recall, f1 = np.empty(BOOTSTRAP_RESAMPLES), np.empty(BOOTSTRAP_RESAMPLES)
    for start in range(0, BOOTSTRAP_RESAMPLES, chunk):
        part = slice(start, min(start + chunk, BOOTSTRAP_RESAMPLES))
        draws = rng.multinomial(matrix.sum(), probabilities, part.stop - start).T
        hits, actual, predicted = (np.ascontiguousarray((of @ draws).T) for of in (of_diagonal, of_row, of_column))
        with np.errstate(invalid="ignore"):  # Both are averaged over the classes that have images in a resample.
            recall[part] = np.nanmean(hits / actual, axis=1)
            f1[part] = np.nanmean(np.where(actual > 0, 2 * hits / (actual + predicted), np.nan), axis=1)
    values = {"balanced_accuracy": recall, "macro_f1": f1}
    bounds = {name: np.quantile(value, [0.025, 0.975]).tolist() for name, value in values.items()}
    return {name: interval for name, interval in bounds.items() if interval[0] < interval[1]}

"""The charts of a report: the confusion matrix, accuracy over confidence, and the curves of the training."""

from typing import Any

import numpy as np
from markupsafe import Markup

from cnnzoo.core.charts import Plot, format_percent, round_range
from cnnzoo.core.matrix_chart import MAX_NAMED, MAX_WITH_COUNTS, MAX_WITH_SHARES, matrix_chart
from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.evaluation.confusion import find_confused_classes, order_classes

Report = Any  # `evaluation.report` imports `evaluation.page`, which imports this file, so this file cannot import it


def draw_matrices(report: Report) -> list[tuple[Markup, str]]:
    """Return charts (chart, caption): the matrix; of many classes, those confused most, and an overview of all."""
    matrix, classes = np.asarray(report.metrics["confusion_matrix"]), report.classes
    cells = "The strength of a color is the share of the true class: blue for right answers, orange for mistakes."
    if len(classes) <= MAX_WITH_COUNTS:
        shares = " and their share of the true class (rows)" if len(classes) <= MAX_WITH_SHARES else ""
        return [(matrix_chart(matrix, classes), f"Images{shares}. {cells}")]
    charts = []
    shown = find_confused_classes(matrix, MAX_WITH_SHARES)
    if len(shown):
        part = matrix[np.ix_(shown, shown)]
        others = matrix[shown].sum(axis=1) - part.sum(axis=1)
        chart = matrix_chart(part, [classes[i] for i in shown], others)
        charts.append(
            (chart, f"The {len(shown)} classes that are confused most often, and what else they are taken for")
        )
    order = order_classes(matrix)
    chart = matrix_chart(matrix[np.ix_(order, order)], [classes[i] for i in order])
    names = "" if len(classes) <= MAX_NAMED else " Hold the pointer over a mistake for its names."
    caption = (
        f"All {len(classes):,} classes: true classes from top to bottom, predicted ones from left to right. Classes "
        f"that are taken for each other are neighbors.{names} {cells}"
    )
    return [*charts, (chart, caption)]


def draw_reliability(report: Report) -> list[tuple[Markup, str]]:
    """Return charts (chart, caption) of accuracy over confidence: without and with the temperature, if there is one."""
    metrics = report.metrics
    calibrated = metrics.get("calibrated", {"temperature": 1})
    if calibrated["temperature"] == 1:
        stages = [("", metrics)]
    elif "uncalibrated" in metrics:
        stages = [(" before calibration", metrics["uncalibrated"]), (" after calibration", metrics)]
    else:
        stages = [("", metrics), (f" with a temperature of {calibrated['temperature']:.3g}", calibrated)]
    return [_draw_reliability_of(f"Reliability{stage}", values, metrics["images"]) for stage, values in stages]


def _draw_reliability_of(title: str, measured: dict[str, Any], images: int) -> tuple[Markup, str]:
    """Return a chart of the bins that `measure_calibration` returns, and its caption."""
    bins = measured["reliability"]
    columns = ("confidence", "accuracy", "images", "low", "high")
    rows = [row for row in zip(*(bins[column] for column in columns), strict=True) if row[2]]
    confidence, accuracy, counts, low, high = zip(*rows, strict=True)
    plot = Plot(title, "confidence", "accuracy", (0, 1), (0, 1), format_x=format_percent, format_y=format_percent)
    plot.add_line([0, 1], [0, 1], "gray", "perfectly calibrated", dashed=True)
    intervals = list(zip(low, high, strict=True))
    plot.add_points(confidence, accuracy, "blue", "accuracy, 95 % interval", intervals=intervals)
    most = max(rows, key=lambda row: row[2])
    caption = (
        f"Expected calibration error {format_share(measured['calibration_error'], images)} (95 %: "
        f"{format_share_interval(measured['intervals_95']['calibration_error'], images)}). "
        f"{format_share(most[2] / sum(counts), images)} of the images are in the bin around "
        f"{format_share(most[0], images)}."
    )
    return plot.to_svg(), caption


def draw_curves(report: Report) -> list[Markup]:
    """Return charts of loss and accuracy over the epochs, with the epoch whose weights were kept."""
    if not report.history:
        return []
    charts = []
    for key in ("loss", "accuracy"):
        curves = {"training": report.history[key]}
        if f"val_{key}" in report.history:
            curves["validation"] = report.history[f"val_{key}"]
        values = [value for curve in curves.values() for value in curve if np.isfinite(value)] or [0.0]
        probe = (report.probe or {}).get("validation_accuracy") if key == "accuracy" else None
        values += [] if probe is None else [probe]
        y_range = (min(0.0, *values), max(values)) if key == "loss" else (min(values), 1.0)
        epochs = range(1, len(report.history[key]) + 1)
        plot = Plot(key.capitalize(), "epoch", key, (1, max(epochs)), round_range(*y_range), whole_x=True)
        if key == "accuracy":
            plot.format_y = format_percent
        for (name, curve), color in zip(curves.items(), ("blue", "orange"), strict=False):
            plot.add_line(epochs, curve, color, name, dashed=name == "validation")
        if probe is not None:
            plot.add_line(plot.x_range, [probe, probe], "gray", "linear probe, validation")
        if report.best_epoch:
            plot.add_vertical(report.best_epoch, f"kept: epoch {report.best_epoch}")
        charts.append(plot.to_svg())
    return charts

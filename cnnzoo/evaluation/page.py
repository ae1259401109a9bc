"""The page of a report: everything that its template shows, as text and charts."""

import math
import os
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cnnzoo.core.charts import Plot, format_percent, round_range
from cnnzoo.core.matrix_chart import MAX_NAMED, MAX_WITH_SHARES, matrix_chart
from cnnzoo.core.numbers import format_score, format_share, format_share_interval
from cnnzoo.core.pages import file_address, picture_uri, render_page
from cnnzoo.data.fix_list import FIX_LIST_FILE, LABELS_FILE
from cnnzoo.data.photos import Photos
from cnnzoo.evaluation.metrics import confident_classes

Report = Any  # `evaluation.report` imports this file, so this file cannot import its class

MAX_PICTURES = 24  # images in the gallery of mistakes, or of suspect labels
LOW_F1 = 0.05  # below the average, from where on a class is highlighted
LOW_CAPTION = f"Highlighted: classes whose F1 is more than {100 * LOW_F1:.0f} points below the average of the classes"
MAX_UNFOLDED_CLASSES, LOWEST_CLASSES = 40, 15  # more classes are folded, but those with the lowest F1
PIXELATED = 64  # pixels; smaller images are enlarged without smoothing


def render_report(report: Report, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the page of a report.

    Args:
        report: the report.
        folder: where the page will be, so that links to files inside it are relative.
    """
    images, class_rows = len(report.labels), _format_class_rows(report)
    better_labels = confident_classes(report.labels, report.probabilities)
    is_any_low = any(row["low"] for row in class_rows)
    return render_page(
        "cnnzoo.evaluation",
        "report.html",
        report=report,
        images=images,
        wrong=len(report.worst),
        accuracy=format_share(report.accuracy, images),
        headline_lines=describe_accuracy(report),
        facts=[
            (name, value, f"95 %: {interval}" if interval else "") for name, value, interval in report.headlines()[1:]
        ],
        commands=suggest_commands(report),
        files=_list_files(report) if folder is not None else [],
        matrix=matrix_chart(report.metrics["confusion_matrix"], report.classes),
        matrix_caption=_describe_matrix(len(report.classes)),
        pairs=_format_pairs(report),
        mistakes=[describe_image(report, i, folder) for i in report.worst[:MAX_PICTURES]],
        suspects=[describe_image(report, i, folder, better_labels[i]) for i in report.suspects[:MAX_PICTURES]],
        class_rows=class_rows,
        lowest_rows=_find_lowest(class_rows) if len(report.classes) > MAX_UNFOLDED_CLASSES else [],
        class_caption=LOW_CAPTION if is_any_low else "Each class against all others",
        calibration_summary=describe_calibration(report),
        reliability=_draw_reliability(report),
        curves=_draw_curves(report),
        settings=_tell_trained_epochs(report, report.record),
        defaults=_tell_trained_epochs(report, report.defaults),
    )


def _list_files(report: Report) -> list[tuple[str, str, str]]:
    """Return rows (text, address, name) of the tables beside the page."""
    files = [("All predictions", "predictions.csv", "predictions.csv")]
    if len(report.suspects):
        files.append(("The labels that may be wrong, as a fix list for load_data", LABELS_FILE, LABELS_FILE))
    return files


def describe_accuracy(report: Report) -> list[str]:
    """Return what stands below the accuracy: its interval, the number of mistakes, and a baseline."""
    images, wrong = len(report.labels), len(report.worst)
    counts = np.bincount(report.labels, minlength=len(report.classes))
    always = "the same class"
    if counts.min() < counts.max():
        is_one = (counts == counts.max()).sum() == 1
        always = f"“{report.classes[int(counts.argmax())]}”, {'the' if is_one else 'a'} most frequent class,"
    interval = format_share_interval(report.metrics["intervals_95"]["accuracy"], images)
    return [
        f"95 % interval: {interval}",
        f"{wrong:,} of {report.counted_images} {'is' if wrong == 1 else 'are'} classified wrong",
        f"For comparison: always answering {always} gives {format_share(counts.max() / images, images)}",
    ]


def suggest_commands(report: Report) -> list[tuple[str, str]]:
    """Return rows (purpose, command) of what can be done with the model of a run; none without a run's folder."""
    if report.run_dir is None:
        return []
    run = shlex.quote(str(report.run_dir.absolute()))
    commands = [
        ("Classify a folder of new images", f"cnnzoo predict {run} new_images/ --out answers.csv"),
        ("Export the model, with a card that says how to call it", f"cnnzoo export {run} exported --format onnx"),
        ("Evaluate it on other labeled images", f"cnnzoo evaluate {run} other_images/ --out other_report"),
    ]
    if len(report.suspects):
        fixes = shlex.quote(str(report.run_dir.absolute() / LABELS_FILE))
        purpose = f"Evaluate it again on the images of the training, once the actions in {LABELS_FILE} are edited"
        if report.source:
            images = shlex.quote(report.source)
        else:
            images, purpose = "PHOTOS", f"{purpose}; PHOTOS stands for their folder"
        lists = f"--fix-list {fixes}"
        if report.has_fix_list:  # without it, the images are not divided as they were for the training
            lists = f"--fix-list {shlex.quote(str(report.run_dir.absolute() / FIX_LIST_FILE))} {lists}"
        commands.append((purpose, f"cnnzoo evaluate {run} {images} {lists} --out corrected_report"))
    return commands


def describe_image(
    report: Report, i: int, folder: str | os.PathLike[str] | None, other: int | None = None
) -> dict[str, Any]:
    """Return picture and caption of an image: its name, its label and another class, with the probabilities of both.

    Args:
        report: the report.
        i: index of the image.
        folder: where the page will be.
        other: index of the other class; None for the predicted one.
    """
    other = report.predicted[i] if other is None else other
    true, predicted = report.classes[report.labels[i]], report.classes[other]
    p = report.probabilities[i]
    pixels = np.asarray(report.images[i : i + 1])[0]
    source = report.images.photos[i].source if isinstance(report.images, Photos) else None
    return {
        "uri": picture_uri(pixels),
        "pixelated": max(pixels.shape[:2]) <= PIXELATED,
        "alt": f"{report.names[i]}: {true}, taken for {predicted}",
        "address": file_address(source, folder) if isinstance(source, str | os.PathLike) else None,
        "name": str(report.names[i]),
        "true": true,
        "true_probability": format_share(float(p[report.labels[i]])),
        "predicted": predicted,
        "predicted_probability": format_share(float(p[other])),
    }


def _describe_matrix(classes: int) -> str:
    cells = "The strength of a color is the share of the true class: blue for right answers, orange for mistakes."
    if classes <= MAX_WITH_SHARES:
        return f"Images and their share of the true class (rows). {cells}"
    if classes <= MAX_NAMED:
        return f"{cells} Hold the pointer over a cell for its numbers."
    return f"{cells} One row for each of the {classes:,} true classes, one column for each predicted class."


def _format_pairs(report: Report) -> list[dict[str, Any]]:
    """Return the most confused pairs, with shares as text."""
    images = {name: row["images"] for name, row in report.metrics["per_class"].items()}
    return [pair | {"share": format_share(pair["share"], images[pair["true"]])} for pair in report.metrics["confused"]]


def _format_class_rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the table of classes, and of both averages, as text."""

    def format_row(scores: dict[str, Any], images: int) -> list[str]:
        shares = [format_share(scores[key], images) for key in ("precision", "recall", "f1")]
        ranking = [scores.get(key) for key in ("roc_auc", "average_precision")]
        return [f"{images:,}", *shares, *("" if value is None else format_score(value, images) for value in ranking)]

    metrics = report.metrics
    rows = [
        {
            "name": name,
            "average": False,
            "f1": scores["f1"] if scores["images"] else math.inf,
            "cells": format_row(scores, scores["images"]),
            "low": scores["images"] and scores["f1"] < metrics["macro_f1"] - LOW_F1,
        }
        for name, scores in metrics["per_class"].items()
    ]
    averages = {"macro": "average of the classes", "weighted": "average of the images"}
    return rows + [
        {"name": title, "average": True, "low": False, "cells": format_row(metrics[key], metrics["images"])}
        for key, title in averages.items()
    ]


def _tell_trained_epochs(report: Report, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of which the number of epochs also says how many were trained, if these are fewer."""
    trained = len(report.history.get("loss", ()))
    return {
        name: f"{value} planned, {trained} trained"
        if name in ("recipe.epochs", "epochs") and trained != value
        else value
        for name, value in settings.items()
    }


def _find_lowest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the classes with the lowest F1; classes without images are not among them."""
    return sorted((row for row in rows if not row["average"]), key=lambda row: row["f1"])[:LOWEST_CLASSES]


def describe_calibration(report: Report) -> str:
    """Return what the calibration error is, and what the temperature changes, or why there is none."""
    images, metrics = len(report.labels), report.metrics
    text = (
        "If the points are on the diagonal, predictions made with 80 % confidence are right 80 % of the time. "
        f"The expected calibration error is {format_share(metrics['calibration_error'], images)} (95 % interval: "
        f"{format_share_interval(metrics['intervals_95']['calibration_error'], images)}). By chance alone, a perfectly "
        f"calibrated model has {format_share(metrics['chance_calibration_error'], images)} on as many images."
    )
    return " ".join(filter(None, [text, report.calibration_summary]))


def _draw_reliability(report: Report) -> list[tuple[Markup, str]]:
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


def _draw_curves(report: Report) -> list[Markup]:
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

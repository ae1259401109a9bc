"""The page of a report: everything that its template shows, as text and charts."""

import math
import os
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnzoo.core.charts import shorten_label
from cnnzoo.core.numbers import format_score, format_share, format_share_interval
from cnnzoo.core.pages import file_address, render_page
from cnnzoo.core.tiles import Tile, fit_thumbnails
from cnnzoo.data.fix_list import LABELS_FILE
from cnnzoo.data.photos import Photos
from cnnzoo.data.transform import array_to_pillow
from cnnzoo.evaluation.commands import evaluate_command
from cnnzoo.evaluation.metrics import confident_classes
from cnnzoo.evaluation.next_steps import suggest_steps
from cnnzoo.evaluation.report_charts import draw_curves, draw_matrices, draw_reliability
from cnnzoo.explain.overlay import overlay_map

Report = Any  # `evaluation.report` imports this file, so this file cannot import its class

MAX_PICTURES = 24  # images in the gallery of mistakes, or of suspect labels
LOW_F1 = 0.05  # below the average, from where on a class is highlighted
LOW_CAPTION = f"Marked as low: classes whose F1 is more than {100 * LOW_F1:.0f} points below the average of the classes"
MAX_UNFOLDED_CLASSES, LOWEST_CLASSES = 40, 15  # more classes are folded, but those with the lowest F1
PIXELATED = 64  # pixels; smaller images are enlarged without smoothing
# A page has at most 3 MB, whatever the data (tests/evaluation/test_report_size.py)
MAX_PICTURE_BYTES = 1_200_000  # of all pictures
MAX_CLASSES = 1000  # in the table of classes
MAX_CAPTION = 60  # letters of a name
# Sides of the pictures in pixels, the largest that keep within the bytes: those of arrays can be enlarged in the page,
# those of files open the file.
SIDES = {False: (480, 320, 240, 160, 112, 80, 56), True: (320, 240, 160, 112, 80, 56)}


def render_report(report: Report, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the page of a report.

    Args:
        report: the report.
        folder: where the page will be, so that links to files inside it are relative.
    """
    images, class_rows = len(report.labels), _format_class_rows(report)
    better_labels = confident_classes(report.labels, report.probabilities)
    is_any_low = any(row["low"] for row in class_rows)
    lowest_rows = _find_lowest(class_rows)
    mistakes = [(i, report.predicted[i]) for i in report.worst[:MAX_PICTURES]]
    suspects = [(i, better_labels[i]) for i in report.suspects[:MAX_PICTURES]]
    pictures = iter(_draw_pictures(report, [*mistakes, *suspects]))
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
        steps=suggest_steps(report),
        commands=suggest_commands(report),
        sections=_list_sections(report),
        files=_list_files(report) if folder is not None else [],
        matrices=draw_matrices(report),
        pairs=_format_pairs(report),
        mistakes=[describe_image(report, i, other, next(pictures), folder) for i, other in mistakes],
        suspects=[describe_image(report, i, other, next(pictures), folder) for i, other in suspects],
        class_rows=_limit_rows(class_rows),
        lowest_rows=lowest_rows[:LOWEST_CLASSES] if len(report.classes) > MAX_UNFOLDED_CLASSES else [],
        class_caption=LOW_CAPTION if is_any_low else "Each class against all others",
        classes_title=_describe_rows(len(report.classes)),
        calibration_summary=describe_calibration(report),
        reliability=draw_reliability(report),
        curves=draw_curves(report),
        settings=_tell_trained_epochs(report, report.record),
        defaults=_tell_trained_epochs(report, report.defaults),
    )


def _list_sections(report: Report) -> list[tuple[str, str]]:
    """Return the sections that the page has: (id, name)."""
    sections = {
        "next": ("What next", True),
        "figures": ("Figures", True),
        "confusion": ("Confusion", True),
        "mistakes": ("Mistakes", len(report.worst)),
        "suspects": ("Labels to check", len(report.suspects)),
        "classes": ("Classes", True),
        "calibration": ("Calibration", True),
        "training": ("Training", report.history),
        "setup": ("Setup", report.record or report.notes),
    }
    return [(name, title) for name, (title, is_present) in sections.items() if is_present]


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
    return [
        ("Classify a folder of new images", f"cnnzoo predict {run} new_images/ --out answers.csv"),
        ("Export the model, with a card that says how to call it", f"cnnzoo export {run} exported --format onnx"),
        ("Evaluate it on other labeled images", evaluate_command(report)),
    ]


def _draw_pictures(report: Report, pairs: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Return each image, and the image under its map if there is one, as data URIs.

    They are large if there is no file to look at, and small enough for the page.

    Args:
        report: the report.
        pairs: index of each image, and the class that it may have been taken for.
    """
    sides = SIDES[isinstance(report.images, Photos)]
    keys = [(int(i), int(other)) for i, other in pairs]
    indices, maps = list(dict.fromkeys(i for i, _ in keys)), [key for key in dict.fromkeys(keys) if key in report.maps]
    images = {i: np.asarray(report.images[i : i + 1])[0] for i in indices}
    tiles = [Tile(images[i], ()) for i in indices]
    tiles += [Tile(draw_map(images[key[0]], report.maps[key]), ()) for key in maps]
    # Images that are in both galleries are in the page twice.
    shown = len(keys) + sum(key in report.maps for key in keys)
    uris = fit_thumbnails(tiles, MAX_PICTURE_BYTES * len(tiles) // max(shown, 1), sides)
    of_images = dict(zip(indices, uris, strict=False))
    of_maps = dict(zip(maps, uris[len(indices) :], strict=False))
    return [(of_images.get(key[0], ""), of_maps.get(key, "")) for key in keys]


def draw_map(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) under its map (H, W) of 0 to 255, as RGB; the image itself if the map is 0."""
    pixels = np.clip(image if image.shape[2] in (1, 3) else image[..., :1], 0, 255).astype("uint8")
    picture = array_to_pillow(pixels).convert("RGB")
    return np.asarray(overlay_map(picture, levels / 255) if levels.any() else picture)


def describe_image(
    report: Report, i: int, other: int, pictures: tuple[str, str], folder: str | os.PathLike[str] | None
) -> dict[str, Any]:
    """Return picture and caption of an image: its name, its label and another class, with the probabilities of both.

    Args:
        report: the report.
        i: index of the image.
        other: index of the other class, such as the predicted one.
        pictures: the picture, and the one under its map, which may be empty.
        folder: where the page will be.
    """
    true, predicted = (shorten_label(report.classes[c], MAX_CAPTION) for c in (report.labels[i], other))
    name, p = shorten_label(str(report.names[i]), MAX_CAPTION), report.probabilities[i]
    source = report.images.photos[i].source if isinstance(report.images, Photos) else None
    return {
        "uri": pictures[0],
        "map": pictures[1],
        "has_evidence": bool(report.maps.get((int(i), int(other)), np.zeros(1)).any()),
        "pixelated": max(report.images.shape[1:3]) <= PIXELATED,
        "alt": f"{name}: {true}, taken for {predicted}",
        "address": file_address(source, folder) if isinstance(source, str | os.PathLike) else None,
        "name": name,
        "true": true,
        "true_probability": format_share(float(p[report.labels[i]])),
        "predicted": predicted,
        "predicted_probability": format_share(float(p[other])),
    }


def _format_pairs(report: Report) -> list[dict[str, Any]]:
    """Return the most confused pairs, with shares as text."""
    images = {name: row["images"] for name, row in report.metrics["per_class"].items()}
    return [
        pair
        | {"share": format_share(pair["share"], images[pair["true"]])}
        | {key: shorten_label(pair[key], MAX_CAPTION) for key in ("true", "taken_for")}
        for pair in report.metrics["confused"]
    ]


def _format_class_rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the table of classes, and of both averages, as text."""

    def format_row(scores: dict[str, Any], images: int) -> list[str]:
        shares = [format_share(scores[key], images) for key in ("precision", "recall", "f1")]
        ranking = [scores.get(key) for key in ("roc_auc", "average_precision")]
        return [f"{images:,}", *shares, *("" if value is None else format_score(value, images) for value in ranking)]

    metrics = report.metrics
    rows = [
        {
            "name": shorten_label(name, MAX_CAPTION),
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
    """Return the rows of the classes, the lowest F1 first; classes without images are last."""
    return sorted((row for row in rows if not row["average"]), key=lambda row: row["f1"])


def _limit_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows; of more classes than a page has room for, those with the lowest F1, and the averages."""
    averages = [row for row in rows if row["average"]]
    return [*rows] if len(rows) - len(averages) <= MAX_CLASSES else [*_find_lowest(rows)[:MAX_CLASSES], *averages]


def _describe_rows(classes: int) -> str:
    if classes <= MAX_CLASSES:
        return f"All {classes:,} classes"
    return f"The {MAX_CLASSES:,} of {classes:,} classes with the lowest F1; report.json has all"


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

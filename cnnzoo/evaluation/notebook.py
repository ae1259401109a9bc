"""What a report shows in a notebook: its headline, the confusion matrix, and the mistakes as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.matrix_chart import MAX_WITH_COUNTS, matrix_chart
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.tiles import Tile
from cnnzoo.evaluation.next_steps import suggest_steps
from cnnzoo.evaluation.page import describe_accuracy

Report = Any  # `evaluation.report` imports this file, so this file cannot import its class


def summarize_report(report: Report) -> str:
    """Return headline and confusion matrix of a report; of many classes, the most confused pairs instead."""
    images, count = len(report.labels), len(report.classes)
    charts, tables = [], []
    if count <= MAX_WITH_COUNTS:
        charts = [(matrix_chart(report.metrics["confusion_matrix"], report.classes), "Images, by true class (rows)")]
    if not charts or len(charts[0][0]) > 30_000:
        rows = [(pair["true"], pair["taken_for"], f"{pair['images']:,}") for pair in report.metrics["confused"]]
        tables = [NotebookTable("The most confused pairs of classes", ("true class", "taken for", "images"), rows)]
    page = f"The whole report is {report.run_dir / 'report.html'}. " if report.run_dir else ""
    summaries = (report.answers_summary, report.ending, report.probe_summary)
    steps = [f"Next: {step.title}. {step.evidence}".rstrip() for step in suggest_steps(report)[:1]]
    hint = f"{page}report.show_mistakes() shows the mistakes." if len(report.worst) else page
    return render_notebook(
        f"{report.model} on {report.data}: {report.counted_images}, {count:,} classes",
        headline=f"{format_share(report.accuracy, images)} accuracy",
        lines=describe_accuracy(report),
        charts=charts,
        tables=tables,
        notes=[note for note in (report.training_images_summary, *summaries, *report.remarks, *steps, hint) if note],
    )


def mistake_tiles(report: Report, indices: Iterable[int]) -> list[Tile]:
    """Return images with their label, their name, and the probabilities of the predicted and of the true class."""
    tiles = []
    for i in indices:
        classes = [report.predicted[i], report.labels[i]]
        shares = tuple((report.classes[k], float(report.probabilities[i, k])) for k in dict.fromkeys(classes))
        caption = (f"true: {report.classes[report.labels[i]]}", str(report.names[i]))
        try:
            tiles.append(Tile(np.asarray(report.images[i : i + 1])[0], caption, shares))
        except (InputError, OSError) as error:  # a file that was removed since
            tiles.append(Tile(None, caption, shares, str(error)))
    return tiles

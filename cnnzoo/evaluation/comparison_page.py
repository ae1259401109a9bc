"""The page of a comparison, and what a notebook shows of it."""

from __future__ import annotations

import os
from typing import Any

from markupsafe import Markup

from cnnzoo.core.charts import Plot, format_percent
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.pages import file_address, render_page
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.compared_images import draw_picture
from cnnzoo.evaluation.comparison_steps import suggest_steps
from cnnzoo.evaluation.differences import format_p, format_point_interval, format_points
from cnnzoo.evaluation.paired_statistics import SIGNIFICANT

Comparison = Any  # `evaluation.comparison` imports this file, so this file cannot import its class

MAX_PICTURES = 24  # of gains, and of losses
MAX_UNFOLDED, SHOWN_FIRST = 25, 15  # more groups are folded, but those that differ most
HEADERS = ("images", "A", "B", "B - A", "95 % interval", "only B right", "only A right", "p", "p (Holm)")


SECTIONS = [("figures", "Both models"), ("gains", "Gains"), ("losses", "Losses")]
CALIBRATION = ("calibration", "Calibration")


def render_comparison(comparison: Comparison, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the page of a comparison.

    Args:
        comparison: the comparison.
        folder: where the page will be, so that links to files inside it are relative.
    """
    tables = {"class": comparison.per_class, **comparison.slices}
    gains = _describe_flips(comparison, comparison.gains, folder)
    losses = _describe_flips(comparison, comparison.losses, folder)
    late_notes = comparison.images.describe_problem() if comparison.images is not None else []  # of images shown above
    return render_page(
        "cnnzoo.evaluation",
        "compare.html",
        a=comparison.describe("a"),
        b=comparison.describe("b"),
        subtitle=comparison.describe_images(),
        difference=_format_points(comparison),
        headline_lines=describe_difference(comparison),
        verdict=comparison.verdict,
        steps=suggest_steps(comparison),
        sections=[*SECTIONS, *((f"by-{i}", f"By {name}") for i, name in enumerate(tables, 1)), CALIBRATION],
        rows=comparison.headlines(),
        agreement=_count_agreement(comparison),
        gains=gains,
        losses=losses,
        gain_count=len(comparison.gains),
        loss_count=len(comparison.losses),
        tables=[_make_table(name, rows) for name, rows in tables.items()],
        headers=HEADERS,
        reliability=_draw_reliability(comparison),
        notes=list(dict.fromkeys((*comparison.notes, *late_notes))),
    )


def summarize_comparison(comparison: Comparison) -> str:
    """Return headline, figures and the groups that differ most, for a notebook."""
    tables = [NotebookTable("Both models", ("metric", "A", "B", "B - A (95 % interval)"), comparison.headlines())]
    for name, rows in {"class": comparison.per_class, **comparison.slices}.items():
        cells = [(row["name"], *row["cells"]) for row in _make_table(name, rows)["rows"]]
        tables.append(NotebookTable(f"By {name}", (name, *HEADERS), cells, folded=True))
    return render_notebook(
        f"B: {comparison.describe('b')}, compared with A: {comparison.describe('a')}",
        headline=_format_points(comparison),
        lines=[*describe_difference(comparison), comparison.verdict],
        tables=tables,
        notes=comparison.notes,
    )


def _format_points(comparison: Comparison) -> str:
    return format_points(comparison.difference, len(comparison.labels))


def describe_difference(comparison: Comparison) -> list[str]:
    """Return what stands below the difference: its interval, and on how many images the two differ."""
    images = len(comparison.labels)
    return [
        f"of accuracy from A to B; 95 % interval: {format_point_interval(comparison.interval, images)} points",
        f"{format_share(comparison.accuracy_a, images)} to {format_share(comparison.accuracy_b, images)} on "
        f"{comparison.describe_images()}",
        f"McNemar's exact test: {format_p(comparison.p_value)}",
    ]


def _count_agreement(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return the rows of the table of images by who is right."""
    right_a, right_b = comparison.right
    return [
        ("A right", f"{int((right_a & right_b).sum()):,}", f"{int((right_a & ~right_b).sum()):,}"),
        ("A wrong", f"{int((~right_a & right_b).sum()):,}", f"{int((~right_a & ~right_b).sum()):,}"),
    ]


def _make_table(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a table of groups as text, those that differ most first if there are many."""

    def format_row(row: dict[str, Any]) -> dict[str, Any]:
        images = row["images"]
        cells = [
            f"{images:,}",
            format_share(row["accuracy_a"], images),
            format_share(row["accuracy_b"], images),
            format_points(row["difference"], images).removesuffix(" points"),
            format_point_interval(row["interval_95"], images),
            f"{row['gains']:,}",
            f"{row['losses']:,}",
            _format_p(row["p"]),
            _format_p(row["p_holm"]),
        ]
        return {
            "name": row["name"],
            "cells": cells,
            "better": row["p_holm"] < SIGNIFICANT and row["difference"] > 0,
            "worse": row["p_holm"] < SIGNIFICANT and row["difference"] < 0,
        }

    strongest = sorted(rows, key=lambda row: (row["p"], -abs(row["difference"])))
    return {
        "name": name,
        "rows": list(map(format_row, rows)),
        "first": list(map(format_row, strongest[:SHOWN_FIRST])) if len(rows) > MAX_UNFOLDED else [],
        "differing": sum(row["p_holm"] < SIGNIFICANT for row in rows),
    }


def _format_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _describe_flips(
    comparison: Comparison, indices: Any, folder: str | os.PathLike[str] | None
) -> list[dict[str, Any]]:
    """Return pictures and captions of the first images on which only one of the two is right."""
    entries = []
    for i in indices[:MAX_PICTURES]:
        name = comparison.a.images[i]
        source = comparison.images.find_source(name) if comparison.images is not None else None
        uri, pixelated, problem = draw_picture(source)
        answers = [
            (which, each.classes[each.predicted[i]], format_share(float(each.confidence[i])))
            for which, each in (("A", comparison.a), ("B", comparison.b))
        ]
        entries.append(
            {
                "name": name,
                "true": comparison.classes[comparison.labels[i]],
                "answers": answers,
                "uri": uri,
                "pixelated": pixelated,
                "problem": problem,
                "alt": f"{name}: {', '.join(f'{which} says {answer}' for which, answer, _ in answers)}",
                "address": file_address(source, folder) if isinstance(source, str | os.PathLike) else None,
            }
        )
    return entries


def _draw_reliability(comparison: Comparison) -> tuple[Markup, str]:
    """Return a chart of the accuracy of both models over their confidence, and its caption."""
    calibration = comparison.calibration
    plot = Plot(
        "Reliability", "confidence", "accuracy", (0, 1), (0, 1), format_x=format_percent, format_y=format_percent
    )
    plot.add_line([0, 1], [0, 1], "gray", "perfectly calibrated", dashed=True)
    for which, color in (("a", "orange"), ("b", "blue")):
        bins = calibration[which]["reliability"]
        plot.add_line(bins["confidence"], bins["accuracy"], color, which.upper())
        plot.add_points(bins["confidence"], bins["accuracy"], color, cross=which == "a")
    images = len(comparison.labels)
    errors = [format_share(calibration[which]["calibration_error"], images) for which in ("a", "b")]
    caption = (
        f"Expected calibration error: A {errors[0]}, B {errors[1]}, of {format_count(images, 'image')} in 15 bins of "
        "confidence; bins with few images are noisy."
    )
    return plot.to_svg(), caption

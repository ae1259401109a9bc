"""The page of a benchmark: the recommendation, charts of speed and accuracy, and the table."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from cnnzoo.core.charts import Plot, bar_chart, format_percent, round_range
from cnnzoo.core.numbers import format_share
from cnnzoo.core.pages import render_page
from cnnzoo.core.text import format_milliseconds

Benchmark = Any  # `export.benchmark_result` imports this file, so this file cannot import its class


def render_benchmark(benchmark: Benchmark) -> str:
    """Return the page of a benchmark."""
    best = benchmark.recommended
    lines = []
    if best is not None:
        lines = [f"one image, with {best.format} in {best.precision}"]
        if best.accuracy is not None:
            lines.append(f"{format_share(best.accuracy, benchmark.images)} accuracy")
    rows = zip(benchmark.rows, benchmark.cells(), strict=True)
    return render_page(
        "cnnzoo.export",
        "benchmark.html",
        title=benchmark.title(),
        headline=format_milliseconds(best.speed.median_ms) if best is not None else "no export recommended",
        headline_lines=lines,
        recommendation=benchmark.recommendation,
        headers=benchmark.headers,
        rows=[(row is best, cells) for row, cells in rows],
        reasons=benchmark.reasons,
        charts=[chart for chart in (_draw_latencies(benchmark), _draw_accuracies(benchmark)) if chart],
        export_dir=str(benchmark.export_dir or ""),
    )


def _draw_latencies(benchmark: Benchmark) -> Markup | None:
    """Return bars of the time of one image, the fastest first."""
    times = {f"{row.format} {row.precision}": row.speed.median_ms for row in benchmark.rows if row.speed}
    if not times:
        return None
    ordered = dict(sorted(times.items(), key=lambda item: item[1]))
    return bar_chart(ordered, "Time of one image", "median, in milliseconds", format_milliseconds)


def _draw_accuracies(benchmark: Benchmark) -> Markup | None:
    """Return a plot of accuracy over time, with the interval of the difference to the model."""
    rows = [row for row in benchmark.rows if row.speed and row.accuracy is not None]
    if len(rows) < 2:
        return None
    times = [row.speed.median_ms for row in rows]
    reference = benchmark.rows[0].accuracy
    bounds = [
        tuple(reference + bound for bound in row.comparison.interval) if row.comparison else (row.accuracy,) * 2
        for row in rows
    ]
    floor = reference - benchmark.margin
    low = min(floor, *(bound[0] for bound in bounds))
    high = max(1.0 if low > 0.9 else reference, *(bound[1] for bound in bounds))
    x_range = (min(times) / 1.3, max(times) * 1.3)
    plot = Plot(
        "Accuracy and speed",
        "milliseconds for one image",
        "accuracy",
        x_range,
        round_range(max(0.0, low), min(1.0, high)),
        log_x=True,
        format_x="{:.2g}".format,
        format_y=format_percent,
    )
    plot.add_line(x_range, [reference, reference], "gray", "the model")
    plot.add_line(x_range, [floor, floor], "gray", "margin", dashed=True)
    clipped = [[min(1.0, max(0.0, bound)) for bound in pair] for pair in bounds]
    for is_acceptable, color, name in (
        (True, "blue", "no worse than the margin"),
        (False, "orange", "not shown to be"),
    ):
        chosen = [i for i, row in enumerate(rows) if row.is_acceptable == is_acceptable]
        if chosen:
            plot.add_points(
                [times[i] for i in chosen],
                [rows[i].accuracy for i in chosen],
                color,
                name,
                intervals=[clipped[i] for i in chosen],
                cross=not is_acceptable,
            )
    return plot.to_svg()

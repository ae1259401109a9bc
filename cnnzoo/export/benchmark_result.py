"""The result of a benchmark: a table of exports, a recommendation, and files with both."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.outputs import check_output_file, write_text_file
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_cell, escape_controls, format_count, format_milliseconds
from cnnzoo.evaluation.comparison import Comparison
from cnnzoo.evaluation.differences import format_point_interval, format_points
from cnnzoo.export.speed import Speed

SUFFIXES = (".html", ".json", ".csv")
SAME_SPEED = 1.05  # times the shortest latency; within that, the smaller file is recommended
HEADERS = (
    "format",
    "precision",
    "size",
    "accuracy",
    "difference (95 %)",
    "1 image",
    "95 % below",
    "images/s",
    "memory",
)


@dataclass(frozen=True, repr=False)
class BenchmarkRow(SuggestsAttributes):
    """The measurements of one export.

    Attributes:
        format: "onnx", "openvino", ..., or "keras" for the model itself.
        precision: "float32", "float16" or "int8".
        size: bytes of its files; None if there is no export.
        accuracy: from 0 to 1; None if it was not measured.
        comparison: the comparison of its predictions with those of the model; None if there is none.
        speed: latency, throughput and memory; None if they were not measured.
        path: its folder; None if there is no export.
        reason: why something is missing; "" if nothing is.
    """

    format: str
    precision: str
    size: int | None = None
    accuracy: float | None = None
    comparison: Comparison | None = field(default=None, repr=False)
    speed: Speed | None = None
    path: Path | None = None
    reason: str = ""

    @property
    def is_acceptable(self) -> bool:
        """Whether it runs and is no worse than the model by the margin; also if accuracy was not measured."""
        if self.speed is None or self.reason:
            return False
        if self.comparison is None:
            return True
        return bool(self.comparison.is_noninferior) or not len(self.comparison.losses)

    def __repr__(self) -> str:
        return f"<BenchmarkRow {self.format} {self.precision}{f': {self.reason}' if self.reason else ''}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements as JSON values."""
        values: dict[str, Any] = {
            "format": self.format,
            "precision": self.precision,
            "size_bytes": self.size,
            "accuracy": self.accuracy,
            "difference": None,
            "interval_low": None,
            "interval_high": None,
            "p_value": None,
            "noninferior": None,
            "gains": None,
            "losses": None,
        }
        if self.comparison is not None:
            low, high = self.comparison.interval
            values |= {
                "difference": self.comparison.difference,
                "interval_low": low,
                "interval_high": high,
                "p_value": self.comparison.p_value,
                "noninferior": self.comparison.is_noninferior,
                "gains": len(self.comparison.gains),
                "losses": len(self.comparison.losses),
            }
        values |= dict.fromkeys(Speed._fields) | (self.speed._asdict() if self.speed else {})
        return values | {"acceptable": self.is_acceptable, "reason": self.reason}


@dataclass(frozen=True, repr=False)
class Benchmark(SuggestsAttributes):
    """The exports of a model and their measurements, as `benchmark` returns them.

    Attributes:
        model: name of the model.
        rows: the measurements; the first row is the model itself, run by Keras.
        margin: the loss of accuracy that does not matter.
        split: the split that accuracy was measured on.
        images: number of its images; None if accuracy was not measured.
        data: name of the data; None without data.
        export_dir: the folder that keeps the exports; None if they were deleted.

    Example:
        >>> from cnnzoo.export.benchmark_result import BenchmarkRow
        >>> from cnnzoo.export.speed import Speed
        >>> rows = [
        ...     BenchmarkRow("keras", "float32", 250_000, speed=Speed(9.0, 12.0, 200, 400.0, 64, None, "keras")),
        ...     BenchmarkRow("onnx", "float32", 252_000, speed=Speed(3.0, 4.0, 200, 900.0, 32, None, "onnxruntime")),
        ...     BenchmarkRow("litert", "float32", reason="its package is not installed"),
        ... ]
        >>> result = cnnzoo.Benchmark("lenet5", tuple(rows), margin=0.01, split="test")  # as `benchmark` returns it
        >>> result.recommended
        <BenchmarkRow onnx float32>
        >>> result.save("benchmark.csv")
    """

    model: str
    rows: tuple[BenchmarkRow, ...]
    margin: float
    split: str
    images: int | None = None
    data: str | None = None
    export_dir: Path | None = None

    @property
    def recommended(self) -> BenchmarkRow | None:
        """The export to use: the fastest that is no worse than the margin; None if there is none."""
        candidates = [row for row in self.rows[1:] if row.is_acceptable]
        if not candidates:
            return None
        shortest = min(row.speed.median_ms for row in candidates if row.speed)
        fast = [row for row in candidates if row.speed and row.speed.median_ms <= SAME_SPEED * shortest]
        return min(fast, key=lambda row: row.size or 0)

    @property
    def recommendation(self) -> str:
        """The recommended export and the reason, in two sentences."""
        best, points = self.recommended, f"{100 * self.margin:g} point{'' if self.margin == 0.01 else 's'}"
        rule = (
            "The rule: the shortest time for one image among the exports that are no worse than the model by "
            f"{points}, as the paired test shows, or that make no mistake that the model does not make; within 5 % of "
            "that time, the smallest."
        )
        if best is None:
            return f"No export is recommended, because none runs and is shown to be no worse by {points}. {rule}"
        assert best.speed
        rate = format_milliseconds(best.speed.median_ms)
        text = f"Use {best.format} in {best.precision}: one image takes {rate}"
        if (keras := self.rows[0].speed) is not None:
            text += f", {keras.median_ms / best.speed.median_ms:.1f} times as fast as Keras"
        if best.size and self.rows[0].size:
            text += f", and it has {format_size(best.size)}"
        if best.comparison is None:
            return f"{text}. Accuracy was not measured, as no data was given; pass it as well. {rule}"
        images = self.images or 0
        difference, interval = best.comparison.difference, best.comparison.interval
        return (
            f"{text}. Its accuracy is {format_share(best.accuracy or 0.0, images)}, "
            f"{format_points(difference, images)} ({format_point_interval(interval, images)}) from that of the model. "
            f"{rule}"
        )

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows of the table as text."""
        best, table = self.recommended, list[tuple[str, ...]]()
        for row in self.rows:
            images, speed, difference = self.images or 0, row.speed, ""
            if row.comparison is not None:
                interval = format_point_interval(row.comparison.interval, images)
                points = format_points(row.comparison.difference, images).removesuffix(" points")
                difference = f"{points} ({interval})"
            cells = (
                f"{row.format}{' *' if row is best else ''}",
                row.precision,
                format_size(row.size),
                "" if row.accuracy is None else format_share(row.accuracy, images),
                difference,
                format_milliseconds(speed.median_ms) if speed else "",
                format_milliseconds(speed.p95_ms) if speed else "",
                f"{speed.images_per_second:,.0f} (batch {speed.batch_size})" if speed else "",
                format_size(speed.memory_bytes) if speed else "",
            )
            table.append(cells)
        return table

    headers: ClassVar[tuple[str, ...]] = HEADERS  # of the table, as text

    @property
    def reasons(self) -> list[str]:
        """What is missing in the table, and why."""
        return [f"{row.format} {row.precision}: {row.reason}" for row in self.rows if row.reason]

    def title(self) -> str:
        """Return what was measured."""
        data = "without data" if self.images is None else f"on {format_count(self.images, f'{self.split} image')}"
        return f"Exports of {self.model} {data}" + (f" of {self.data}" if self.data else "")

    def __repr__(self) -> str:
        best = self.recommended
        choice = f"{best.format} {best.precision}" if best else "none"
        return escape_controls(f"<Benchmark of {self.model}: {len(self.rows) - 1} exports, recommended: {choice}>")

    def __str__(self) -> str:
        table = format_table(self.headers, self.cells())
        lines = [f"Not measured: {reason}" for reason in self.reasons]
        return "\n".join([escape_controls(self.title()), table, *map(escape_controls, lines), self.recommendation])

    def to_dict(self) -> dict[str, Any]:
        """Return all measurements as JSON values."""
        best = self.recommended
        return {
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "margin": self.margin,
            "recommended": None if best is None else {"format": best.format, "precision": best.precision},
            "recommendation": self.recommendation,
            "rows": [row.to_dict() for row in self.rows],
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """Return the rows as CSV."""
        rows, text = [row.to_dict() for row in self.rows], io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: escape_cell(value) if isinstance(value, str) else value for key, value in row.items()}
            )
        return text.getvalue()

    def to_html(self) -> str:
        """Return the benchmark as one self-contained page."""
        from cnnzoo.export.benchmark_page import render_benchmark

        return render_benchmark(self)

    @check_arguments()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the benchmark to a file, which is replaced if it exists.

        Args:
            path: a .html file for the page, or a .json or .csv file for the figures.

        Raises:
            InputError: if the path has another suffix or cannot be written to.
        """
        file = check_output_path(path)
        write = {".html": self.to_html, ".json": self.to_json, ".csv": self.to_csv}[file.suffix.lower()]
        text = write()
        write_text_file(file, text)

    def _repr_html_(self) -> str:
        """Return the table and the recommendation for a notebook."""
        table = NotebookTable("* is recommended", self.headers, self.cells())
        return render_notebook(self.title(), lines=[self.recommendation], tables=[table], notes=self.reasons)


def check_output_path(path: object, name: str = "the benchmark") -> Path:
    """Return the path of a file to write; raise InputError as `check_output_file` does."""
    return check_output_file(path, name, SUFFIXES, f"a file that ends in {', '.join(SUFFIXES)}")


def format_size(size: int | None) -> str:
    """Return a number of bytes for a table; "" for None.

    Example:
        >>> from cnnzoo.export.benchmark_result import format_size
        >>> format_size(51_200), format_size(23_456_789)
        ('51 kB', '23.5 MB')
    """
    if size is None:
        return ""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"

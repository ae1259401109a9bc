"""Predictions as rows of a table, and their text in CSV and JSON Lines files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cnnzoo.core.extras import install_command
from cnnzoo.core.text import escape_cell
from cnnzoo.inference.prediction import Prediction

Row = dict[str, Any]
INDEX = "index"  # the column of the number of an image in the listing of all images, in the files of shards


def prediction_to_row(prediction: Prediction, top: int, marks_unsure: bool = False, index: int | None = None) -> Row:
    """Return a prediction as a table row: path, error, perhaps unsure, class_1, probability_1, ...

    The rows of a shard begin with the number of the image among those of all shards.
    """
    row: Row = {} if index is None else {INDEX: index}
    row |= {"path": prediction.source, "error": prediction.error}
    if marks_unsure:
        row["unsure"] = None if prediction.error else prediction.unsure
    for i in range(top):
        has_class = i < len(prediction.classes)
        row[f"class_{i + 1}"] = prediction.classes[i] if has_class else None
        row[f"probability_{i + 1}"] = prediction.probabilities[i] if has_class else None
    return row


def _format_cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file: true and false as in JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return escape_cell(value) if isinstance(value, str) else value


def _format_csv(rows: Sequence[Row], with_header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    if with_header:
        writer.writeheader()
    for row in rows:
        writer.writerow({key: _format_cell(value) for key, value in row.items()})
    return text.getvalue()


def _format_json_lines(rows: Sequence[Row], with_header: bool) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TEXT_FORMATS: dict[str, Callable[[Sequence[Row], bool], str]] = {".csv": _format_csv, ".jsonl": _format_json_lines}
SUFFIXES = (*TEXT_FORMATS, ".parquet")


def arrow_schema(columns: Iterable[str]) -> Any:
    """Return the pyarrow.Schema of rows with these columns."""
    arrow, _ = import_pyarrow()
    types = {"unsure": arrow.bool_(), INDEX: arrow.int64()}
    return arrow.schema(
        (name, arrow.float32() if name.startswith("probability") else types.get(name, arrow.string()))
        for name in columns
    )


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet, which write Parquet files."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError(f"Writing Parquet files requires pyarrow: {install_command('parquet')}") from None
    return pyarrow, parquet

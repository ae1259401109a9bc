"""The columns of a file of predictions: CSV, JSON Lines or Parquet, read so that many probabilities fit into memory."""

from __future__ import annotations

import csv
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.data.table_files import check_parquet

CHUNK_ROWS = 8192
AGAIN = "evaluate the model again (cnnzoo evaluate RUN DATA --out FOLDER)"


def read_columns(file: Path) -> dict[str, Any]:
    """Return the columns of a file by name: lists of text, or arrays; those of probabilities as one array "p"."""
    try:
        if file.suffix == ".parquet":
            return _read_parquet(file)
        return _read_csv(file) if file.suffix == ".csv" else _read_json_lines(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not text in UTF-8, as cnnzoo writes it; {AGAIN}") from None


def _read_csv(file: Path) -> dict[str, Any]:
    """Read a CSV file in chunks, so that the text of many probabilities is never in memory as a whole."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        try:
            header = next(csv.reader(stream), [])
        except csv.Error as error:  # a name that is far too long
            raise InputError(f"{file} was changed, line 1: {error}; {AGAIN}") from None
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InputError(f"{file} was changed: it has the column {shorten_repr(twice)} twice; {AGAIN}")
        text = [i for i, name in enumerate(header) if not _is_probability(name)]
        if text != list(range(len(text))):
            raise InputError(f"{file} was changed: its columns of probabilities, p(CLASS), are not the last; {AGAIN}")
        columns, parts = [list[str]() for _ in text], list[np.ndarray]()
        for cells, numbers in _iter_chunks(stream, header, len(text), file):
            for column, values in zip(columns, cells, strict=True):
                column.extend(values)
            parts.append(numbers)
    result: dict[str, Any] = dict(zip(header, columns, strict=False))
    if len(text) < len(header):
        result["p"] = np.concatenate(parts) if parts else np.empty((0, len(header) - len(text)))
        result["p names"] = [name[2:-1] for name in header[len(text) :]]
    return result


def _is_probability(name: str) -> bool:
    return name.startswith("p(") and name.endswith(")")


def _iter_chunks(
    stream: TextIO, header: Sequence[str], text_columns: int, file: Path
) -> Iterator[tuple[Sequence[Sequence[str]], np.ndarray]]:
    """Yield the columns of text and the numbers (rows, columns) of some rows of a CSV file at a time."""
    width, first = len(header), text_columns
    while lines := list(itertools.islice(stream, CHUNK_ROWS)):
        if chunk := _split_plain_lines(lines, width, first):
            yield chunk
            continue
        # A name in quotes may even hold a line end, so the rest is read as CSV; this also finds what was changed.
        reader = csv.reader(itertools.chain(lines, stream), strict=True)
        try:
            while rows := [row for row in itertools.islice(reader, CHUNK_ROWS) if row]:
                if bad := next((row for row in rows if len(row) != width), None):
                    raise InputError(
                        f"{file} was changed or cut off: a row has {len(bad)} values instead of {width}: "
                        f"{shorten_repr(bad[:3])}; {AGAIN}"
                    )
                cells = list(zip(*rows, strict=True))
                yield cells[:first], _to_numbers(cells[first:], cells[0], file)
        except csv.Error as error:
            raise InputError(f"{file} was changed, line {reader.line_num + 1}: {error}; {AGAIN}") from None


def _split_plain_lines(
    lines: Sequence[str], width: int, first: int
) -> tuple[Sequence[Sequence[str]], np.ndarray] | None:
    """Return columns and numbers as `_iter_chunks` does, of lines without quotes; None for anything unusual.

    It takes a fifth of the time of `csv`, which makes a string of every number.
    """
    if not 0 < first < width or any('"' in line for line in lines):
        return None
    rows = [line.rstrip("\r\n").split(",", first) for line in lines]
    if any(len(row) != first + 1 for row in rows):
        return None
    *cells, tails = zip(*rows, strict=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # of NumPy, for text after the last number
            numbers = np.fromstring(",".join(tails), sep=",")
    except (ValueError, DeprecationWarning):
        return None
    has_all = len(numbers) == len(rows) * (width - first) and all(
        tail.count(",") == width - first - 1 for tail in tails
    )
    return (cells, numbers.reshape(len(rows), -1)) if has_all else None


def _to_numbers(columns: Sequence[Sequence[str]], names: Sequence[str], file: Path) -> np.ndarray:
    """Return columns of cells as numbers (rows, columns); raise InputError for the first cell with another value."""
    numbers = np.empty((len(names), len(columns)))
    for i, cells in enumerate(columns):
        try:
            numbers[:, i] = np.fromiter(map(float, cells), "float64", len(cells))
        except ValueError:
            row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
            raise InputError(
                f"{file} was changed: {cells[row]!r:.80} in the row of {names[row]!r:.200} is not a probability; "
                f"{AGAIN}"
            ) from None
    return numbers


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_json_lines(file: Path) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it is not an object, {...}")
                if number > 1 and row.keys() != columns.keys():
                    raise ValueError("its fields are not those of the first line")
            except (ValueError, RecursionError) as error:
                raise InputError(f"{file} was changed or cut off, line {number}: {error}") from None
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    return dict(columns)


def _read_parquet(file: Path) -> dict[str, Any]:
    check_parquet()
    import pyarrow
    from pyarrow import parquet

    parts = sorted(file.glob("part-*.parquet")) if file.is_dir() else [file]
    try:
        table = pyarrow.concat_tables([parquet.read_table(part) for part in parts])
        names = [name for name in table.column_names if _is_probability(name)]
        values = {name: table.column(name).to_pylist() for name in table.column_names if name not in names}
        if names:
            values["p"] = np.stack([table.column(name).to_numpy().astype("float64") for name in names], axis=1)
            values["p names"] = [name[2:-1] for name in names]
    except (pyarrow.ArrowException, ValueError, TypeError) as error:  # TypeError: null in the place of a number
        raise InputError(f"{file} cannot be read as Parquet: {str(error)[:300]}") from None
    return values

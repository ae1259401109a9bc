"""Text files and tables that list the paths of images, read line by line: they may be larger than the memory."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.paths import path_exists
from cnnzoo.inference.rows import import_pyarrow
from cnnzoo.inference.sources import find_path_column

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PARQUET_BATCH_ROWS = 8_192


def is_path_list(path: str) -> bool:
    """Return whether a path names a file that lists images, by its suffix."""
    return path.casefold().endswith(LIST_SUFFIXES) and os.path.isfile(path)  # noqa: PTH113  # called for many paths


def iter_listed_paths(file: str) -> Iterator[str]:
    """Yield the paths that a file lists, without opening any of them.

    A .txt file has one path per line, and the others have a column of paths with a usual name. Paths are relative to
    the folder of the file, or to the current folder if the first of them only exists there.

    Raises:
        InputError: if the file cannot be read, lists nothing, or the first path is no file.
    """
    paths = _read_paths(file)
    first = next(paths, None)
    if first is None:
        raise InputError(f"{file!r} lists no images")
    base = os.path.dirname(file)  # noqa: PTH120  # joined to millions of paths
    if not path_exists(os.path.join(base, first)):  # noqa: PTH118
        if not path_exists(first):
            raise InputError(
                f"Cannot read {file!r} as a list of images: its first path is {shorten_repr(first)}, and there is no "
                "such file"
            )
        base = ""
    yield os.path.join(base, first)  # noqa: PTH118
    for path in paths:
        yield os.path.join(base, path)  # noqa: PTH118


def _read_paths(file: str) -> Iterator[str]:
    """Yield the paths of a list as they are written in it."""
    suffix = Path(file).suffix.casefold()
    try:
        if suffix == ".parquet":
            yield from _read_parquet(file)
            return
        # Names of files need not be UTF-8.
        with Path(file).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            if suffix == ".txt":
                yield from filter(None, (line.rstrip("\r\n") for line in lines))
            elif suffix in (".csv", ".tsv"):
                yield from _read_csv(file, lines, "\t" if suffix == ".tsv" else ",")
            else:
                yield from _read_json_lines(lines)
    except (OSError, csv.Error) as error:
        raise InputError(f"Cannot read {file!r} as a list of images: {error}") from None


def _read_csv(file: str, lines: Iterator[str], separator: str) -> Iterator[str]:
    """Yield the column of paths; a table of one column need not have a header."""
    rows = csv.reader(lines, delimiter=separator)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        return
    beside = os.path.join(os.path.dirname(file), header[0])  # noqa: PTH118, PTH120
    has_header = len(header) > 1 or not (path_exists(beside) or path_exists(header[0]))
    if not has_header:
        yield header[0]
    column = header.index(find_path_column(header)) if has_header else 0
    for row in rows:
        if not row:
            continue
        if column >= len(row):
            raise InputError(f"{file}, line {rows.line_num} has {len(row)} values for {len(header)} columns")
        yield _check_listed(row[column], f"line {rows.line_num} of {file!r}")


def _read_json_lines(lines: Iterator[str]) -> Iterator[str]:
    column = ""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            column = column or find_path_column(list(record))
            yield _check_listed(record[column], f"line {number} of the list of images")
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f'line {number} of the list of images must be a record such as {{"path": "a.jpg"}}. '
                f"Received: {line.strip():.200}"
            ) from None


def _read_parquet(file: str) -> Iterator[str]:
    arrow, parquet = import_pyarrow()
    try:
        with parquet.ParquetFile(file, page_checksum_verification=True) as table:
            column, number = find_path_column(table.schema_arrow.names), itertools.count(1)
            for batch in table.iter_batches(PARQUET_BATCH_ROWS, columns=[column]):
                batch.validate(full=True)  # text that is not UTF-8
                for path in batch.column(0).to_pylist():
                    yield _check_listed(path, f"row {next(number)} of {file!r}")
    except InputError:
        raise
    except (arrow.ArrowException, ValueError) as error:  # also of names that are not UTF-8
        raise InputError(f"Cannot read {file!r} as a list of images: {str(error)[:300]}") from None


def _check_listed(path: object, where: str) -> str:
    """Return a path of a list; raise InputError if it is empty or no text, which would stand for another file."""
    if not isinstance(path, str) or not path:
        raise InputError(f"{where} has no path. Received: {shorten_repr(path)}. Remove the row, or complete it")
    return path

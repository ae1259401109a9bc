"""Join the rows of shards in the order of the images, with few of them in memory, and check that none was changed."""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.progress import Progress
from cnnzoo.core.text import unescape_cell
from cnnzoo.inference.answers import PARQUET_PART_ROWS
from cnnzoo.inference.rows import INDEX, import_pyarrow
from cnnzoo.inference.shard_files import REMEDY, ShardRecord
from cnnzoo.inference.shards import NameSet, hash_name

BATCH_ROWS = 4_096  # of each shard that are read from Parquet files at a time
MAX_DIGITS = 18  # of the number of an image
NUMBERED = tuple[int, str]  # the number of an image in the listing, and its row as text


class RowCheck:
    """Checks that the rows of a shard are those that were recorded, while they are read."""

    def __init__(self, record: ShardRecord) -> None:
        self.record, self.names, self.last_index = record, NameSet(), -1

    def add(self, indices: Sequence[int], names: Sequence[str]) -> None:
        """Check the next rows.

        Raises:
            InputError: if they are not in the order of the images.
        """
        for index, name in zip(indices, names, strict=True):
            if index <= self.last_index:
                raise self.damage()
            self.last_index = index
            self.names.add(hash_name(name))
        if self.names.count > self.record.rows:  # at once, as a small file may hold billions of rows
            raise self.damage()

    def end(self) -> None:
        """Raise InputError if rows are missing, or are there twice."""
        if tuple(self.names.to_json()) != self.record.own_names:
            raise self.damage()

    def damage(self) -> InputError:
        """Return the error for a file whose rows are not those that were written."""
        return InputError(
            f"{self.record.path} is damaged or was changed: it does not hold the {self.record.rows:,} rows that shard "
            f"{self.record.shard} has written; {REMEDY}"
        )


# ---- CSV and JSON Lines


def merge_text(records: Sequence[ShardRecord], path: Path, progress: Progress) -> None:
    """Write the rows of CSV or JSON Lines files to one file.

    Raises:
        InputError: if a file is damaged.
    """
    read = _read_csv if path.suffix == ".csv" else _read_json_lines
    headers = list[str]()
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = heapq.merge(*(read(record, headers) for record in records), key=lambda row: row[0])
        for i, (_, text) in enumerate(progress.track(rows)):
            if i == 0 and headers:
                out.write(headers[0])
            out.write(text)


class _Echo:
    """A file for `csv.writer`, whose `writerow` then returns the text of the row."""

    def write(self, text: str) -> str:
        return text


def _read_csv(record: ShardRecord, headers: list[str]) -> Iterator[NUMBERED]:
    check, format_row = RowCheck(record), csv.writer(_Echo()).writerow
    with record.path.open(encoding="utf-8", newline="") as file:
        rows = _iter_cells(file, check)
        header = next(rows, [])
        if header[:2] != [INDEX, "path"] and (header or record.rows):
            raise check.damage()
        if header and not headers:
            headers.append(str(format_row(header[1:])))
        if header and headers[0] != format_row(header[1:]):
            raise check.damage()
        for row in rows:
            if len(row) != len(header) or not row[0].isdecimal() or len(row[0]) > MAX_DIGITS:
                raise check.damage()
            check.add([int(row[0])], [unescape_cell(row[1])])
            yield int(row[0]), str(format_row(row[1:]))
    check.end()


def _read_json_lines(record: ShardRecord, headers: list[str]) -> Iterator[NUMBERED]:
    check = RowCheck(record)
    with record.path.open(encoding="utf-8", newline="\n") as file:
        for line in _decode_lines(file, check):
            try:
                row = json.loads(line)
                index = int(row.pop(INDEX))
                check.add([index], [row["path"]])
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
                raise check.damage() from None
            yield index, json.dumps(row, ensure_ascii=False) + "\n"
    check.end()


def _iter_cells(file: IO[str], check: RowCheck) -> Iterator[list[str]]:
    """Yield the rows of a CSV file; raise InputError if it is none."""
    try:
        yield from csv.reader(_decode_lines(file, check))
    except csv.Error:  # such as a cell of a megabyte
        raise check.damage() from None


def _decode_lines(file: IO[str], check: RowCheck) -> Iterator[str]:
    """Yield the lines of a text file; raise InputError if they are not UTF-8."""
    try:
        yield from file
    except UnicodeDecodeError:
        raise check.damage() from None


# ---- Parquet


def merge_parquet(records: Sequence[ShardRecord], path: Path, progress: Progress) -> None:
    """Write the rows of Parquet data sets to the parts of one data set.

    Of each shard one batch of rows is in memory. Those up to the smallest of their last numbers are sorted and written.

    Raises:
        InputError: if a file is damaged.
    """
    arrow, parquet = import_pyarrow()
    path.mkdir()
    schemas = list[Any]()
    readers = [_read_parts(record, schemas) for record in records]
    batches = [next(reader, None) for reader in readers]
    pending, count, written = list[Any](), 0, 0

    def write_part() -> None:
        nonlocal pending, count, written
        parquet.write_table(arrow.concat_tables(pending).combine_chunks(), path / f"part-{written:012}.parquet")
        progress.advance(count)
        pending, count, written = [], 0, written + count

    while any(batch is not None for batch in batches):
        # Take the rows that come before all rows not yet read.
        limit = min(batch[INDEX][-1].as_py() for batch in batches if batch is not None)
        window = list[Any]()
        for i, batch in enumerate(batches):
            if batch is None:
                continue
            end = int(np.searchsorted(batch[INDEX].to_numpy(), limit, "right"))
            window.append(batch.slice(0, end))
            batches[i] = batch.slice(end) if end < len(batch) else next(readers[i], None)

        # Write a part as soon as it is full.
        rows = arrow.concat_tables(window).sort_by(INDEX).drop_columns([INDEX])
        while len(rows):
            taken = rows.slice(0, PARQUET_PART_ROWS - count)
            rows, count = rows.slice(len(taken)), count + len(taken)
            pending.append(taken)
            if count == PARQUET_PART_ROWS:
                write_part()
    if count:
        write_part()


def _read_parts(record: ShardRecord, schemas: list[Any]) -> Iterator[Any]:
    """Yield tables of some rows of a Parquet data set, in order; the first one of all adds its columns to `schemas`."""
    arrow, parquet = import_pyarrow()
    check = RowCheck(record)
    for part in sorted(record.path.glob("part-*.parquet")):
        try:
            with parquet.ParquetFile(part, page_checksum_verification=True) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    table = arrow.Table.from_batches([batch])
                    table.validate(full=True)
                    schemas[:] = schemas or [table.schema]
                    if table.schema != schemas[0] or not len(table):
                        raise check.damage()
                    check.add(table[INDEX].to_pylist(), table["path"].to_pylist())
                    yield table
        except (arrow.ArrowException, OSError, LookupError, TypeError, ValueError):  # also of names that are not UTF-8
            raise check.damage() from None
    check.end()


ROW_MERGERS: dict[str, Callable[[Sequence[ShardRecord], Path, Progress], None]] = {
    ".csv": merge_text,
    ".jsonl": merge_text,
    ".parquet": merge_parquet,
}

"""Predictions to a file as they come: CSV, JSON lines or Parquet, for any number of images, going on after a stop."""

import csv
import io
import itertools
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from cnnzoo.core.errors import BusyError, InputError, unknown_name
from cnnzoo.core.files import atomic_write

RECORD_INTERVAL = 2.0  # seconds between records of how far the file is good
PROGRESS_FIELDS = ("rows", "errors", "size", "last")  # of the record: answers, bytes that are good, and the last image
TEXT_CHUNK_ROWS = 64  # that are written at a time
PARQUET_PART_ROWS = 16_384  # rows of a part of a Parquet data set, at most


class WriteResult(NamedTuple):
    """What was written: of how many images, and how many of them could not be read."""

    path: Path
    images: int
    errors: int


def prediction_to_row(prediction: Any, top: int) -> dict[str, Any]:
    """A prediction as a row of a table: path, error, class_1, probability_1, ..."""
    found: dict[str, Any] = {"path": prediction.source, "error": prediction.error}
    for i in range(top):
        there = i < len(prediction.classes)
        found[f"class_{i + 1}"] = prediction.classes[i] if there else None
        found[f"probability_{i + 1}"] = prediction.probabilities[i] if there else None
    return found


def _format_csv(rows: Sequence[dict[str, Any]], first: bool) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    if first:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _format_json_lines(rows: Sequence[dict[str, Any]], first: bool) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TEXT_FORMATS = {".csv": _format_csv, ".jsonl": _format_json_lines}
SUFFIXES = (*TEXT_FORMATS, ".parquet")


class PredictionWriter:
    """A file of answers that grows, with a record beside it, until it is done, of how far it is good."""

    def __init__(self, path: Any, plan: dict[str, Any], overwrite: bool = False) -> None:
        """Raises InputError for an unknown suffix, a file that is there, and one that was begun with another plan."""
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES:
            raise unknown_name("kind of file", self.path.suffix or str(path), SUFFIXES)
        if self.path.suffix == ".parquet":
            _import_pyarrow()
        self.record = self.path.with_name(f".{self.path.name}.progress.json")
        self.overwrite, self.kept = overwrite, 0  # answers of the last record
        self.plan, self.rows, self.errors, self.size, self.last = plan, 0, 0, 0, ""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0)
        try:
            self.lock.acquire()
        except Timeout:
            raise BusyError(f"Another process is writing {self.path}") from None
        try:
            self._claim()
        except BaseException:
            self.close()
            raise

    def _claim(self) -> None:
        """Go on with what this very plan has begun; else begin, in the place of what is there if that is allowed."""
        if self.overwrite and not self._begun():
            _remove_earlier_predictions(self.path)
            self.record.unlink(missing_ok=True)
        if not self.record.exists():
            if self.path.exists():
                raise InputError(f"{self.path} is there already; overwrite=True (--overwrite) replaces it")
            self._note()
            return
        try:
            kept = json.loads(self.record.read_bytes())
            then, self.rows, self.errors, self.size, self.last = (kept[key] for key in ("plan", *PROGRESS_FIELDS))
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"{self.record} cannot be read: {error}; overwrite=True (--overwrite) begins anew"
            ) from None
        if differs := [key for key in self.plan if then.get(key) != self.plan[key]]:
            told = "; ".join(f"{key}: {then.get(key)!r} then, {self.plan[key]!r} now" for key in differs)
            raise InputError(f"{self.path} was begun otherwise: {told}; overwrite=True (--overwrite) begins anew")
        if not self._whole():  # what the record counts was taken away
            self._anew()

    def _begun(self) -> bool:
        try:
            return json.loads(self.record.read_bytes())["plan"] == self.plan
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def _whole(self) -> bool:
        """Whether the rows of the record are there: bytes of a text, parts of a Parquet."""
        if self.path.suffix == ".parquet":
            return self.size == 0 or (self.path.is_dir() and len(list(self.path.glob("part-*.parquet"))) >= self.size)
        return self.size == 0 or (self.path.is_file() and self.path.stat().st_size >= self.size)

    def rest(self, each: Callable[[], Iterator[tuple[str, Any]]]) -> Iterator[tuple[str, Any]]:
        """The (name, source) without an answer, but for this file itself; raises InputError if others were before."""
        others = (item for item in each() if not self._own(item[1]))
        done = deque(itertools.islice(others, self.rows), maxlen=1)
        name = done[0][0] if done else ""
        if name == self.last:
            return others
        if self.overwrite:
            self._anew()
            return self.rest(each)
        raise InputError(
            f"{self.path} was begun with other images: number {self.rows:,} was {self.last!r} then and is {name!r} "
            "now; overwrite=True (--overwrite) begins anew"
        )

    def _anew(self) -> None:
        _remove_earlier_predictions(self.path)
        self.rows, self.errors, self.size, self.last = 0, 0, 0, ""
        self._note()

    def _own(self, source: Any) -> bool:
        if not isinstance(source, str | os.PathLike):
            return False
        path, mine = Path(source).resolve(), self.path.resolve()
        return path == mine or mine in path.parents

    def write(self, predictions: Iterable[Any], top: int) -> WriteResult:
        """Add the answers, those that are there already excepted, which the caller skips."""
        text = TEXT_FORMATS.get(self.path.suffix)
        rows = (prediction_to_row(prediction, top) for prediction in predictions)
        if text:
            self._text(rows, text)
        else:
            self._parts(rows)
        self.record.unlink()
        return WriteResult(self.path, self.rows, self.errors)

    def _text(self, rows: Iterable[dict[str, Any]], text: Any) -> None:
        with self.path.open("ab") as file:
            file.truncate(self.size)  # what came after the last record is written again
            noted = time.monotonic()
            for some in _chunk_rows(rows, TEXT_CHUNK_ROWS):
                file.write(text(some, self.rows == 0).encode("utf-8", "backslashreplace"))
                self._count(some)
                if time.monotonic() - noted > RECORD_INTERVAL:
                    file.flush()
                    self.size, noted = file.tell(), time.monotonic()
                    self._note()

    def _parts(self, rows: Iterable[dict[str, Any]]) -> None:
        arrow, parquet = _import_pyarrow()
        self.path.mkdir(exist_ok=True)
        for some in _chunk_rows_by_time(rows):
            kinds = {key: arrow.float32() if key.startswith("probability") else arrow.string() for key in some[0]}
            table = arrow.Table.from_pylist(list(some), schema=arrow.schema(kinds.items()))
            with atomic_write(self.path / f"part-{self.rows:012}.parquet") as new:
                parquet.write_table(table, new)
            self._count(some)
            self.size += 1
            self._note()

    def close(self) -> None:
        """Let others write, and leave no trace of what has not begun."""
        if not self.rows and not self.path.exists():
            self.record.unlink(missing_ok=True)
        self.lock.release()
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def _count(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows += len(rows)
        self.last = rows[-1]["path"]
        self.errors += sum(bool(row["error"]) for row in rows)

    def _note(self) -> None:
        known = {"plan": self.plan} | {name: getattr(self, name) for name in PROGRESS_FIELDS}
        with atomic_write(self.record) as new:
            new.write_text(json.dumps(known), encoding="utf-8")
        self.kept = self.rows


def _chunk_rows(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        yield some


def _chunk_rows_by_time(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many rows as a part has, or those of half a minute, so that no more than these are lost by a stop."""
    some, begun = list[dict[str, Any]](), time.monotonic()
    for found in rows:
        some.append(found)
        if len(some) >= PARQUET_PART_ROWS or time.monotonic() - begun > 15 * RECORD_INTERVAL:
            yield some
            some, begun = [], time.monotonic()
    if some:
        yield some


def _remove_earlier_predictions(path: Path) -> None:
    """Nothing is left of earlier answers; a folder goes only if it holds nothing but parts of them."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    strangers = [
        entry.name
        for entry in path.iterdir()
        if not (entry.name.lstrip(".").startswith("part-") and ".parquet" in entry.name)
    ]
    if strangers:
        raise InputError(f"{path} holds other things, {strangers[0]} for one, and is not replaced")
    shutil.rmtree(path)


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError("Parquet files are written with pyarrow: pip install 'cnnzoo[parquet]'") from None
    return pyarrow, parquet

"""Write predictions to a CSV, JSON Lines or Parquet file while they are computed, for any number of images.

An interrupted run continues where it stopped: a record beside the file counts the rows that are safely written.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from cnnzoo.core.errors import BusyError, InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.core.paths import check_path, resolve_path
from cnnzoo.inference.inputs import NamedImage
from cnnzoo.inference.plans import describe_changes
from cnnzoo.inference.prediction import Prediction
from cnnzoo.inference.rows import SUFFIXES, TEXT_FORMATS, Row, arrow_schema, import_pyarrow, prediction_to_row
from cnnzoo.inference.shards import NameSet, hash_name

RESTART_HINT = "overwrite=True (--overwrite) starts again"
RECORD_FIELDS = {"plan": dict[str, Any], "rows": int, "errors": int, "size": int, "last": str}
OPTIONAL_RECORD_FIELDS = {"unsure": int, "names": tuple[int, str]}
SHARDS_SUFFIX = ".shards"  # of the folder beside the file that the shards are merged into
RECORD_INTERVAL = 2.0  # seconds between two updates of the record
TEXT_CHUNK_ROWS = 64  # rows that are written to a text file at a time
PARQUET_PART_ROWS = 16_384  # maximum rows of one part of a Parquet data set


class WriteResult(NamedTuple):
    """The result of writing predictions.

    Attributes:
        path: the file, or the folder of a Parquet data set.
        images: number of rows, one for each image.
        errors: number of images that could not be read.
        unsure: number of answers below the least probability that was asked for.
    """

    path: Path
    images: int
    errors: int
    unsure: int = 0


class PredictionWriter:
    """Append predictions to a file, and keep a record beside it until the file is complete.

    Attributes:
        path: the file, or the folder of a Parquet data set.
        rows: number of rows written.
        recorded_rows: number of rows that would survive a crash now.
    """

    def __init__(self, path: str | os.PathLike[str], plan: dict[str, Any], overwrite: bool = False) -> None:
        """Lock the file, and continue it if an earlier run with the same plan was interrupted.

        Args:
            path: the file to write, with a suffix of `SUFFIXES`.
            plan: the settings that the predictions depend on, as JSON values.
            overwrite: replace a file that is complete or was begun with another plan.

        Raises:
            InputError: for an unknown suffix, an existing file, or a file that was begun with another plan.
            BusyError: if another process is writing the file.
        """
        self.path, self.record_path = check_predictions_file(path, overwrite)
        self.plan, self.overwrite = plan, overwrite
        self._reset_counts()
        self.recorded_rows = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise BusyError(f"Another process is writing {self.path}") from None
        try:
            self._continue_or_start()
        except BaseException:
            self.close()
            raise

    def _reset_counts(self) -> None:
        self.rows, self.errors, self.unsure = 0, 0, 0
        self.size = 0  # bytes of a text file, or parts of a Parquet data set, that are complete
        self.last_path = ""  # of the last image with a row
        self.names: NameSet | None = NameSet()  # of all images with a row; None if an earlier version did not record it

    def _continue_or_start(self) -> None:
        """Continue the file that this very plan has begun, or start a new one."""
        if self.overwrite and not self._was_begun_with_this_plan():
            _remove_earlier_predictions(self.path)
            self.record_path.unlink(missing_ok=True)

        if not self.record_path.exists():
            check_predictions_file(self.path, self.overwrite)
            self._write_record()
            return

        record = read_json(self.record_path, RECORD_FIELDS, OPTIONAL_RECORD_FIELDS, remedy=RESTART_HINT)
        values = [record[key] for key in RECORD_FIELDS]
        earlier_plan, self.rows, self.errors, self.size, self.last_path = values
        self.unsure = record.get("unsure", 0)
        self.names = NameSet.from_json(*record["names"]) if "names" in record else None
        if changes := describe_changes(earlier_plan, self.plan):
            raise InputError(f"{self.path} was begun with other settings: {changes}; {RESTART_HINT}")
        if not self._has_recorded_rows():  # someone removed the file, but not its record
            self._start_again()

    def _was_begun_with_this_plan(self) -> bool:
        try:
            return bool(read_json(self.record_path, RECORD_FIELDS)["plan"] == self.plan)
        except InputError:
            return False

    def _has_recorded_rows(self) -> bool:
        """Return whether the bytes of a text file, or the parts of a Parquet data set, are as many as recorded."""
        if self.size == 0:
            return True
        if self.path.suffix == ".parquet":
            return self.path.is_dir() and len(list(self.path.glob("part-*.parquet"))) >= self.size
        return self.path.is_file() and self.path.stat().st_size >= self.size

    def skip_answered(self, list_images: Callable[[], Iterator[NamedImage]]) -> Iterator[NamedImage]:
        """Return the images that have no row yet, leaving out the file that is being written.

        Args:
            list_images: returns an iterator over all images, each time it is called.

        Raises:
            InputError: if the images before differ from those that were answered.
        """
        images = (image for image in list_images() if not self._is_own_file(image[1]))
        answered, last_path = NameSet(), ""
        for last_path, _ in itertools.islice(images, self.rows):
            answered.add(hash_name(last_path))
        if last_path == self.last_path and (self.names is None or self.names.to_json() == answered.to_json()):
            self.names = answered
            return images
        if self.overwrite:
            self._start_again()
            return self.skip_answered(list_images)
        difference = f"number {self.rows:,} was {self.last_path!r} then and is {last_path!r} now"
        if last_path == self.last_path:
            difference = f"there were others among the first {self.rows:,}"
        raise InputError(f"{self.path} was begun with other images: {difference}; {RESTART_HINT}")

    def _start_again(self) -> None:
        _remove_earlier_predictions(self.path)
        self._reset_counts()
        self._write_record()

    def _is_own_file(self, source: Any) -> bool:
        """Return whether an image is the file being written, or a part of it; a path with another suffix is not."""
        if not isinstance(source, str | os.PathLike) or not os.fspath(source).endswith(self.path.suffix):
            return False
        return is_within(source, self.path)

    def write(self, predictions: Iterable[Prediction], top: int, marks_unsure: bool = False) -> WriteResult:
        """Append predictions; the caller leaves out those that are written already."""
        rows = (prediction_to_row(prediction, top, marks_unsure, self.take_index()) for prediction in predictions)
        if self.path.suffix == ".parquet":
            self._write_parquet(rows)
        else:
            self._write_text(rows, TEXT_FORMATS[self.path.suffix])
        self._finish()
        return WriteResult(self.path, self.rows, self.errors, self.unsure)

    def take_index(self) -> int | None:
        """Return the number of the next row's image, if the rows have one: those of shards have."""
        return None

    def _finish(self) -> None:
        """Remove the record of a file that is complete."""
        self.record_path.unlink()

    def _write_text(self, rows: Iterable[Row], format_rows: Callable[[Sequence[Row], bool], str]) -> None:
        with self.path.open("ab") as file:
            file.truncate(self.size)  # rows after the last record may be incomplete
            recorded_at = time.monotonic()
            for chunk in _chunk_rows(rows, TEXT_CHUNK_ROWS):
                file.write(format_rows(chunk, self.rows == 0).encode("utf-8", "backslashreplace"))
                self._count_rows(chunk)
                if time.monotonic() - recorded_at > RECORD_INTERVAL:
                    file.flush()
                    self.size, recorded_at = file.tell(), time.monotonic()
                    self._write_record()

    def _write_parquet(self, rows: Iterable[Row]) -> None:
        arrow, parquet = import_pyarrow()
        self.path.mkdir(exist_ok=True)
        for chunk in _chunk_rows_by_time(rows):
            table = arrow.Table.from_pylist(chunk, schema=arrow_schema(chunk[0]))
            with atomic_write(self.path / f"part-{self.rows:012}.parquet") as new_path:
                parquet.write_table(table, new_path)
            self._count_rows(chunk)
            self.size += 1
            self._write_record()

    def close(self) -> None:
        """Release the lock, and leave no record of a file that was not begun."""
        if not self.rows and not self.path.exists():
            self.record_path.unlink(missing_ok=True)
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def _count_rows(self, rows: Sequence[Row]) -> None:
        self.rows += len(rows)
        self.last_path = rows[-1]["path"]
        for row in rows:
            assert self.names is not None
            self.names.add(hash_name(row["path"]))
        self.errors += sum(bool(row["error"]) for row in rows)
        self.unsure += sum(bool(row.get("unsure")) for row in rows)

    def _write_record(self) -> None:
        record = {"plan": self.plan, "rows": self.rows, "errors": self.errors, "size": self.size}
        record |= {"unsure": self.unsure, "last": self.last_path}
        record |= {"names": self.names.to_json()} if self.names else {}
        write_json(self.record_path, record, add_sum=True)
        self.recorded_rows = self.rows


def is_within(path: str | os.PathLike[str], out: Path) -> bool:
    """Return whether a path is the file of the predictions, or a part of it if that is a folder."""
    own_path, path = resolve_path(out), resolve_path(path)
    return path == own_path or own_path in path.parents


def is_own_file(path: str | os.PathLike[str], out: Path) -> bool:
    """Return whether a path belongs to the file of the predictions, or to the shards beside it."""
    if out.name not in os.fspath(path):  # resolving takes longer, and there may be millions of paths
        return False
    return is_within(path, out) or is_within(path, shards_folder(out))


def shards_folder(out: Path) -> Path:
    """Return the folder of the shards of a file of predictions."""
    return out.with_name(out.name + SHARDS_SUFFIX)


def progress_path(path: Path) -> Path:
    """Return the path of the record beside a file of predictions, which exists until the file is complete."""
    return path.with_name(f".{path.name}.progress.json")


def check_predictions_file(path: str | os.PathLike[str], overwrite: bool) -> tuple[Path, Path]:
    """Check a file for predictions before anything slow.

    Returns:
        The path of the file, and that of the record beside it, which exists until the file is complete.

    Raises:
        InputError: for an unknown suffix, and for a file that is complete, unless `overwrite` replaces it.
        ImportError: if a Parquet file is wanted, and pyarrow is not installed.
    """
    path = check_path(path, "the file of the predictions")
    if path.suffix not in SUFFIXES:
        raise unknown_name("kind of file", path.suffix or str(path), SUFFIXES)
    if path.suffix == ".parquet":
        import_pyarrow()
    record_path = progress_path(path)
    if path.exists() and not record_path.exists() and not overwrite:
        raise InputError(f"{path} already exists; overwrite=True (--overwrite) replaces it")
    return path, record_path


def _chunk_rows(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, size)):
        yield chunk


def _chunk_rows_by_time(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows of one part each: as many as fit, or those of half a minute."""
    chunk, begun_at = list[Row](), time.monotonic()
    for row in rows:
        chunk.append(row)
        if len(chunk) >= PARQUET_PART_ROWS or time.monotonic() - begun_at > 15 * RECORD_INTERVAL:
            yield chunk
            chunk, begun_at = [], time.monotonic()
    if chunk:
        yield chunk


def _remove_earlier_predictions(path: Path) -> None:
    """Remove a file, or a folder that holds nothing but parts of a Parquet data set; see `check_replaceable`."""
    check_replaceable(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise InputError if a path is a folder that holds anything but parts of a Parquet data set."""
    other_files = [
        entry.name
        for entry in (path.iterdir() if path.is_dir() else ())
        if not (entry.name.lstrip(".").startswith("part-") and ".parquet" in entry.name)
    ]
    if other_files:
        raise InputError(f"{path} is not replaced, because it also holds other files, such as {other_files[0]}")

"""The files of shards: where each shard writes its predictions, and the record that it leaves when it is complete."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.digests import check_digest, check_digests, digest_file, digest_folder
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import Finite, read_json, write_json
from cnnzoo.inference.answers import PredictionWriter, WriteResult, check_predictions_file, shards_folder
from cnnzoo.inference.plans import describe_changes
from cnnzoo.inference.rows import SUFFIXES
from cnnzoo.inference.shards import NameSet, Shard, ShardedImages

NAME_PATTERN = re.compile(r"(\d{5})-of-(\d{5})(\.\w+)")
RECORD_FIELDS = {
    "shard": tuple[int, int],
    "file": str,
    "digests": dict[str, dict[str, Any]],
    "plan": dict[str, Any],
    "rows": int,
    "errors": int,
    "unsure": int,
    "listed": list[tuple[int, str]],
    "ended_at": Finite,
}
REMEDY = "predict this shard again with overwrite=True (--overwrite)"


class ShardRecord(NamedTuple):
    """What a complete shard says about itself.

    Attributes:
        path: its file, or the folder of its Parquet data set.
        shard: its number among how many.
        plan: the settings that its predictions depend on.
        rows: number of its images.
        errors: how many of them could not be read.
        unsure: how many answers are unsure.
        digests: size and SHA-256 of its file, under the name ""; or of each part of a Parquet data set.
        listed: number and digest of the images of each shard, as this one has listed them.
        ended_at: when it was complete, in seconds since 1970.
    """

    path: Path
    shard: Shard
    plan: dict[str, Any]
    rows: int
    errors: int
    unsure: int
    digests: dict[str, dict[str, Any]]
    listed: list[tuple[int, str]]
    ended_at: float

    def check_files(self) -> None:
        """Raise InputError if a file of the shard is missing or has other bytes."""
        if set(self.digests) == {""}:
            check_digest(self.path, self.digests[""], REMEDY)
        else:
            check_digests(self.path, self.digests, REMEDY)

    @property
    def own_names(self) -> tuple[int, str]:
        """Number and digest of its own images."""
        return self.listed[self.shard.number - 1]


def shard_path(out: Path, shard: Shard) -> Path:
    """Return the file that a shard writes its predictions to."""
    return shards_folder(out) / f"{shard.number:05}-of-{shard.count:05}{out.suffix}"


def record_path(path: Path) -> Path:
    """Return the record of a complete shard, given its file."""
    return path.with_suffix(".json")


def read_record(path: Path) -> ShardRecord:
    """Return the record of a complete shard, given the path of the record.

    Raises:
        InputError: if it is damaged, or names a shard that cannot be.
    """
    values = read_json(path, RECORD_FIELDS, remedy=REMEDY)
    number, count = values["shard"]
    file, listed = values["file"], values["listed"]
    match = NAME_PATTERN.fullmatch(file)
    if not match or match[3] not in SUFFIXES or (int(match[1]), int(match[2])) != (number, count):
        raise InputError(f"{path} is not the record of a shard: it names the file {file!r:.100}; {REMEDY}")
    if not 1 <= number <= count == len(listed) or values["rows"] != listed[number - 1][0]:
        raise InputError(f"{path} is not the record of a shard: its numbers of images cannot be; {REMEDY}")
    if not all(0 <= values[name] <= values["rows"] for name in ("errors", "unsure")):
        raise InputError(f"{path} is not the record of a shard: its numbers of errors cannot be; {REMEDY}")
    fields = {name: value for name, value in values.items() if name in ShardRecord._fields and name != "shard"}
    return ShardRecord(path.with_name(file), Shard(number, count), **fields)


def iter_shards(folder: Path) -> Iterator[tuple[Shard, Path, bool]]:
    """Yield each shard that was begun in a folder, its file, and whether it is complete, by their names alone."""
    files = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(files):
        unfinished = re.fullmatch(rf"\.({NAME_PATTERN.pattern})\.progress\.json", name)
        file = unfinished[1] if unfinished else name
        match = NAME_PATTERN.fullmatch(file)
        if not match or not (unfinished or match[3] == ".json"):
            continue
        if not unfinished and any(f".{Path(file).stem}{suffix}.progress.json" in files for suffix in SUFFIXES):
            continue  # it was ended between the two records
        yield Shard(int(match[1]), int(match[2])), folder / file, not unfinished


def check_shard_file(out: str | os.PathLike[str], shard: Shard, overwrite: bool) -> Path:
    """Check the file of a shard before anything slow.

    Returns:
        The path of the file that the shard writes to. It may be complete.

    Raises:
        InputError: for an unknown suffix; if the shards were merged already; and if the folder of the shards has those
            of another division.
        ImportError: if a Parquet file is wanted, and pyarrow is not installed.
    """
    out, _ = check_predictions_file(out, overwrite=True)
    if out.exists() and not overwrite:
        raise InputError(
            f"{out} already exists, so shards cannot be merged into it; overwrite=True (--overwrite) predicts the "
            "shard all the same"
        )
    others = {other.count for other, _, _ in iter_shards(shards_folder(out))} - {shard.count}
    if others:
        raise InputError(
            f"{shards_folder(out)} holds shards of a division into {max(others):,}. Received: shard {shard}. Take the "
            "same number, name another file, or remove that folder"
        )
    path = shard_path(out, shard)
    if path.exists() and not overwrite and not record_path(path).exists():
        check_predictions_file(path, overwrite)
    return path


def find_complete(path: Path, plan: dict[str, Any], images: ShardedImages) -> WriteResult | None:
    """Return the result of a shard that is complete already; None if it is not.

    Args:
        path: the file of the shard.
        plan: the settings of the predictions.
        images: the images of the shard, which were listed already.

    Raises:
        InputError: if it was predicted with other settings, or the images have changed since.
    """
    was_ended = record_path(path).exists() and path.exists()
    if not was_ended or path.with_name(f".{path.name}.progress.json").exists():
        return None
    record = read_record(record_path(path))
    if changes := describe_changes(record.plan, plan):
        raise InputError(f"{path} was predicted with other settings: {changes}; {REMEDY}")
    names = images.listed[images.shard.number - 1]
    if record.own_names != tuple(names.to_json()):
        raise InputError(
            f"The images of shard {images.shard} have changed since {path} was complete: {record.rows:,} images then, "
            f"{names.count:,} now; {REMEDY}"
        )
    return WriteResult(path, record.rows, record.errors, record.unsure)


class ShardWriter(PredictionWriter):
    """Append the predictions of one shard, and leave a record beside its file when it is complete."""

    def __init__(
        self, path: str | os.PathLike[str], plan: dict[str, Any], overwrite: bool, images: ShardedImages
    ) -> None:
        """Lock the file of the shard; see `PredictionWriter`.

        Args:
            path: the file of the shard.
            plan: the settings of the predictions.
            overwrite: replace a shard that is complete, or was begun with other settings.
            images: the images of the shard.
        """
        self.images = images
        super().__init__(path, plan, overwrite)

    def _continue_or_start(self) -> None:
        super()._continue_or_start()
        record_path(self.path).unlink(missing_ok=True)

    def take_index(self) -> int | None:
        """Return the number of the next row's image in the listing of all images."""
        return self.images.take_index()

    def skip_answered(self, list_images: Any) -> Iterator[Any]:
        """Return the images that have no row yet; see `PredictionWriter`."""
        remaining = super().skip_answered(list_images)
        self.images.drop_indices()
        return remaining

    def _finish(self) -> None:
        names: list[NameSet] = self.images.listed
        record = {
            "shard": [self.images.shard.number, self.images.shard.count],
            "file": self.path.name,
            "plan": self.plan,
            "rows": self.rows,
            "errors": self.errors,
            "unsure": self.unsure,
            "digests": digest_folder(self.path) if self.path.is_dir() else {"": digest_file(self.path)},
            "listed": [each.to_json() for each in names],
            "ended_at": time.time(),
        }
        write_json(record_path(self.path), record, add_sum=True)
        super()._finish()

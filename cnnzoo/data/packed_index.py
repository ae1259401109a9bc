"""The index of a shard of packed data: its images, where they begin, and what was found when they were packed."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import read_bounded
from cnnzoo.core.json_files import MAX_JSON_BYTES, check_fields, parse_json
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.packed_folder import INDEX_SUFFIX
from cnnzoo.data.packed_image import REPAIR, PackedImage, Shard
from cnnzoo.data.scan import FACT_TYPES, SCAN_VERSION, ImageFacts, parse_levels

INDEX_FIELDS = {
    "plan": str,
    "sha256": str,
    "names": list[str],
    "labels": list[str],
    "splits": list[str],
    "groups": list[str],
    "starts": list[int],
    "lengths": list[int],
    "checksums": list[int],
    "facts": dict[str, list[Any]],
}
SPLITS = {"", "train", "validation", "test"}
COLUMNS = ("names", "labels", "splits", "groups", "starts", "lengths", "checksums")


class ShardEntry(NamedTuple):
    """What the manifest knows about a shard: its images, its bytes, and the SHA-256 of the file and of its index."""

    images: int
    bytes: int
    sha256: str
    index_sha256: str


def index_path(shard: Shard) -> Path:
    """Return the path of the file that lists the images of a shard."""
    return Path(shard.path).with_suffix(INDEX_SUFFIX)


def read_index(shard: Shard, entry: ShardEntry, scan_version: int = SCAN_VERSION) -> list[ListedImage]:
    """Return the images of a shard, from its index.

    Raises:
        InputError: if the index is missing, of another pack, or says what cannot be.
    """
    path = index_path(shard)
    try:
        content = read_bounded(path, MAX_JSON_BYTES)
    except OSError as error:
        raise InputError(f"Cannot read the index {str(path)!r} of a shard: {error.strerror}. {REPAIR}") from None
    if hashlib.sha256(content).hexdigest() != entry.index_sha256:
        raise InputError(f"The index {str(path)!r} was changed, or belongs to another pack. {REPAIR}")
    index = check_fields(parse_json(content, str(path), REPAIR), path, INDEX_FIELDS, remedy=REPAIR)
    try:
        facts = _facts_of(index["facts"], len(index["names"]))
        _check_columns([index[name] for name in COLUMNS], facts, entry)
    except (TypeError, ValueError) as error:
        raise InputError(f"The index {str(path)!r} is not one that cnnzoo pack writes: {error}. {REPAIR}") from None

    images = []
    rows = zip(*(index[name] for name in COLUMNS), facts, strict=True)
    for name, label, split, group, start, length, checksum, fact in rows:
        source = PackedImage(shard, start, length, checksum, fact.problem)
        is_current = scan_version == SCAN_VERSION or fact.problem
        images.append(ListedImage(source, name, label, split, group, facts=fact if is_current else None))
    return images


def _check_columns(columns: Sequence[list[Any]], facts: Sequence[ImageFacts], entry: ShardEntry) -> None:
    """Raise ValueError unless each image of an index lies in its shard; anybody may have made the two."""
    names, _, splits, _, starts, lengths, _ = columns
    if {len(column) for column in columns} != {len(facts)}:
        raise ValueError("its columns have different lengths")
    packed = sum(start >= 0 for start in starts)
    if packed != entry.images:
        raise ValueError(f"it has {packed:,} images, and the manifest {entry.images:,}")
    for name, start, length, fact in zip(names, starts, lengths, facts, strict=True):
        is_left_out = (start, length) == (-1, 0) and fact.problem
        if not is_left_out and (start < 0 or not 0 < length <= entry.bytes - start or fact.problem):
            raise ValueError(f"the image {name!r:.100} lies outside of the shard")
    if not {*splits} <= SPLITS:
        raise ValueError("an image has a split of another name than train, validation and test")


def facts_to_columns(facts: list[ImageFacts]) -> dict[str, list[Any]]:
    """Return facts as a table, without the columns that hold nothing."""
    rows = [asdict(fact) for fact in facts]
    columns = {name: ([row[name] for row in rows], default) for name, default in asdict(ImageFacts()).items()}
    return {name: column for name, (column, default) in columns.items() if any(value != default for value in column)}


def _facts_of(columns: dict[str, list[Any]], count: int) -> list[ImageFacts]:
    """Return the facts that `facts_to_columns` has written; raise TypeError or ValueError for anything else."""
    for name, column in columns.items():
        if name not in FACT_TYPES or not all(isinstance(value, FACT_TYPES[name]) for value in column):
            raise TypeError(f"its facts have wrong values of {name!r:.50}")
    if levels := columns.get("levels"):
        columns = {**columns, "levels": [parse_levels(pair) for pair in levels]}
    rows = zip(*columns.values(), strict=True) if columns else [()] * count
    return [ImageFacts(**dict(zip(columns, row, strict=True))) for row in rows]

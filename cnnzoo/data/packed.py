"""Packed data as a source: what `cnnzoo.pack` wrote is listed from a few files, without a listing of the folder."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import read_bounded
from cnnzoo.core.json_files import MAX_JSON_BYTES, check_fields, parse_json, read_json
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.data.listing import LeftOutFile, ListedImage, Listing
from cnnzoo.data.packed_image import REPAIR, PackedImage, Shard
from cnnzoo.data.scan import SCAN_VERSION, ImageFacts

MANIFEST_FILE = "packed.json"  # is written last, so a folder that has it is complete
PLAN_FILE = "packing.json"  # is there until then
FORMAT, VERSION = "cnnzoo packed images", 1
SHARD_SUFFIX, INDEX_SUFFIX = ".array_record", ".json"
HASH_CHUNK = 2**22  # bytes that are read at once
MANIFEST_FIELDS = {
    "format": str,
    "version": int,
    "source": str,
    "images": int,
    "unusable": int,
    "classes": dict[str, int],
    "size": int | None,
    "scan_version": int,
    "has_written_labels": bool,
    "notes": list[str],
    "left_out": list[tuple[str, str]],
    "shards": list[dict[str, Any]],
}
SHARD_FIELDS = {"images": int, "bytes": int, "sha256": str, "index_sha256": str}
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


class ShardEntry(NamedTuple):
    """What the manifest knows about a shard: its images, its bytes, and the SHA-256 of the file and of its index."""

    images: int
    bytes: int
    sha256: str
    index_sha256: str


@dataclass(frozen=True)
class PackedData:
    """The manifest of packed data, as `cnnzoo.pack` returns it. Printing it shows what was packed.

    Attributes:
        folder: the folder.
        source: name of the source that was packed.
        images: number of images in the shards.
        unusable: number of images that cannot be decoded. They are listed with the reason, but are in no shard.
        classes: number of images, also unusable ones, of each class.
        size: the shorter side in pixels that larger images were resized to; None if all are as they were.
        shards: the shards.
        notes: how the source was read, in sentences.
        left_out: files of the source that are no images of a class, with the reasons.
        has_written_labels: whether the labels come from a table; they are no names of folders.
        scan_version: the version of the checks that the images have passed.

    Example:
        >>> from pathlib import Path
        >>> classes = {"cat": 12, "dog": 9}
        >>> print(cnnzoo.PackedData(Path("packed"), "photos", 20, 1, classes, size=256, shards=()))
        packed: 20 images of photos in 0 shards, 0.0 MB, the shorter side at most 256 pixels
        1 image cannot be decoded: listed with the reason, but not packed
    """

    folder: Path
    source: str
    images: int
    unusable: int
    classes: dict[str, int]
    size: int | None
    shards: tuple[ShardEntry, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    has_written_labels: bool = False
    scan_version: int = SCAN_VERSION

    @property
    def total_bytes(self) -> int:
        """The size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def shard(self, number: int) -> Shard:
        """Return a shard by its number."""
        return Shard(os.fspath(self.folder / shard_name(number, len(self.shards))), self.shards[number].sha256)

    def __str__(self) -> str:
        images = format_count(self.images, "image")
        shards = format_count(len(self.shards), "shard")
        resized = f", the shorter side at most {self.size} pixels" if self.size else ""
        lines = [f"{self.folder}: {images} of {self.source} in {shards}, {self.total_bytes / 1e6:,.1f} MB{resized}"]
        if self.unusable:
            lines.append(
                f"{format_count(self.unusable, 'image')} cannot be decoded: listed with the reason, but not packed"
            )
        return "\n".join(lines)


def shard_name(number: int, count: int) -> str:
    """Return the name of a shard's file."""
    return f"images-{number:05d}-of-{count:05d}{SHARD_SUFFIX}"


def index_path(shard: Shard) -> Path:
    """Return the path of the file that lists the images of a shard."""
    return Path(shard.path).with_suffix(INDEX_SUFFIX)


def is_packed(folder: Path) -> bool:
    """Return whether `cnnzoo.pack` wrote this folder, or has begun to."""
    return (folder / MANIFEST_FILE).is_file() or (folder / PLAN_FILE).is_file()


def read_manifest(folder: Path) -> PackedData:
    """Return the manifest of packed data.

    Raises:
        InputError: if packing has not ended, a file is missing, or another version wrote it.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} is not complete: packing was interrupted. Run the same cnnzoo pack command again; it "
            "goes on with the shards that are missing"
        )
    values = read_json(path, {"format": str, "version": int}, remedy=REPAIR)
    if values["format"] != FORMAT or values["version"] > VERSION:
        raise InputError(
            f"{path} is of version {values['version']} of {values['format']!r}, and this version of cnnzoo reads up to "
            f"version {VERSION} of {FORMAT!r}. Use a newer cnnzoo, or pack the images again"
        )
    values = check_fields(values, path, MANIFEST_FIELDS, remedy=REPAIR)
    shards = [check_fields(shard, path, SHARD_FIELDS, remedy=REPAIR) for shard in values["shards"]]
    return PackedData(
        folder,
        values["source"],
        values["images"],
        values["unusable"],
        values["classes"],
        values["size"],
        tuple(ShardEntry(**shard) for shard in shards),
        tuple(values["notes"]),
        tuple(values["left_out"]),
        values["has_written_labels"],
        values["scan_version"],
    )


def list_packed(folder: Path) -> tuple[str, Listing]:
    """Return the name of the source that was packed, and its listing, in the same order.

    Raises:
        InputError: if the data is not complete, or a shard is missing, was cut, or is of another pack.
    """
    packed = read_manifest(folder)
    left_out = [LeftOutFile(name, reason) for name, reason in packed.left_out]
    notes = packed.notes
    if packed.size:
        notes += (f"Images whose shorter side is above {packed.size} pixels were resized to that when packed.",)
    return packed.source, Listing(list(iter_images(packed)), left_out, notes, packed.has_written_labels)


def iter_images(packed: PackedData) -> Iterator[ListedImage]:
    """Yield the images of packed data in order, one shard after the other, with what was found when they were packed.

    Raises:
        InputError: if a shard is missing, was cut, or is of another pack.
    """
    for number, entry in enumerate(packed.shards):
        shard = packed.shard(number)
        _check_size(shard, entry.bytes)
        yield from read_index(shard, entry, packed.scan_version)


def read_index(shard: Shard, entry: ShardEntry, scan_version: int = SCAN_VERSION) -> list[ListedImage]:
    """Return the images of a shard, from its index."""
    path = index_path(shard)
    try:
        content = read_bounded(path, MAX_JSON_BYTES)
    except OSError as error:
        raise InputError(f"Cannot read the index {str(path)!r} of a shard: {error.strerror}. {REPAIR}") from None
    if hashlib.sha256(content).hexdigest() != entry.index_sha256:
        raise InputError(f"The index {str(path)!r} was changed, or belongs to another pack. {REPAIR}")
    index = check_fields(parse_json(content, str(path), REPAIR), path, INDEX_FIELDS, remedy=REPAIR)
    facts = _facts_of(index["facts"], len(index["names"]))
    columns = [index[name] for name in ("names", "labels", "splits", "groups", "starts", "lengths", "checksums")]
    images = []
    for name, label, split, group, start, length, checksum, fact in zip(*columns, facts, strict=True):
        source = PackedImage(shard, start, length, checksum, fact.problem)
        is_current = scan_version == SCAN_VERSION or fact.problem
        images.append(ListedImage(source, name, label, split, group, facts=fact if is_current else None))
    return images


def facts_to_columns(facts: list[ImageFacts]) -> dict[str, list[Any]]:
    """Return facts as a table, without the columns that hold nothing."""
    rows = [asdict(fact) for fact in facts]
    columns = {name: ([row[name] for row in rows], default) for name, default in asdict(ImageFacts()).items()}
    return {name: column for name, (column, default) in columns.items() if any(value != default for value in column)}


def _facts_of(columns: dict[str, list[Any]], count: int) -> list[ImageFacts]:
    """Return the facts that `facts_to_columns` has written."""
    if levels := columns.get("levels"):
        columns = {**columns, "levels": [None if pair is None else tuple(pair) for pair in levels]}
    rows = zip(*columns.values(), strict=True) if columns else [()] * count
    return [ImageFacts(**dict(zip(columns, row, strict=True))) for row in rows]


# Checks


def _check_size(shard: Shard, size: int) -> None:
    """Raise InputError if a shard is missing, or has another size than when it was packed."""
    try:
        found = os.stat(shard.path).st_size  # noqa: PTH116
    except OSError as error:
        raise InputError(f"Cannot read the shard {shard.path!r}: {error.strerror}. {REPAIR}") from None
    if found != size:
        raise InputError(
            f"The shard {shard.path!r} has {found:,} bytes instead of {size:,}: it was cut or changed, or belongs to "
            f"another pack. {REPAIR}"
        )


def check_shards(packed: PackedData) -> None:
    """Read all shards, and compare them with what was packed; `cnnzoo doctor` does so.

    Raises:
        InputError: if one is not what was packed; it names the shard.
    """
    with show_progress("Checking the shards", packed.total_bytes, "bytes") as progress:
        for number, entry in enumerate(packed.shards):
            shard = packed.shard(number)
            _check_size(shard, entry.bytes)
            if hash_file(Path(shard.path), progress.advance) != entry.sha256:
                raise InputError(
                    f"The shard {shard.path!r} was changed since it was packed, or belongs to another pack. {REPAIR}"
                )


def hash_file(path: Path, advance: Any = lambda count: None) -> str:
    """Return the SHA-256 of a file; `advance` receives the number of bytes of each step.

    Raises:
        InputError: if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(HASH_CHUNK):
                digest.update(chunk)
                advance(len(chunk))
    except OSError as error:
        raise InputError(f"Cannot read the shard {str(path)!r}: {error.strerror}. {REPAIR}") from None
    return digest.hexdigest()

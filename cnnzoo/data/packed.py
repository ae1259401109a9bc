"""Packed data as a source: what `cnnzoo.pack` wrote is listed from a few files, without a listing of the folder."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import check_fields, read_json
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.listing import LeftOutFile, ListedImage, Listing
from cnnzoo.data.packed_folder import FORMAT, MANIFEST_FILE, VERSION, shard_name
from cnnzoo.data.packed_image import REPAIR, Shard
from cnnzoo.data.packed_index import ShardEntry, read_index
from cnnzoo.data.scan import SCAN_VERSION

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
    checked = [check_fields(shard, path, SHARD_FIELDS, remedy=REPAIR) for shard in values["shards"]]
    shards = [ShardEntry(*(shard[name] for name in SHARD_FIELDS)) for shard in checked]
    numbers = [values["images"], values["unusable"], *(number for shard in shards for number in shard[:2])]
    if not shards or min(numbers) < 0 or sum(shard.images for shard in shards) != values["images"]:
        raise InputError(f"{path} has numbers of images or bytes that cannot be. {REPAIR}")
    return PackedData(
        folder,
        values["source"],
        values["images"],
        values["unusable"],
        values["classes"],
        values["size"],
        tuple(shards),
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


# Checks


def _check_size(shard: Shard, size: int) -> None:
    """Raise InputError if a shard is missing, or has another size than when it was packed."""
    try:
        status = os.stat(shard.path)  # noqa: PTH116
    except OSError as error:
        raise InputError(f"Cannot read the shard {shard.path!r}: {error.strerror}. {REPAIR}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"The shard {shard.path!r} is no regular file. {REPAIR}")
    if status.st_size != size:
        raise InputError(
            f"The shard {shard.path!r} has {status.st_size:,} bytes instead of {size:,}: it was cut or changed, or "
            f"belongs to another pack. {REPAIR}"
        )


def check_shards(packed: PackedData) -> None:
    """Read all shards, and compare them with what was packed; warn of other files. `cnnzoo doctor` does so.

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
    stems = {Path(shard_name(number, len(packed.shards))).stem for number in range(len(packed.shards))}
    others = [path.name for path in packed.folder.iterdir() if path.stem not in stems and path.name != MANIFEST_FILE]
    if others := sorted(name for name in others if not name.startswith(".")):
        more = f" and {format_count(len(others) - 1, 'other file or folder', 'other files or folders')}"
        warn_caller(
            f"{str(packed.folder)!r} is packed data, and also holds {others[0]!r}{more if len(others) > 1 else ''}, "
            "which is not read"
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

"""Write one shard of packed data, or find that it is complete already."""

import hashlib
import io
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.json_files import MAX_JSON_BYTES, check_fields, dump_json, read_json_value
from cnnzoo.core.progress import Progress
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.bit_depth import has_deep_levels
from cnnzoo.data.decode import open_image, read_image_bytes, upright_size
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.packed import hash_file
from cnnzoo.data.packed_folder import shard_name
from cnnzoo.data.packed_image import PackedImage, Shard, open_shard
from cnnzoo.data.packed_index import INDEX_FIELDS, ShardEntry, facts_to_columns, index_path
from cnnzoo.data.packed_records import encode_example, find_records, open_writer
from cnnzoo.data.scan import SCAN_VERSION, ImageFacts, examine_image, find_facts
from cnnzoo.data.transform import Transform, array_to_pillow

CHUNK = 64  # images that are in memory at a time
JPEG_QUALITY = 95
GRAY_MODES = ("1", "L", "LA", "La")

Problems = list[tuple[str, str]]  # names of images that cannot be decoded, with the reasons


class StoredImage(NamedTuple):
    """An image of a shard: its bytes, or none if it cannot be decoded, and what was found."""

    content: bytes
    facts: ImageFacts


class ShardWriter:
    """Writes the file of one shard and its index.

    Args:
        folder: the folder of the packed data.
        number: of the shard.
        count: number of shards.
        images: what the shard holds.
        size: the shorter side that larger images are resized to, or None.
        class_of: the index of each label.
        position: the index of the first record among those of all shards.
        strict: whether an image that cannot be decoded is an error.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        count: int,
        images: Sequence[ListedImage],
        size: int | None,
        class_of: Mapping[str, int],
        position: int,
        strict: bool,
    ) -> None:
        self.images, self.size, self.class_of, self.position, self.strict = images, size, class_of, position, strict
        self.path, self.records = folder / shard_name(number, count), 0
        # Everything that the content depends on, so that an interrupted pack continues only what it would write again
        stamps = thread_pool().map(_identify, [image.source for image in images])  # a server takes its time for each
        rows = [(i.name, i.label, i.split, i.group, stamp) for i, stamp in zip(images, stamps, strict=True)]
        plan = (SCAN_VERSION, size, position, [class_of[image.label] for image in images], rows)
        self.plan = hashlib.sha256(repr(plan).encode(errors="surrogatepass")).hexdigest()

    def write(self, progress: Progress) -> tuple[ShardEntry, Problems]:
        """Write the shard and its index.

        Raises:
            InputError: if an image cannot be decoded and `strict` is set, or the file cannot be written.
        """
        facts: list[ImageFacts] = []
        checksums: list[int] = []
        lengths: list[int] = []
        with atomic_write(self.path) as new:
            with open_writer(new) as writer:
                for start in range(0, len(self.images), CHUNK):
                    for image, stored in self._load_chunk(self.images[start : start + CHUNK]):
                        if stored.content:
                            writer.write(self._encode(image, stored))
                        facts.append(stored.facts)
                        checksums.append(zlib.crc32(stored.content))
                        lengths.append(len(stored.content))
                        progress.advance()
            digest = hash_file(new)
            starts = self._find_images(Shard(os.fspath(new), digest), lengths, checksums)
            open_shard.cache_clear()  # the file gets another name
        index = {
            "plan": self.plan,
            "sha256": digest,
            "names": [image.name for image in self.images],
            "labels": [image.label for image in self.images],
            "splits": [image.split for image in self.images],
            "groups": [image.group for image in self.images],
            "starts": starts,
            "lengths": lengths,
            "checksums": checksums,
            "facts": facts_to_columns(facts),
        }
        text = dump_json(index).encode()
        if len(text) > MAX_JSON_BYTES:
            raise InputError(f"The names of {len(self.images):,} images are too long for one shard; use more shards")
        with atomic_write(index_path(Shard(os.fspath(self.path), digest))) as new:
            new.write_bytes(text)
        return self._describe(digest, text, facts)

    def _describe(self, digest: str, index: bytes, facts: Sequence[ImageFacts]) -> tuple[ShardEntry, Problems]:
        """Return what the manifest holds about the shard, and the problems of its images."""
        problems = [(i.name, fact.problem) for i, fact in zip(self.images, facts, strict=True) if fact.problem]
        size = self.path.stat().st_size
        index_digest = hashlib.sha256(index).hexdigest()
        return ShardEntry(len(self.images) - len(problems), size, digest, index_digest), problems

    def _load_chunk(self, images: Sequence[ListedImage]) -> list[tuple[ListedImage, StoredImage]]:
        """Return some images with their bytes, in order; they are loaded in threads."""
        stored = thread_pool().map(self._load, images, find_facts(images))
        return list(zip(images, stored, strict=True))

    def _load(self, image: ListedImage, facts: ImageFacts) -> StoredImage:
        """Return the bytes to store of an image, and the facts about them."""
        content = b""
        try:
            if not facts.problem:
                content = image.source.read() if hasattr(image.source, "read") else read_image_bytes(image.source)
                if self.size is not None:
                    content = resize_content(content, self.size)
                if hashlib.sha256(content).hexdigest() != facts.digest:  # resized, or changed since it was scanned
                    facts = examine_image(io.BytesIO(content))
        except InputError as error:
            facts = ImageFacts(problem=str(error))
        if facts.problem and self.strict:
            raise InputError(f"{image.name}: {facts.problem}")
        return StoredImage(b"" if facts.problem else content, facts)

    def _encode(self, image: ListedImage, stored: StoredImage) -> bytes:
        """Return the record of the next image, which ends with the bytes of the image."""
        self.records += 1
        return encode_example(
            {
                "index": self.position + self.records - 1,
                "label": self.class_of[image.label],
                "class": image.label,
                "name": image.name,
                "split": image.split,
                "group": image.group,
                "sha256": stored.facts.digest,
                "image": stored.content,
            }
        )

    def _find_images(self, shard: Shard, lengths: Sequence[int], checksums: Sequence[int]) -> list[int]:
        """Return where each image begins in the shard, or -1; every one is read back.

        Raises:
            InputError: if the file does not hold what was written.
        """
        records = iter(find_records(shard, sum(length > 0 for length in lengths)))
        starts = []
        for length, checksum in zip(lengths, checksums, strict=True):
            start = -1
            if length:
                begin, record_length = next(records)
                start = begin + record_length - length
                PackedImage(shard, start, length, checksum).read()
            starts.append(start)
        return starts


def find_complete_shard(writer: ShardWriter) -> tuple[ShardEntry, Problems] | None:
    """Return what the manifest holds about a shard that was written before, or None if it is not as it would be."""
    path = index_path(Shard(os.fspath(writer.path), ""))
    if not path.is_file() or not writer.path.is_file():
        return None
    try:
        index = check_fields(read_json_value(path), path, INDEX_FIELDS)
        if index["plan"] != writer.plan or hash_file(writer.path) != index["sha256"]:
            return None
    except InputError:
        return None
    problems = index["facts"].get("problem", [""] * len(writer.images))
    facts = [ImageFacts(problem=problem) for problem in problems]
    return writer._describe(index["sha256"], path.read_bytes(), facts)


def resize_content(content: bytes, size: int) -> bytes:
    """Return an image file whose shorter side is `size`: upright, in 8 bits, as JPEG.

    Smaller images, and those of more than 8 bits, are returned as they are.
    """
    with open_image(content) as image:
        if min(upright_size(image)) <= size or has_deep_levels(image):
            return content
        channels = 1 if image.mode in GRAY_MODES else 3
    pixels = Transform((size, size), channels, crop=1.0).resize_only(content)
    out = io.BytesIO()
    array_to_pillow(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return out.getvalue()


def source_bytes(source: Any) -> int:
    """Return the size of an image file, 0 if it cannot be read."""
    if hasattr(source, "length"):  # in packed data, or stored
        return int(source.length)
    try:
        return os.stat(source).st_size  # noqa: PTH116
    except (OSError, TypeError, ValueError):
        return 0


def _identify(source: Any) -> Any:
    """Return what changes if an image changes: the size and the modification time of a file, or a checksum."""
    if isinstance(source, PackedImage):
        return source.length, source.checksum
    if hasattr(source, "read"):
        return hashlib.sha256(source.read()).hexdigest()
    try:
        status = os.stat(source)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return str(error)
    return status.st_size, status.st_mtime_ns

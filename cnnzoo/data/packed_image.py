"""Read the images of packed data: bytes at known places of ArrayRecord files, in any thread and any process.

An ArrayRecord file is a sequence of blocks of 64 KiB that each begin with a header of 24 bytes (the format of Riegeli).
An image that was stored without compression is one range of the bytes between these headers, so it can be read at once,
from every system, without a library and its threads. `cnnzoo.data.packing` finds the places when it writes the file.
"""

import os
import threading
import weakref
import zlib
from functools import lru_cache
from typing import NamedTuple

from cnnzoo.core.errors import InputError

BLOCK_BYTES, BLOCK_HEADER_BYTES = 2**16, 24
CONTENT_BYTES = BLOCK_BYTES - BLOCK_HEADER_BYTES  # of each block
MAX_OPEN_SHARDS = 128  # files of one process; systems allow 1,024 or 256
REPAIR = (
    "Copy the shard again from where it was packed, or pack the images again: cnnzoo pack SOURCE FOLDER --overwrite"
)


class Shard(NamedTuple):
    """One file of packed data."""

    path: str
    digest: str  # SHA-256 of the file, so that a file that took its place is another shard


class PackedImage(NamedTuple):
    """The place of an image in a shard. It is small, so worker processes get it and read the image themselves.

    Attributes:
        shard: the file.
        start: where the image begins among the bytes between the headers; -1 if it could not be read and is not there.
        length: the number of its bytes.
        checksum: CRC-32 of its bytes.
        problem: why it is not there; empty if it is.
    """

    shard: Shard
    start: int
    length: int
    checksum: int
    problem: str = ""

    def read(self) -> bytes:
        """Return the bytes of the image file.

        Raises:
            InputError: if the image is not in the shard, or the shard was cut, changed or exchanged since.
        """
        if self.start < 0:
            raise InputError(self.problem)
        try:
            content = read_range(self.shard, self.start, self.length)
        except OSError as error:
            raise InputError(f"Cannot read the shard {self.shard.path!r}: {error.strerror}. {REPAIR}") from None
        if len(content) != self.length:
            raise InputError(f"The shard {self.shard.path!r} ends before this image: it was cut. {REPAIR}")
        if zlib.crc32(content) != self.checksum:
            raise InputError(
                f"The shard {self.shard.path!r} does not hold the bytes that were packed at this place: it was "
                f"changed, or belongs to another pack. {REPAIR}"
            )
        return content


class OpenFile:
    """A file that is open for reading until nobody uses it any more.

    Reading names the position, so threads, and processes that were forked, share it without a lock.
    """

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.descriptor).atexit = False
        self.lock = threading.Lock()  # for Windows, where the position is part of the file

    def read_at(self, position: int, length: int) -> bytes:
        """Return the bytes from a position on, fewer at the end of the file."""
        parts, missing = [], length
        while missing:
            part = self._read_once(position + length - missing, missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_once(self, position: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, length, position)
        with self.lock:
            os.lseek(self.descriptor, position, os.SEEK_SET)
            return os.read(self.descriptor, length)


@lru_cache(maxsize=MAX_OPEN_SHARDS)
def open_shard(shard: Shard) -> OpenFile:
    """Return the open file of a shard; the least recently used ones are closed."""
    return OpenFile(shard.path)


def read_range(shard: Shard, start: int, length: int) -> bytes:
    """Return bytes of a shard without the headers of its blocks, fewer at the end of the file.

    Args:
        shard: the file.
        start: position of the first byte, headers not counted.
        length: the number of bytes, headers not counted.
    """
    if not length:
        return b""
    begin = to_file_position(start)
    content = open_shard(shard).read_at(begin, to_file_position(start + length - 1) + 1 - begin)
    head = BLOCK_BYTES - begin % BLOCK_BYTES
    if len(content) <= head:
        return content
    starts = range(head + BLOCK_HEADER_BYTES, len(content), BLOCK_BYTES)
    return content[:head] + b"".join(content[i : i + CONTENT_BYTES] for i in starts)


def to_file_position(position: int) -> int:
    """Return where a byte is in a file, from its position among the bytes between the headers of the blocks."""
    block, offset = divmod(position, CONTENT_BYTES)
    return block * BLOCK_BYTES + BLOCK_HEADER_BYTES + offset

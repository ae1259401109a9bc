"""The records of packed data: `tf.train.Example` messages in an ArrayRecord file, made without TensorFlow.

Grain, TensorFlow Datasets and whoever else reads ArrayRecord files can use them without this package.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.extras import install_command
from cnnzoo.data.packed_image import Shard, read_range

# One record in each chunk, as Grain asks for; images are compressed already, and uncompressed they can be read in place
WRITER_OPTIONS = "group_size:1,uncompressed"
CHUNK_HEADER_BYTES = 40  # hash 8, size of the data 8, hash of the data 8, type 1, records 7, decoded size 8
RECORD_CHUNK = b"r"[0]
MAX_HEAD_BYTES = 32  # of a chunk's data: a byte for the compression, and two short numbers
BYTES_LIST, INT64_LIST = 1, 3  # fields of tf.train.Feature


def import_array_record() -> Any:
    """Return the module that writes ArrayRecord files.

    Raises:
        ImportError: if the package array_record is not installed.
    """
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise ImportError(
            "Packing needs the package array_record, which exists for Linux and for macOS on Apple silicon: "
            f"pip install array_record (on Linux, {install_command('tfds')} installs it too). On other systems, pack "
            "on another machine: packed data is read without it, everywhere"
        ) from None
    return array_record_module


@contextmanager
def open_writer(path: Path) -> Iterator[Any]:
    """Provide a new ArrayRecord file, whose `write` takes a record; it is complete at the end of the block.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    try:
        writer = import_array_record().ArrayRecordWriter(str(path), WRITER_OPTIONS)
        try:
            yield writer
        finally:
            writer.close()
    except RuntimeError as error:  # array_record's: "write() failed: No space left on device; writing ...; at byte ..."
        reason = str(error).partition(";")[0].rpartition("failed: ")[2]
        raise OSError(errno.EIO, reason, str(path)) from None


def encode_example(features: Mapping[str, bytes | str | int]) -> bytes:
    """Return a serialized `tf.train.Example`; the value of the last feature is the end of the message.

    Args:
        features: bytes, texts and integers by name.

    Example:
        >>> from cnnzoo.data.packed_records import encode_example
        >>> encode_example({"index": 3, "image": b"JPEG"}).endswith(b"JPEG")
        True
    """
    entries = [
        _encode_field(1, _encode_field(1, name.encode()) + _encode_field(2, _encode_feature(value)))
        for name, value in features.items()
    ]
    return _encode_field(1, b"".join(entries))


def _encode_feature(value: bytes | str | int) -> bytes:
    """Return a `tf.train.Feature` of one value."""
    if isinstance(value, int):
        return _encode_field(INT64_LIST, _encode_field(1, _encode_number(value % 2**64)))
    content = value if isinstance(value, bytes) else value.encode(errors="surrogateescape")
    return _encode_field(BYTES_LIST, _encode_field(1, content))


def _encode_field(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer that holds bytes, text or another message."""
    return bytes([number << 3 | 2]) + _encode_number(len(content)) + content


def _encode_number(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def find_records(shard: Shard, count: int) -> list[tuple[int, int]]:
    """Return where each of the first `count` records of a shard begins, headers of blocks not counted, and its length.

    Raises:
        InputError: if the file does not hold so many records, each in an uncompressed chunk of its own.
    """
    records: list[tuple[int, int]] = []
    position = 0
    while len(records) < count:
        head = read_range(shard, position, CHUNK_HEADER_BYTES + MAX_HEAD_BYTES)
        if len(head) < CHUNK_HEADER_BYTES:
            raise InputError(f"The shard {shard.path!r} holds {len(records):,} records instead of {count:,}")
        size, length = int.from_bytes(head[8:16], "little"), int.from_bytes(head[32:40], "little")
        if head[24] == RECORD_CHUNK:
            compression, number = head[CHUNK_HEADER_BYTES], int.from_bytes(head[25:32], "little")
            if compression or number != 1 or length > size:
                raise InputError(f"The shard {shard.path!r} is not uncompressed, with one record in each chunk")
            records.append((position + CHUNK_HEADER_BYTES + size - length, length))
        position += CHUNK_HEADER_BYTES + size
    return records

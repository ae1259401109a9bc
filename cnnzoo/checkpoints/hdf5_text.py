"""Read variable-length strings from HDF5 attributes, as h5py 3 writes names.

The HDF5 library allocates whatever length such a string declares, gigabytes for one damaged byte, and reads a damaged
heap of strings forever. So these few structures of the format are parsed here, with every bound checked.
"""

import struct
from collections.abc import Iterator

from cnnzoo.core.errors import InputError

LOCAL_HEAP = b"HEAP\0\0\0\0"  # signature and version
UNDEFINED = 2**64 - 1
MAX_MESSAGES = 100_000
CONTINUATION_MESSAGE, ATTRIBUTE_MESSAGE = 16, 12  # message types of the format


def read_attribute_strings(content: bytes, header: int, attribute: str, count: int) -> list[str]:
    """Return the `count` strings in an attribute of the object whose header is at the offset `header`.

    Raises InputError or struct.error if the file is damaged.
    """
    for kind, start, size in _iter_header_messages(content, header):
        body = content[start : start + size]
        if kind == ATTRIBUTE_MESSAGE and (data := _attribute_data(body, attribute.encode())) is not None:
            heaps: dict[int, dict[int, memoryview]] = {}
            return [_read_string(memoryview(content), data, offset, heaps) for offset in range(0, 16 * count, 16)]
    raise InputError(f"its {attribute} are not stored where Keras stores them")


def check_local_heaps(content: bytes) -> None:
    """Raise InputError if a heap of link names does not lie within the file, or its list of free blocks has a loop.

    The HDF5 library allocates whatever size a damaged heap declares, and follows its free blocks for ever.
    """
    position = content.find(LOCAL_HEAP)
    while position >= 0:
        header = content[position + 8 : position + 32]
        size, free, address = struct.unpack("<QQQ", header.ljust(24, b"\xff"))
        if address + size > len(content):
            raise InputError("its heap of link names is damaged")
        for _ in range(size // 16 + 1):
            if free in (1, UNDEFINED):  # the end, in either of two ways
                break
            if free + 16 > size:
                raise InputError("its heap of link names is damaged")
            (free,) = struct.unpack_from("<Q", content, address + free)
        else:
            raise InputError("its heap of link names has a loop")
        position = content.find(LOCAL_HEAP, position + 1)


def _iter_header_messages(content: bytes, header: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, offset and size of the messages in an object header of version 1."""
    version, size = struct.unpack_from("<B7xI", content, header)
    if version != 1:
        raise InputError(
            "its names have variable length, and its header is not of version 1; write the file with h5py's defaults"
        )
    blocks = [(header + 16, size)]
    message_count = 0
    while blocks:
        position, size = blocks.pop(0)
        end = position + size
        while position + 8 <= end:
            kind, length = struct.unpack_from("<HH4x", content, position)
            if kind == CONTINUATION_MESSAGE:
                blocks.append(struct.unpack_from("<QQ", content, position + 8))
            yield kind, position + 8, length
            position += 8 + length
            message_count += 1
            if message_count > MAX_MESSAGES:
                raise InputError("its headers do not end")


def _attribute_data(body: bytes, attribute: bytes) -> bytes | None:
    """Return what follows name, type and shape in an attribute message, or None if its name is another."""
    version, *lengths = struct.unpack_from("<BxHHH", body)
    if version not in (1, 2, 3):
        raise InputError(f"it has an attribute of version {version}")
    name_start = 9 if version == 3 else 8
    if body[name_start : name_start + lengths[0]].rstrip(b"\0") != attribute:
        return None
    # Version 1 pads each of the three parts to a multiple of 8 bytes.
    return body[name_start + sum(-(-length // 8) * 8 if version == 1 else length for length in lengths) :]


def _read_string(content: memoryview, data: bytes, offset: int, heaps: dict[int, dict[int, memoryview]]) -> str:
    """Return the string that the reference at `offset` points to; `heaps` caches the heaps read so far."""
    length, address, index = struct.unpack_from("<IQI", data, offset)
    if not length:
        return ""
    if address not in heaps:
        heaps[address] = dict(_iter_heap_objects(content, address))
    stored = heaps[address].get(index, content[:0])
    if length > len(stored):
        raise InputError("its heap of names is damaged")
    return bytes(stored[:length]).rstrip(b"\0").decode()


def _iter_heap_objects(content: memoryview, address: int) -> Iterator[tuple[int, memoryview]]:
    """Yield index and bytes of the strings in the heap at `address`."""
    signature, size = struct.unpack_from("<5s3xQ", content, address)
    start, end = address + 16, address + size
    if signature != b"GCOL\1" or end > len(content):
        raise InputError("its heap of names is damaged")
    while end - start >= 16:
        index, length = struct.unpack_from("<H6xQ", content, start)
        if not index:  # the rest of the heap is free
            return
        if length > end - start - 16:
            raise InputError("its heap of names is damaged")
        yield index, content[start + 16 : start + 16 + length]
        start += 16 + -(-length // 8) * 8

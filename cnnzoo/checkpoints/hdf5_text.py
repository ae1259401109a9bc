"""Text of variable length in HDF5's attributes, as h5py 3 writes names.

The library allocates whatever length such a text declares, gigabytes for a damaged byte, and reads a damaged heap of
them without end; hence these few structures of the format, read with every bound checked.
"""

import struct
from collections.abc import Iterator

from cnnzoo.core.errors import InputError

MAX_MESSAGES = 100_000
CONTINUATION_MESSAGE, ATTRIBUTE_MESSAGE = 16, 12  # types of messages


def read_attribute_strings(content: bytes, header: int, attribute: str, count: int) -> list[str]:
    """The texts in an attribute of the object whose header is at `header`; raises InputError or struct.error."""
    for kind, start, size in _iter_header_messages(content, header):
        body = content[start : start + size]
        if kind == ATTRIBUTE_MESSAGE and (data := _attribute_data(body, attribute.encode())) is not None:
            heaps: dict[int, dict[int, memoryview]] = {}
            return [_read_string(memoryview(content), data, at, heaps) for at in range(0, 16 * count, 16)]
    raise InputError(f"its {attribute} are not where they are in files of Keras")


def _iter_header_messages(content: bytes, header: int) -> Iterator[tuple[int, int, int]]:
    """Type, place and size of the messages of an object header of version 1."""
    version, size = struct.unpack_from("<B7xI", content, header)
    if version != 1:
        raise InputError(
            "its names have no fixed length, in a header that is not of version 1; write it by h5py's default"
        )
    blocks = [(header + 16, size)]
    seen = 0
    while blocks:
        at, size = blocks.pop(0)
        end = at + size
        while at + 8 <= end:
            kind, length = struct.unpack_from("<HH4x", content, at)
            if kind == CONTINUATION_MESSAGE:
                blocks.append(struct.unpack_from("<QQ", content, at + 8))
            yield kind, at + 8, length
            at += 8 + length
            if (seen := seen + 1) > MAX_MESSAGES:
                raise InputError("its headers have no end")


def _attribute_data(body: bytes, attribute: bytes) -> bytes | None:
    """What follows the name, the type and the shape in an attribute, where it has that name."""
    version, *lengths = struct.unpack_from("<BxHHH", body)
    if version not in (1, 2, 3):
        raise InputError(f"it has an attribute of version {version}")
    name = 9 if version == 3 else 8
    if body[name : name + lengths[0]].rstrip(b"\0") != attribute:
        return None
    return body[name + sum(-(-length // 8) * 8 if version == 1 else length for length in lengths) :]


def _read_string(content: memoryview, data: bytes, at: int, heaps: dict[int, dict[int, memoryview]]) -> str:
    length, address, index = struct.unpack_from("<IQI", data, at)
    if not length:
        return ""
    if address not in heaps:
        heaps[address] = dict(_iter_heap_objects(content, address))
    found = heaps[address].get(index, content[:0])
    if length > len(found):
        raise InputError("its heap of names is damaged")
    return bytes(found[:length]).rstrip(b"\0").decode()


def _iter_heap_objects(content: memoryview, address: int) -> Iterator[tuple[int, memoryview]]:
    """The texts of a heap by their numbers."""
    signature, size = struct.unpack_from("<5s3xQ", content, address)
    start, end = address + 16, address + size
    if signature != b"GCOL\1" or end > len(content):
        raise InputError("its heap of names is damaged")
    while end - start >= 16:
        index, length = struct.unpack_from("<H6xQ", content, start)
        if not index:  # the rest is free
            return
        if length > end - start - 16:
            raise InputError("its heap of names is damaged")
        yield index, content[start + 16 : start + 16 + length]
        start += 16 + -(-length // 8) * 8

"""Zip archives, and how much any file may unpack to."""

import io
import shutil
import struct
import zipfile
import zlib

from cnnzoo.core.errors import InputError

MAX_UNPACKED_BYTES = 2**32  # bytes that the tensors of a file, or the members of an archive, may take
MAX_EXPANSION = 100  # and how many times the file's own size
ALWAYS_ALLOWED_BYTES = 2**24  # what every file may take, as a few zeros pack better than that
MAX_MEMBERS = 100_000


def check_unpacked_size(total: int, size: int) -> int:
    """`total` where a file of `size` bytes may unpack to as many; else an InputError."""
    most = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * size))
    if total > most:
        raise InputError(f"it would take {total:.3g} bytes, and of its {size} bytes {most} may come")
    return total


class Archive:
    """A zip archive in memory; raises InputError where its directory declares more than is allowed."""

    def __init__(self, content: bytes) -> None:
        if content.count(b"PK\1\2") > MAX_MEMBERS:  # before zipfile makes an object of each
            raise InputError(f"its directory has more than {MAX_MEMBERS} members")
        self._content = memoryview(content)
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        infos = self._zip.infolist()
        check_unpacked_size(sum(info.file_size for info in infos), len(content))
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) < len(infos):
            raise InputError("its directory names a member twice")

    def names(self) -> list[str]:
        """The names of the members, in the order of the directory."""
        return list(self._infos)

    def member(self, name: str) -> bytes | memoryview:
        """The bytes of a member, which are a view of the archive where they are not compressed."""
        if (info := self._infos.get(name)) is None:
            raise InputError(f"it has no member {name!r:.200}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise InputError(f"its member {name!r:.200} is encrypted or neither stored nor deflated")
        if info.compress_type == zipfile.ZIP_STORED:
            return self._stored(info)
        unpacked = io.BytesIO()
        with self._zip.open(info) as file:
            shutil.copyfileobj(file, unpacked, 2**20)
        if unpacked.tell() != info.file_size:
            raise InputError(f"its member {name!r:.200} has not the declared size")
        return unpacked.getvalue()

    def _stored(self, info: zipfile.ZipInfo) -> memoryview:
        signature, lengths = struct.unpack_from("<4s22x4s", self._content, max(info.header_offset, 0))
        start = info.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        view = self._content[max(start, 0) : max(start, 0) + info.file_size]
        sums = (zlib.crc32(view), 0)  # which torch writes where it is told to skip the sum
        if signature != b"PK\3\4" or len(view) != info.file_size or info.CRC not in sums:
            raise InputError(f"its member {info.filename!r:.200} is damaged")
        return view

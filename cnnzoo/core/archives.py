"""Zip archives, and limits on how much a file may unpack to."""

import io
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

from cnnzoo.core.errors import InputError

MAX_UNPACKED_BYTES = 2**32  # for all tensors of a file, or all members of an archive, together
MAX_EXPANSION = 100  # how many times its own size a file may unpack to
ALWAYS_ALLOWED_BYTES = 2**24  # allowed for every file, because a few zeros are compressed more than that
MAX_MEMBERS = 100_000
MAX_TEXT_BYTES = 2**24  # of the texts in a .keras file; the configuration of a network of 1,202 layers has 5 MB


def check_unpacked_size(total: int, file_size: int) -> int:
    """Return `total` bytes if a file of `file_size` bytes may unpack to that much, else raise InputError."""
    limit = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * file_size))
    if total > limit:
        raise InputError(f"it would unpack to {total:.3g} bytes; a file of {file_size} bytes may unpack to {limit}")
    return total


class Archive:
    """A zip archive in memory, whose members are never extracted to disk.

    Raises InputError if the directory of the archive declares more than is allowed.
    """

    def __init__(self, content: bytes) -> None:
        # Count the members before zipfile creates an object for each.
        if content.count(b"PK\1\2") > MAX_MEMBERS:
            raise InputError(f"its directory has more than {MAX_MEMBERS} members")
        self._content = memoryview(content)
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        infos = self._zip.infolist()
        check_unpacked_size(sum(info.file_size for info in infos), len(content))
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) < len(infos):
            raise InputError("its directory lists a member twice")

    def member_names(self) -> list[str]:
        """Return the names of the members, in the order of the directory."""
        return list(self._infos)

    def read_member(self, name: str) -> bytes | memoryview:
        """Return the bytes of a member: a view of the archive if the member is not compressed."""
        info = self._infos.get(name)
        if info is None:
            raise InputError(f"it has no member {name!r:.200}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise InputError(f"its member {name!r:.200} is encrypted or uses a compression other than deflate")
        if info.compress_type == zipfile.ZIP_STORED:
            return self._view_stored_member(info)
        unpacked = io.BytesIO()
        with self._zip.open(info) as file:
            shutil.copyfileobj(file, unpacked, 2**20)
        if unpacked.tell() != info.file_size:
            raise InputError(f"its member {name!r:.200} does not have the declared size")
        return unpacked.getvalue()

    def _view_stored_member(self, info: zipfile.ZipInfo) -> memoryview:
        """Return a view of an uncompressed member after checking its header, size and checksum."""
        signature, lengths = struct.unpack_from("<4s22x4s", self._content, max(info.header_offset, 0))
        start = info.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        view = self._content[max(start, 0) : max(start, 0) + info.file_size]
        # PyTorch writes a checksum of 0 if it is configured to skip checksums.
        checksums = (zlib.crc32(view), 0)
        if signature != b"PK\3\4" or len(view) != info.file_size or info.CRC not in checksums:
            raise InputError(f"its member {info.filename!r:.200} is damaged")
        return view


def check_keras_archive(path: Path) -> None:
    """Raise InputError if a .keras file declares more than is allowed; nothing of it is unpacked.

    Keras itself reads the whole configuration into memory, whatever its size.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    check_unpacked_size(sum(info.file_size for info in infos), size)
    for info in infos:
        if info.filename.endswith(".json") and info.file_size > MAX_TEXT_BYTES:
            raise InputError(
                f"its {info.filename:.200} would unpack to {info.file_size:,} bytes; {MAX_TEXT_BYTES:,} is the limit"
            )

"""Walk through the parts of an image file, and mend two harmless faults: bytes before it, and a JPEG without its end.

`runtimes.decode_graph` takes the same steps in a TensorFlow graph.
"""

import io
import re
from dataclasses import dataclass

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.file_signatures import find_file_kind

MAX_LEADING_BYTES = 64  # before the image; mail programs, scripts and serial lines leave such
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
# Segments of a JPEG file, and the bytes between them that belong to none. Each takes some time.
MAX_JPEG_SEGMENTS = 2000
MAX_JPEG_JUNK = 4096
# Chunks of a PNG or WebP file: this many, and one more for each of these bytes
MAX_CHUNKS = 1000
BYTES_PER_CHUNK = 1024
# The marker of a segment; FF 00 and FF D0 to D7 occur within the pixels, FF FF is padding
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
WITHOUT_LENGTH = (0x01, 0xD8)
# If pixels are missing, what follows them changes the image. Two endings give equal pixels only if none is missing.
END = b"\xff\xd9"
OTHER_END = b"\xaa\x55" * 32 + END  # its first bit differs from the zeros that decoders assume after the end


@dataclass(frozen=True)
class JpegLayout:
    """What the markers of a JPEG file say.

    Attributes:
        scans: the number of scans; a progressive file has several.
        progressive: whether the file is progressive.
        has_end: whether the end marker is there.
    """

    scans: int
    progressive: bool
    has_end: bool


def read_jpeg_layout(content: bytes) -> JpegLayout:
    """Walk through the segments of a JPEG file.

    Raises:
        InputError: if it has more segments, or more bytes between them, than any camera or program writes.
    """
    position, scans, progressive, junk = 2, 0, False, 0
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = MARKER.search(content, position)
        if not scans:  # later, what lies between are pixels
            junk += (marker.start() if marker else len(content)) - position
            if junk > MAX_JPEG_JUNK:
                raise InputError(f"a JPEG image with over {MAX_JPEG_JUNK:,} bytes of junk before its pixels")
        if marker is None:
            return JpegLayout(scans, progressive, False)
        kind = content[marker.start() + 1]
        if kind == END_OF_IMAGE:
            return JpegLayout(scans, progressive, True)
        scans += kind == START_OF_SCAN
        progressive = progressive or kind in PROGRESSIVE_FRAMES
        position = marker.end()
        if kind not in WITHOUT_LENGTH:
            position += max(int.from_bytes(content[position : position + 2], "big"), 2)
    raise InputError(f"a JPEG image of over {MAX_JPEG_SEGMENTS:,} segments")


def check_chunks(content: bytes) -> None:
    """Raise InputError if a PNG or WebP file consists of more chunks than any program writes."""
    is_png = content.startswith(b"\x89PNG")
    allowed = MAX_CHUNKS + len(content) // BYTES_PER_CHUNK
    position = 8 if is_png else 12
    for _ in range(allowed):
        if is_png:
            position += 12 + int.from_bytes(content[position : position + 4], "big")
        else:
            size = int.from_bytes(content[position + 4 : position + 8], "little")
            position += 8 + size + size % 2
        if position >= len(content):
            return
    raise InputError(f"{len(content):,} bytes in over {allowed:,} chunks")


def repair_content(content: bytes) -> tuple[bytes, str]:
    """Return an image file without bytes before it and with its end, and what was wrong, or "".

    A JPEG file without the end marker is completed only if all of its pixels are there.

    Raises:
        InputError: if a JPEG, PNG or WebP file has too many parts.
    """
    faults = []
    start = find_image_start(content)
    if start:
        faults.append(f"{start} bytes before the image, which are skipped")
        content = content[start:]
    if content.startswith(b"\xff\xd8"):
        layout = read_jpeg_layout(content)
        if layout.scans and not layout.has_end and (completed := _complete_jpeg(content)) is not None:
            faults.append("the end marker is missing, but all pixels are there")
            content = completed
    elif content.startswith((b"\x89PNG", b"RIFF")):
        check_chunks(content)
    return content, "; ".join(faults)


def find_image_start(content: bytes) -> int:
    """Return where the image begins: 0, or after some bytes that belong to no known kind of file."""
    head = content[: MAX_LEADING_BYTES + 8]
    starts = [position for magic in IMAGE_STARTS if (position := head.find(magic)) >= 0]
    start = min(starts, default=0)
    if start == 0 or start > MAX_LEADING_BYTES:
        return 0
    kind = find_file_kind(content)
    return 0 if kind is not None and "text" not in kind.name else start


def _complete_jpeg(content: bytes) -> bytes | None:
    """Return a JPEG file with the end marker it lacks, or None if pixels are missing too."""
    from PIL import Image

    content = content.removesuffix(b"\xff")
    images = []
    for end in (END, OTHER_END):
        try:
            with Image.open(io.BytesIO(content + end), formats=("JPEG",)) as image:
                images.append(np.asarray(image))
        except Exception:  # Pillow's decoders raise many types
            return None
    return content + END if np.array_equal(images[0], images[1]) else None

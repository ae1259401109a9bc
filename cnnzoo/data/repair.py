"""Walk through the parts of an image file, and mend two harmless faults: bytes before it, and a JPEG without its end.

`runtimes.decode_graph` takes the same steps in a TensorFlow graph.
"""

import io
import re
from dataclasses import dataclass

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.file_signatures import find_file_kind
from cnnzoo.core.text import choose_form, format_count

MAX_LEADING_BYTES = 64  # before the image; mail programs, scripts and serial lines leave such
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
# Segments of a JPEG file, and the bytes between them that belong to none. Each takes some time.
MAX_JPEG_SEGMENTS = 2000
MAX_JPEG_JUNK = 4096
JPEG_JUNK_PROBLEM = f"a JPEG image with over {MAX_JPEG_JUNK:,} bytes of junk before its pixels"
SEGMENTS_PROBLEM = f"a JPEG image of over {MAX_JPEG_SEGMENTS:,} segments"
# Chunks of a PNG or WebP file: this many, and one more for each of these bytes
MAX_CHUNKS = 1000
BYTES_PER_CHUNK = 1024
MAX_EQUAL_BLOCKS = 4096  # of a GIF file, which are skipped at once
MAX_ICONS, MAX_ICON_SIDE = 1000, 1024
# The marker of a segment; FF 00 and FF D0 to D7 occur within the pixels, FF FF is padding
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
XMP_KEYWORD = b"XML:com.adobe.xmp\0"  # of PNG
EXIF_KEYWORD = b"Raw profile type exif\0"  # of PNG, as ImageMagick writes it
PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
METADATA = (*range(0xE1, 0xEE), 0xEF)  # all application segments but those of JFIF and Adobe
NO_FRAME = 0, 0, 0
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
        frame: height, width and number of components, if there is one frame of 8 bits in Huffman code; else zeros.
        has_metadata: whether there are application segments other than those of JFIF and Adobe's color transform.
    """

    scans: int
    progressive: bool
    has_end: bool
    frame: tuple[int, int, int] = NO_FRAME
    has_metadata: bool = False


def read_jpeg_layout(content: bytes) -> JpegLayout:
    """Walk through the segments of a JPEG file.

    Raises:
        InputError: if it has more segments, or more bytes between them, than any camera or program writes.
    """
    position, scans, progressive, junk = 2, 0, False, 0
    frame, frames, has_metadata = NO_FRAME, 0, False
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = MARKER.search(content, position)
        if not scans:  # later, what lies between are pixels
            junk += (marker.start() if marker else len(content)) - position
            if junk > MAX_JPEG_JUNK:
                raise InputError(JPEG_JUNK_PROBLEM)
        if marker is None:
            return JpegLayout(scans, progressive, False, frame, has_metadata)
        kind = content[marker.start() + 1]
        if kind == END_OF_IMAGE:
            return JpegLayout(scans, progressive, True, frame, has_metadata)
        scans += kind == START_OF_SCAN
        progressive = progressive or kind in PROGRESSIVE_FRAMES
        has_metadata = has_metadata or kind in METADATA
        position = marker.end()
        if kind in FRAMES:
            frames += 1
            frame = _read_frame(content, position) if frames == 1 and kind in HUFFMAN_FRAMES else NO_FRAME
        if kind not in WITHOUT_LENGTH:
            position += max(int.from_bytes(content[position : position + 2], "big"), 2)
    raise InputError(SEGMENTS_PROBLEM)


def _read_frame(content: bytes, position: int) -> tuple[int, int, int]:
    """Return height, width and number of components of a frame of 8 bits, whose length is at `position`."""
    if content[position + 2 : position + 3] != b"\x08":
        return NO_FRAME
    height, width = (int.from_bytes(content[i : i + 2], "big") for i in (position + 3, position + 5))
    return height, width, int.from_bytes(content[position + 7 : position + 8], "big")


def check_chunks(content: bytes) -> None:
    """Raise InputError if a PNG, WebP or GIF file consists of more chunks than any program writes.

    A PNG file is read up to the end of its first frame, a GIF file up to the end of the pixels of that.
    """
    allowed = MAX_CHUNKS + len(content) // BYTES_PER_CHUNK
    if content.startswith(b"GIF"):
        if _count_gif_blocks(content, allowed) >= allowed:
            raise InputError(f"{len(content)} bytes in over {allowed} blocks")
        return
    is_png, has_pixels = content.startswith(b"\x89PNG"), False
    position = 8 if is_png else 12
    for _ in range(allowed):
        if is_png:
            kind = content[position + 4 : position + 8]
            if kind == b"IEND" or (kind == b"fcTL" and has_pixels):
                return
            has_pixels = has_pixels or kind == b"IDAT"
            position += 12 + int.from_bytes(content[position : position + 4], "big")
        else:
            size = int.from_bytes(content[position + 4 : position + 8], "little")
            position += 8 + size + size % 2
        if position >= len(content):
            return
    raise InputError(f"{len(content)} bytes in over {allowed} chunks")


def check_icon(content: bytes) -> None:
    """Raise InputError if a picture in a Windows icon is larger than icons are; Pillow decodes it when it opens it."""
    for i in range(min(int.from_bytes(content[4:6], "little"), MAX_ICONS)):
        entry = content[6 + 16 * i : 22 + 16 * i]
        begin = int.from_bytes(entry[12:16], "little")
        if content.startswith(b"\x89PNG", begin):
            sides = [int.from_bytes(content[begin + j : begin + j + 4], "big") for j in (16, 20)]
        else:
            sides = [int.from_bytes(content[begin + j : begin + j + 4], "little", signed=True) for j in (4, 8)]
        if content[begin : begin + 4] == b"\x0c\0\0\0":  # an old header, whose sides have 16 bits
            continue
        if not all(0 <= side <= 2 * MAX_ICON_SIDE for side in sides):  # bitmaps have twice the height
            raise InputError(f"an icon of {sides[0]}x{sides[1]} pixels, more than {MAX_ICON_SIDE} on a side")


def may_be_turned(content: bytes) -> bool:
    """Return whether a PNG file has metadata, before or after its pixels, that can state an orientation."""
    position = 8
    while position < len(content):
        kind = content[position + 4 : position + 8]
        is_text = kind in (b"iTXt", b"tEXt", b"zTXt")
        if kind == b"eXIf" or (is_text and content.startswith((XMP_KEYWORD, EXIF_KEYWORD), position + 8)):
            return True
        if kind == b"IEND":
            break
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    return False


def _count_gif_blocks(content: bytes, allowed: int) -> int:
    """Count the blocks of a GIF file up to the end of its first frame; blocks of equal size in a row count as one."""
    position = 13 + _color_table_size(content[10:11])
    steps, in_blocks = 0, False
    while position < len(content) and steps < allowed:
        value = content[position]
        steps += 1
        if in_blocks:
            in_blocks = value > 0
            position += value + 1
        elif value == ord("!"):
            in_blocks = True
            position += 2
        elif value == ord(","):
            position += 11 + _color_table_size(content[position + 9 : position + 10])
            break
        elif value == ord(";"):
            return steps
        else:
            position += 1
    while position < len(content) and steps < allowed:
        size = content[position]
        steps += 1
        if not size:
            break
        sizes = content[position : position + MAX_EQUAL_BLOCKS * (size + 1) : size + 1]
        position += (len(sizes) - len(sizes.lstrip(bytes([size])))) * (size + 1)
    return steps


def _color_table_size(flags: bytes) -> int:
    """Return the bytes of the color table that the flags of a GIF file announce."""
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] >= 128 else 0


def repair_content(content: bytes) -> tuple[bytes, str, JpegLayout | None]:
    """Return an image file without bytes before it and with its end, what was wrong, or "", and a JPEG's layout.

    A JPEG file without the end marker is completed only if all of its pixels are there.

    Raises:
        InputError: if a JPEG, PNG or WebP file has too many parts.
    """
    faults, layout = [], None
    start = find_image_start(content)
    if start:
        are = choose_form(start, "is", "are")
        faults.append(f"{format_count(start, 'byte')} before the image, which {are} skipped")
        content = content[start:]
    if content.startswith(b"\xff\xd8"):
        layout = read_jpeg_layout(content)
        if layout.scans and not layout.has_end and (completed := _complete_jpeg(content)) is not None:
            faults.append("the end marker is missing, but all pixels are there")
            content, layout = completed, read_jpeg_layout(completed)
    elif content.startswith((b"\x89PNG", b"RIFF", b"GIF")):
        check_chunks(content)
    elif content.startswith(b"\0\0\1\0"):
        check_icon(content)
    return content, "; ".join(faults), layout


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

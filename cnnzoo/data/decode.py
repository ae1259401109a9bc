"""Decode image files with Pillow, whatever their format and mode: upright, in 8 bits, gray or RGB."""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.file_signatures import describe_content, find_file_kind
from cnnzoo.data import image_limits
from cnnzoo.data.bit_depth import STRIP_PIXELS, Levels, has_deep_levels, iter_levels, scale_levels
from cnnzoo.data.image_limits import MAX_PIXELS
from cnnzoo.data.packed_folder import PACKED_FOLDER, is_packed
from cnnzoo.data.plain_jpeg import PlainJpeg, is_plain
from cnnzoo.data.repair import JpegLayout, may_be_turned, read_jpeg_layout, repair_content

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    Opened = PillowImage | PlainJpeg

MAX_BYTES = 2**30  # of a file
LARGE_FILE, HEAD_BYTES = 2**25, 2**16  # files of this size are looked at before all of them is read
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO")
LOOSE_FORMATS = ("TGA",)  # has no signature, so that it is tried only where nothing else fits
FILE_CHANNELS = (1, 3)  # of a network that image files are decoded for: gray or RGB
NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PNM, ICO or TGA image, but"
ORIENTATION_TAG = 0x0112  # EXIF
PHOTOMETRIC_TAG = 262  # TIFF; 0 means that white is zero
GRAY_SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies the levels of 2 and 4 bits by

MAX_NAME = 4200  # characters of a path in a message; the longest that Linux opens has 4,096
Source = str | bytes | os.PathLike[str]  # the path or the bytes of an image file


def decode_image(source: Source, channels: int = 3, levels: Levels | None = None) -> np.ndarray:
    """Decode an image file, rotated upright.

    Args:
        source: the path, or the bytes of the file.
        channels: 1 for gray or 3 for RGB.
        levels: the levels of images of more than 8 bits that become black and white; see `Transform`.

    Returns:
        The pixels, uint8, (H, W, channels).

    Raises:
        InputError: if the file is missing, is not an image, or is too large. The message names the file.
    """
    with open_for_decoding(source, channels, levels) as image:
        pixels = np.asarray(to_upright(image, channels, levels))
    return pixels.reshape(*pixels.shape[:2], channels)


@contextmanager
def open_for_decoding(source: Source, channels: int, levels: Levels | None = None) -> "Iterator[Opened]":
    """Open an image that will be decoded to 1 or 3 channels; errors name the source. See `open_image`."""
    if channels not in FILE_CHANNELS:
        raise InputError(f"Image files have 1 or 3 channels; the model takes {channels}. Pass an array instead")
    try:
        with _open_image_or_jpeg(source, levels) as image:
            yield image
    except InputError as error:
        name = "the bytes" if isinstance(source, bytes) else shorten_repr(os.fspath(source), MAX_NAME)
        raise InputError(f"Cannot read {name} as an image: {error}") from None


@contextmanager
def open_image(source: Source, levels: Levels | None = None) -> "Iterator[PillowImage]":
    """Open a path or bytes with Pillow, read the header and check the size.

    `levels` are those that the image will be decoded with.

    Whatever Pillow raises inside the block, while it decodes, becomes an InputError with the reason.
    """
    with _open_image_or_jpeg(source, levels, plain=False) as image:
        yield image  # type: ignore[misc]


@contextmanager
def _open_image_or_jpeg(source: Source, levels: Levels | None = None, plain: bool = True) -> "Iterator[Opened]":
    """Open an image as `open_image` does; with `plain`, the most common JPEG files without Pillow."""
    from PIL import Image

    try:
        encoded, _, layout = repair_content(source if isinstance(source, bytes) else read_image_bytes(source))
        kind = find_file_kind(encoded)
        if plain and layout is not None and is_plain(layout):
            jpeg = PlainJpeg(encoded, layout)
            check_pixels(jpeg.width, jpeg.height)
            yield jpeg
            return
        with Image.open(io.BytesIO(encoded), formats=readable_formats(has_signature=kind is not None)) as image:
            _check_size(image, encoded, layout, levels)
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(_explain_content(encoded)) from None
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise InputError(f"{pixels[0] if pixels else 'too many'}{image_limits.FAR_TOO_LARGE}") from None
    except Exception as error:  # Pillow's decoders raise many types
        if kind is not None and kind.remedy:  # such as a raw photo, which is a kind of TIFF
            raise InputError(_explain_content(encoded)) from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(_explain_reason(str(reason or type(error).__name__))) from None


def _explain_reason(reason: str) -> str:
    """Return Pillow's reason on one line; for a file that is cut off, in words that name the cause."""
    if "truncated" in reason.casefold() or "bytes not processed" in reason:
        return "the file is truncated: it ends before the image does, as after an incomplete copy or download"
    return " ".join(reason.split())


def check_pixels(width: int, height: int) -> None:
    """Raise InputError if an image is too large, or too long and narrow."""
    if width * height > MAX_PIXELS:
        raise InputError(f"{width * height}{image_limits.FAR_TOO_LARGE}")
    if max(width, height) > image_limits.MAX_ASPECT_RATIO * min(width, height):
        raise InputError(f"{width}x{height}{image_limits.TOO_LONG}")


def _check_head(head: bytes) -> None:
    """Raise InputError if the first bytes of a large file tell that it is no image, before all of it is read."""
    kind = find_file_kind(head)
    if kind is not None and kind.remedy:
        raise InputError(_explain_content(head))
    if head.startswith(b"\xff\xd8"):
        read_jpeg_layout(head)


@cache
def readable_formats(has_signature: bool = True) -> tuple[str, ...]:
    """Return the formats to try that the installed Pillow reads: some builds of it lack AVIF."""
    from PIL import Image

    Image.init()
    formats = FORMATS if has_signature else FORMATS + LOOSE_FORMATS
    return tuple(name for name in formats if name in Image.OPEN)


def _explain_content(content: bytes) -> str:
    kind = find_file_kind(content)
    if kind is not None and kind.name == "an AVIF image" and "AVIF" not in readable_formats():
        return "it is an AVIF image, which this build of Pillow does not read; the wheels on PyPI do"
    remedy = f"; {kind.remedy}" if kind and kind.remedy else ""
    return f"{NOT_AN_IMAGE} {describe_content(content)}{remedy}"


def _check_size(image: "PillowImage", content: bytes, layout: JpegLayout | None, levels: Levels | None) -> None:
    """Raise InputError if an opened image, with its layout if it is a JPEG, would take too much memory or time."""
    width, height = image.size
    image_format = image.format or ""
    check_pixels(width, height)
    if _is_decoded_in_python(image) and len(content) > image_limits.MAX_SLOW_BYTES:
        raise InputError(
            f"{len(content):,} bytes in a rare variant of {image_format} that takes long to decode, more than the "
            f"{image_limits.MAX_SLOW_BYTES:,} allowed; convert it to PNG first"
        )

    # What is in the file besides the pixels themselves
    scans = layout.scans if layout and image_format in ("JPEG", "MPO") else 1
    is_turned = may_be_turned(content) if image_format == "PNG" else exif_orientation(image) != 1
    memory = image_limits.BASE_MEMORY.get(image_format, image_limits.OTHER_MEMORY)
    if is_turned:
        memory += image_limits.TURNED_MEMORY
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        memory += image_limits.ALPHA_MEMORY
    if image.mode == "CMYK":
        memory += image_limits.CMYK_MEMORY
    if image.mode.startswith(("I", "F")):
        memory += image_limits.DEEP_GRAY_MEMORY
    elif has_deep_levels(image):
        memory += image_limits.DEEP_COLOR_MEMORY
        memory += image_limits.ALL_BITS_MEMORY if _needs_all_bits(image, levels) else 0
    if scans > 1:
        memory += image_limits.SCAN_MEMORY * len(image.getbands())
    allowed = image_limits.largest_image(memory, scans, len(content))
    if width * height > allowed:
        raise InputError(f"{width}x{height}{image_limits.TOO_LARGE}{allowed}{image_limits.ALLOWED}")


def _is_decoded_in_python(image: "PillowImage") -> bool:
    tile: Any = getattr(image, "tile", None)
    return bool(tile) and tile[0][0] in ("ppm", "ppm_plain", "bmp_rle")


def read_image_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular, non-empty file of at most `MAX_BYTES`; raises InputError with the reason."""
    try:
        status = os.stat(path)  # noqa: PTH116  # called for every image of every epoch: building a Path costs more
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block forever
            raise InputError(_describe_no_file(path, status))
        if not status.st_size:
            raise InputError("the file is empty")
        if status.st_size > MAX_BYTES:
            raise InputError(f"{status.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            if status.st_size < LARGE_FILE:
                return file.read(status.st_size)
            head = file.read(HEAD_BYTES)
            _check_head(head)
            return head + file.read(status.st_size - len(head))
    except FileNotFoundError:
        raise InputError("there is no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(getattr(error, "strerror", None) or str(error)) from None


def _describe_no_file(path: str | os.PathLike[str], status: os.stat_result) -> str:
    """Return what is at the path of an image that is no file."""
    if not stat.S_ISDIR(status.st_mode):
        return "not a regular file"
    return f"a folder of {PACKED_FOLDER}" if is_packed(os.fsdecode(path)) else "a folder"


def to_upright(image: "Opened", channels: int = 3, levels: Levels | None = None) -> "PillowImage":
    """Rotate an image by its EXIF orientation and convert it to 8-bit gray or RGB, transparency over white.

    Args:
        image: an opened image, which has not been decoded yet.
        channels: 1 for gray or 3 for RGB.
        levels: the levels of images of more than 8 bits that become black and white; None is the range of 16 bits.
    """
    mode = "L" if channels == 1 else "RGB"
    if isinstance(image, PlainJpeg):
        flat = image.decode()
        return flat if flat.mode == mode else flat.convert(mode)
    if has_deep_levels(image) and _needs_all_bits(image, levels):
        flat = _deep_to_8_bit(image, levels)
    else:
        flat = to_8_bit(image)
    image.load()  # a TIFF turns itself upright here, and a PNG reads what follows its pixels
    flat = turn_upright(flat, exif_orientation(image))
    return flat if flat.mode == mode else flat.convert(mode)


def turn_upright(image: "PillowImage", orientation: int) -> "PillowImage":
    """Turn an image by an EXIF orientation, 1 to 8."""
    if orientation == 1:
        return image
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def exif_orientation(image: "PillowImage") -> int:
    """Return the EXIF orientation, 1 to 8: 1 is upright; from 5 on, height and width are swapped."""
    value = image.getexif().get(ORIENTATION_TAG, 1)
    return value if value in range(1, 9) else 1


def upright_size(image: "Opened") -> tuple[int, int]:
    """Return (height, width) of an opened image once it is upright; decodes nothing but rotated TIFFs."""
    if isinstance(image, PlainJpeg):
        return image.height, image.width
    if image.format == "TIFF" and exif_orientation(image) > 1:  # whose size Pillow may have swapped already
        width, height = to_upright(image).size
    elif exif_orientation(image) > 4:
        height, width = image.size
    else:
        width, height = image.size
    return height, width


def to_8_bit(image: "PillowImage") -> "PillowImage":
    """Convert an image of at most 8 bits per channel to opaque gray or color; transparent pixels become white."""
    from PIL import Image

    has_alpha = "A" in image.mode or "a" in image.mode
    if not has_alpha and "transparency" not in image.info:
        image.load()
        return image
    transparent = image.info.get("transparency")
    if image.format == "PNG" and isinstance(transparent, int | tuple):
        image.info["transparency"] = _transparent_color(image, transparent)

    # Strip by strip, to save memory
    opaque = Image.new("RGB", image.size)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        strip = image.crop(box).convert("RGBA")
        opaque.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), box)
    return opaque


def _transparent_color(image: "PillowImage", transparent: "int | tuple[int, ...]") -> "int | tuple[int, ...]":
    """Return the transparent color of a PNG file in the levels of its pixels in 8 bits.

    Only the bits that the pixels have count, as the standard of PNG demands.
    """
    if isinstance(transparent, tuple):
        return tuple(level % 256 for level in transparent)
    if image.mode == "P":
        return transparent
    tile = getattr(image, "tile", None)
    factor = GRAY_SCALES.get(str(tile[0][3]), 1) if tile else 1
    return transparent % (255 // factor + 1) * factor


def _needs_all_bits(image: "PillowImage", levels: Levels | None) -> bool:
    """Return whether the upper bytes of a deep image are not enough."""
    return image.mode.startswith(("I", "F")) or levels is not None or "transparency" in image.info


def _deep_to_8_bit(image: "PillowImage", limits: Levels | None) -> "PillowImage":
    """Convert an image of more than 8 bits to 8 bits; transparent pixels become white."""
    from PIL import Image

    transparent = image.info.get("transparency")
    tags = getattr(image, "tag_v2", {})
    # TIFFs may store white as zero. Pillow inverts these itself, but only up to 8 bits.
    inverted = tags.get(PHOTOMETRIC_TAG) == 0 and image.mode.startswith("I")

    strips = []
    for levels in iter_levels(image):
        is_color = levels.ndim == 3
        color = levels[..., :3] if is_color else levels
        # Colors without limits keep their upper bytes, as Pillow reads them
        scaled = (color >> 8).astype("uint8") if is_color and limits is None else scale_levels(color, limits)
        if is_color and levels.shape[2] == 4:
            with_opacity = Image.fromarray(np.dstack([scaled, (levels[..., 3] >> 8).astype("uint8")]))
            scaled = np.asarray(to_8_bit(with_opacity))
        if transparent is not None:
            is_transparent = levels[..., 0] == transparent[0] if is_color else levels == transparent
            for channel in range(1, 3 if is_color else 0):
                is_transparent &= levels[..., channel] == transparent[channel]
            scaled[is_transparent] = 255
        strips.append(255 - scaled if inverted else scaled)
    return Image.fromarray(np.concatenate(strips))

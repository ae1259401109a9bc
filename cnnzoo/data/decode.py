"""Decode image files with Pillow, whatever their format and mode: upright, in 8 bits, gray or RGB."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PIXELS = 89_000_000  # larger images are refused before decoding; Pillow warns of decompression bombs from here on
MAX_BYTES = 2**30  # of a file
MAX_ASPECT_RATIO = 200  # longer strips cannot be cropped or resized to anything recognizable
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF")
ORIENTATION_TAG = 0x0112  # EXIF
PHOTOMETRIC_TAG = 262  # TIFF; 0 means that white is zero

Source = str | bytes | os.PathLike[str]  # the path or the bytes of an image file


def decode_image(source: Source, channels: int = 3) -> np.ndarray:
    """Decode an image file, rotated upright.

    Args:
        source: the path, or the bytes of the file.
        channels: 1 for gray or 3 for RGB.

    Returns:
        The pixels, uint8, (H, W, channels).

    Raises:
        InputError: if the file is missing, is not an image, or is too large. The message names the file.
    """
    with open_for_decoding(source, channels) as image:
        pixels = np.asarray(to_upright(image, channels))
    return pixels.reshape(*pixels.shape[:2], channels)


@contextmanager
def open_for_decoding(source: Source, channels: int) -> "Iterator[PillowImage]":
    """Open an image that will be decoded to 1 or 3 channels; errors name the source. See `open_image`."""
    if channels not in (1, 3):
        raise InputError(f"Image files have 1 or 3 channels; the model takes {channels}. Pass an array instead")
    try:
        with open_image(source) as image:
            yield image
    except InputError as error:
        name = "the bytes" if isinstance(source, bytes) else repr(os.fspath(source))
        raise InputError(f"Cannot read {name} as an image: {error}") from None


@contextmanager
def open_image(source: Source) -> "Iterator[PillowImage]":
    """Open a path or bytes with Pillow, read the header and check the size.

    Whatever Pillow raises inside the block, while it decodes, becomes an InputError with the reason.
    """
    from PIL import Image

    try:
        encoded = source if isinstance(source, bytes) else read_image_bytes(source)
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")
            if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
                raise InputError(f"{width}x{height} pixels: one side is over {MAX_ASPECT_RATIO} times the other")
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"not a {', '.join(FORMATS)} file") from None
    except Exception as error:  # Pillow's decoders raise many types
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(" ".join(str(reason or type(error).__name__).split())) from None


def read_image_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular, non-empty file of at most `MAX_BYTES`; raises InputError with the reason."""
    try:
        status = os.stat(path)  # noqa: PTH116  # called for every image of every epoch: building a Path costs more
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block forever
            raise InputError("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if not status.st_size:
            raise InputError("the file is empty")
        if status.st_size > MAX_BYTES:
            raise InputError(f"{status.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(status.st_size)
    except FileNotFoundError:
        raise InputError("there is no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(getattr(error, "strerror", None) or str(error)) from None


def to_upright(image: "PillowImage", channels: int = 3) -> "PillowImage":
    """Rotate an image by its EXIF orientation and convert it to 8-bit gray or RGB, transparency over white."""
    from PIL import ImageOps

    mode = "L" if channels == 1 else "RGB"
    tags = getattr(image, "tag_v2", {})
    # TIFFs may store white as zero. Pillow inverts these itself, but only up to 8 bits.
    inverted = tags.get(PHOTOMETRIC_TAG) == 0 and image.mode.startswith("I")
    image = to_8_bit(ImageOps.exif_transpose(image) if exif_orientation(image) > 1 else image)
    image.load()
    image = ImageOps.invert(image) if inverted else image
    return image if image.mode == mode else image.convert(mode)


def exif_orientation(image: "PillowImage") -> int:
    """Return the EXIF orientation, 1 to 8: 1 is upright; from 5 on, height and width are swapped."""
    value = image.getexif().get(ORIENTATION_TAG, 1)
    return value if value in range(1, 9) else 1


def upright_size(image: "PillowImage") -> tuple[int, int]:
    """Return (height, width) of an opened image once it is upright; decodes nothing but rotated TIFFs."""
    if image.format == "TIFF" and exif_orientation(image) > 1:  # whose size Pillow may have swapped already
        width, height = to_upright(image).size
    elif exif_orientation(image) > 4:
        height, width = image.size
    else:
        width, height = image.size
    return height, width


def to_8_bit(image: "PillowImage") -> "PillowImage":
    """Convert an image to 8 bits per channel and put transparent pixels over white."""
    from PIL import Image

    if image.mode == "F":
        raise InputError("32-bit floating-point images have no agreed range")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype("int64")
        if levels.min() < 0 or levels.max() > 65535:
            raise InputError(f"gray levels must be 0 to 65535. Received: {levels.min()} to {levels.max()}")
        return Image.fromarray(np.round(levels / 257).astype("uint8"))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image

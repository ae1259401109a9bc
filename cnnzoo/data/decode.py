"""One image file to upright pixels: Pillow's, in whatever format and mode it was saved."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError

MAX_PIXELS = 89_000_000  # more is refused before anything is decoded; Pillow warns of bombs from here on
MAX_BYTES = 2**30  # of a file
MAX_ASPECT_RATIO = 200  # of the sides: more is a strip, which no crop or resize makes a picture of
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF")


def decode_image(source: Any, channels: int = 3) -> np.ndarray:
    """The pixels of an image file, upright, as uint8 (H, W, channels); gray for one channel, RGB for three.

    Args:
        source: the path, or the bytes of the file.
        channels: 1 or 3.

    Raises:
        InputError: that names the file where it is missing, no image, or too large.
    """
    with open_for_decoding(source, channels) as image:
        pixels = np.asarray(to_upright(image, channels))
    return pixels.reshape(*pixels.shape[:2], channels)


@contextmanager
def open_for_decoding(source: Any, channels: int) -> Iterator[Any]:
    """As `opened`, for what shall give gray or RGB images; errors name the source."""
    if channels not in (1, 3):
        raise InputError(f"Image files give 1 or 3 channels; the model takes {channels}. Pass an array")
    try:
        with open_image(source) as image:
            yield image
    except InputError as error:
        name = "the bytes" if isinstance(source, bytes) else repr(os.fspath(source))
        raise InputError(f"Cannot read {name} as an image: {error}") from None


@contextmanager
def open_image(source: Any) -> Iterator[Any]:
    """The image of a path or of bytes, its header read and its size checked; raises InputError with the reason.

    What Pillow raises inside the block, while it decodes, becomes an InputError too.
    """
    from PIL import Image

    try:
        encoded = source if isinstance(source, bytes) else read_image_bytes(source)
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")
            if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
                raise InputError(f"{width}x{height} pixels, a strip")
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"no {', '.join(FORMATS)} file") from None
    except Exception as error:  # Pillow's decoders raise many kinds
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(" ".join(str(reason or type(error).__name__).split())) from None


def read_image_bytes(path: Any) -> bytes:
    """The bytes of a regular file of some size; raises InputError with the reason."""
    try:
        facts = os.stat(path)  # noqa: PTH116  # for every image of every epoch: a Path takes longer than the call
        if not stat.S_ISREG(facts.st_mode):  # a pipe would wait for ever
            raise InputError("a folder" if stat.S_ISDIR(facts.st_mode) else "no regular file")
        if not 0 < facts.st_size <= MAX_BYTES:
            large = f"{facts.st_size:,} bytes, more than the {MAX_BYTES:,} allowed"
            raise InputError(large if facts.st_size else "the file is empty")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(facts.st_size)
    except FileNotFoundError:
        raise InputError("there is no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(getattr(error, "strerror", None) or str(error)) from None


def to_upright(image: Any, channels: int = 3) -> Any:
    """A Pillow image turned as its EXIF orientation says, in 8 bits: gray or RGB, transparency over white."""
    from PIL import ImageOps

    mode = "L" if channels == 1 else "RGB"
    tags = getattr(image, "tag_v2", {})
    negative = tags.get(262) == 0 and image.mode.startswith("I")  # white is zero, which Pillow minds up to 8 bits only
    image = to_8_bit(ImageOps.exif_transpose(image) if exif_orientation(image) > 1 else image)
    image.load()
    image = ImageOps.invert(image) if negative else image
    return image if image.mode == mode else image.convert(mode)


def exif_orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8: 1 as it is, from 5 on lying on its side."""
    value = image.getexif().get(0x0112, 1)
    return value if value in range(1, 9) else 1


def upright_size(image: Any) -> tuple[int, int]:
    """Height and width of an opened image once it is upright; decodes none but turned TIFFs."""
    if image.format == "TIFF" and exif_orientation(image) > 1:  # whose size Pillow may have turned already
        return to_upright(image).size[::-1]
    return image.size if exif_orientation(image) > 4 else image.size[::-1]


def to_8_bit(image: Any) -> Any:
    """The image in 8 bits and without transparency, which shows white."""
    from PIL import Image

    if image.mode == "F":
        raise InputError("32-bit floating-point images have no agreed range")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype("int64")
        if levels.min() < 0 or levels.max() > 65535:
            raise InputError(f"gray levels are 0 to 65535, not {levels.min()} to {levels.max()}")
        return Image.fromarray(np.round(levels / 257).astype("uint8"))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return image

"""Images that users opened or made with Pillow themselves."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnzoo.core.errors import InputError
from cnnzoo.data.decode import FORMATS, MAX_BYTES, check_pixels

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


def is_pillow_image(value: object) -> bool:
    """Return whether `value` is a Pillow image; imports nothing, because without Pillow there are none."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def hold_pillow_image(image: "PillowImage") -> "bytes | PillowImage":
    """Return what stays of a Pillow image when its file is closed or its frame changed: its file, or its pixels.

    Raises:
        InputError: if it is too large, or cannot be decoded.
    """
    with pillow_errors(image):
        check_pixels(*image.size)
        file = getattr(image, "fp", None)
        if getattr(image, "tile", None) and file is not None and image.format in FORMATS and not image.tell():
            position = file.tell()
            file.seek(0)
            content = file.read(MAX_BYTES + 1)
            file.seek(position)
            return bytes(content)
        image.load()
        copied = image.copy()
        copied.getexif()  # read here, because threads that read it at the same time may get none
        if hasattr(image, "tag_v2"):
            vars(copied)["tag_v2"] = image.tag_v2
        return copied


@contextmanager
def pillow_errors(image: "PillowImage") -> Iterator[None]:
    """Turn whatever Pillow raises for an image into an InputError that names it."""
    try:
        yield
    except Exception as error:
        file = getattr(image, "filename", "")
        name = f"{type(image).__name__} {os.fsdecode(file)!r}" if file else type(image).__name__
        raise InputError(f"Cannot read the {name}: {error}") from None

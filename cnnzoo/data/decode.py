"""One image file to pixels."""

from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.errors import InputError

MAX_PIXELS = 100_000_000  # more is refused before anything is decoded


def decode(path: Any, channels: int) -> np.ndarray:
    """The pixels of an image file, upright, as uint8 (H, W, channels); gray for one channel, RGB for three.

    Raises InputError that names the file where it is missing, no image, or too large.
    """
    from PIL import Image, ImageOps

    if channels not in (1, 3):
        raise InputError(f"Image files give 1 or 3 channels; the model takes {channels}. Pass an array")
    path = Path(path)
    if not path.is_file():  # a pipe would wait for ever
        raise InputError(f"There is no file {str(path)!r}")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{path}: {image.width}x{image.height} pixels, more than the {MAX_PIXELS:,} allowed")
            pixels = np.asarray(flat(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB"))
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        raise InputError(f"Cannot read {str(path)!r} as an image: {error}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def flat(image: Any) -> Any:
    """The image in 8 bits and without transparency, which shows white."""
    from PIL import Image

    if image.mode == "F":
        raise InputError("32-bit floating-point images have no agreed range")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype("int64")
        if levels.min() < 0 or levels.max() > 65535:
            raise InputError(f"Gray levels are 0 to 65535. Received: {levels.min()} to {levels.max()}")
        return Image.fromarray(np.round(levels / 257).astype("uint8"))
    if "A" in image.mode or "transparency" in image.info:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return image

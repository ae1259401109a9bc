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
    try:
        with Image.open(Path(path)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{path}: {image.width}x{image.height} pixels, more than the {MAX_PIXELS:,} allowed")
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no file {str(path)!r}") from None
    except Exception as error:  # Pillow's decoders raise many kinds
        raise InputError(f"Cannot read {str(path)!r} as an image: {error}") from None
    return pixels.reshape(*pixels.shape[:2], channels)

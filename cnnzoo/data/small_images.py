"""Small versions of image files, for pictures in notebooks."""

import numpy as np

from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.decode import Source, open_image, to_upright

MAX_SIDE = 480  # pixels


def read_small(source: Source, channels: int = 3, levels: Levels | None = None) -> np.ndarray:
    """Return the image (H, W, C) of a file, upright and small."""
    with open_image(source, levels) as image:
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))
        upright = to_upright(image, channels, levels)
        upright.thumbnail((MAX_SIDE, MAX_SIDE))
    pixels = np.asarray(upright)
    return pixels if pixels.ndim == 3 else pixels[..., None]

"""The work of one image written with Pillow and NumPy, as a user would write it."""

import random

import numpy as np
from common import CENTER, Options, SkippedError, draw_crop
from PIL import Image


def check_policy(options: Options) -> None:
    """Raise SkippedError for policies that need more than crops and flips."""
    if options.policy not in ("none", "basic"):
        raise SkippedError("it has no operations for this policy")


def load_image(path: str, options: Options, rng: random.Random) -> np.ndarray:
    """Return pixels (size, size, 3), uint8: a random resized crop, mirrored or not, or the center."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    size = (options.size, options.size)
    if options.policy == "none":
        side = CENTER * min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
    crop = image.resize(size, Image.Resampling.BILINEAR, draw_crop(*image.size, rng))
    return np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop)

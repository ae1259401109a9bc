"""Random Erasing (Zhong et al. 2017, arXiv:1708.04896)."""

import math
import random

import numpy as np

PROBABILITY = 0.5  # section 4.2, as the area and the aspect
AREA = (0.02, 0.4)  # share of the image
ASPECT = (0.3, 1 / 0.3)  # height by width
MAX_DRAWS = 10


def random_erasing(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """Replace a rectangle of half of the images (H, W, C) by random pixels.

    The logarithm of the aspect is uniform, as in timm and torchvision, so that tall rectangles are as frequent as wide
    ones; in the paper the aspect is uniform itself. Rectangles that do not fit are drawn again.
    """
    if rng.random() >= PROBABILITY:
        return pixels
    height, width, channels = pixels.shape
    for _ in range(MAX_DRAWS):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < h < height and 0 < w < width:
            top, left = int(rng.random() * (height - h + 1)), int(rng.random() * (width - w + 1))
            noise = np.frombuffer(rng.randbytes(h * w * channels), "uint8").reshape(h, w, channels)
            erased = pixels.copy()
            erased[top : top + h, left : left + w] = noise
            return erased
    return pixels

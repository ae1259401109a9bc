"""What the pipelines share: the options of a measurement, the files of a data set, and the drawing of crops."""

import math
import random
from dataclasses import dataclass
from pathlib import Path

CROP_AREA = (0.08, 1.0)
CENTER = 0.875  # share of the side that evaluation crops cover
SUFFIXES = (".jpg", ".jpeg")


class SkippedError(Exception):
    """Raised by a pipeline that does not know a policy, with the reason."""


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        folder: a folder of class folders.
        size: side of the images in pixels.
        policy: "none" for evaluation images, or an augmentation policy.
        workers: number of processes, or -1 for what the library chooses.
        batch_size: images per batch.
    """

    folder: str
    size: int
    policy: str
    workers: int
    batch_size: int


def list_images(folder: str) -> tuple[list[str], list[int]]:
    """Return the JPEG files of all class folders and their labels."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    classes = sorted({path.parent.name for path in paths})
    return [str(path) for path in paths], [classes.index(path.parent.name) for path in paths]


def draw_crop(width: int, height: int, rng: random.Random) -> tuple[int, int, int, int]:
    """Draw the left, top, right and bottom side of a random resized crop."""
    for _ in range(10):
        pixels = rng.uniform(*CROP_AREA) * width * height
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side

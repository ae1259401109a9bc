"""Augmentation policies: what is drawn for each image and each batch, with NumPy and Pillow alone."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.erasing import random_erasing
from cnnzoo.data.mixing import cut_mix, mix_up
from cnnzoo.data.operations import Draw, apply_operations
from cnnzoo.data.shifts import random_shift_and_flip, random_translation

MIN_CROP_SIDE = 64  # pixels; smaller images are shifted instead of cropped, as in He et al. 2015, section 4.2
CROP_AREA = (0.08, 1.0)  # Szegedy et al. 2014, section 6

Mix = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Policy:
    """The augmentation of training images; "rand+mixup" combines the parts of two policies.

    Args:
        area: least and greatest share of the area that a random crop covers; half of the crops are mirrored. The crop
            is cut while the file is decoded.
        shift: share of the side by which small images are shifted instead, in each direction.
        translation: share of the side by which images of any size are shifted, without a flip.
        draw: how the operations are drawn that an image passes.
        erases: whether rectangles of the images are erased.
        mix: the function that mixes the images of a batch, and their labels.
    """

    area: tuple[float, float] | None = None
    shift: float = 1 / 8
    translation: float = 0.0
    draw: Draw | None = None
    erases: bool = False
    mix: Mix | None = None


POLICIES = {
    "none": Policy(),
    # Digits change their meaning when flipped, so only translate: up to 1/16 of the side, padded with black
    "shift": Policy(translation=1 / 16),
    # Crops large enough to keep the object, for trainings of few epochs
    "gentle": Policy((0.35, 1.0), 1 / 16),
    "basic": Policy(CROP_AREA),
    # One operation of any strength: Müller and Hutter 2021, arXiv:2103.10158
    "trivial": Policy(CROP_AREA, draw=Draw(1, strength=None, wide=True)),
    # N = 2 operations of magnitude M = 9 of 30: Cubuk et al. 2019, arXiv:1909.13719, and torchvision's default
    "rand": Policy(CROP_AREA, draw=Draw(2, strength=9 / 30, wide=False)),
    "erase": Policy(erases=True),
    "mixup": Policy(mix=mix_up),
    "cutmix": Policy(mix=cut_mix),
}


def parse_policy(policy: str) -> list[Policy]:
    """Return the rows of a name like "basic" or "rand+mixup+cutmix"; raises InputError if one is unknown."""
    if not isinstance(policy, str):
        raise InputError(f"An augmentation must be a name, such as basic or rand+mixup. Received: {policy!r:.200}")
    for name in policy.split("+"):
        if name not in POLICIES:
            raise unknown_name("augmentation", name, POLICIES)
    return [POLICIES[name] for name in policy.split("+")]


class Augmentation:
    """A policy for images of one size. It has no state: threads and processes may share it.

    An image is cropped to `area` by the caller, or shifted; either with its batch (`shifts`), or alone before the
    operations of `augment_image` (`changes_images`). Then the batch is mixed (`mixes`).

    Args:
        policy: a name, or several joined by "+".
        size: (height, width) of the images.

    Attributes:
        area: least and greatest area of the random crops that the caller takes from the original images, or None.
        shift: share of the side by which small images are shifted instead, by whole pixels, and flipped.
        translation: share of the side by which images are shifted by fractions of pixels.
    """

    def __init__(self, policy: str, size: tuple[int, int]) -> None:
        rows = parse_policy(policy)
        area, shift = next(((row.area, row.shift) for row in rows if row.area), (None, 0.0))
        small = min(size) < MIN_CROP_SIDE
        self.area = None if small else area
        self.shift = shift if small else 0.0
        self.translation = max(row.translation for row in rows)
        self.draws = [row.draw for row in rows if row.draw]
        self.erases = any(row.erases for row in rows)
        self.mixers = [row.mix for row in rows if row.mix]

    @property
    def changes_images(self) -> bool:
        """Whether every image has to pass `augment_image`."""
        return bool(self.draws or self.erases)

    @property
    def shifts(self) -> bool:
        """Whether every batch has to pass `shift_batch`."""
        return bool(self.shift or self.translation) and not self.changes_images

    @property
    def mixes(self) -> bool:
        """Whether every batch has to pass `mix`."""
        return bool(self.mixers)

    def augment_image(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """Return pixels (H, W, C) of the same type, augmented as drawn from `rng` alone."""
        if self.shift or self.translation:
            pixels = self._shift(pixels[None], np.random.default_rng(rng.getrandbits(64)))[0]
        for draw in self.draws:
            pixels = apply_operations(pixels, draw.draw_operations((pixels.shape[1], pixels.shape[0]), rng))
        return random_erasing(pixels, rng) if self.erases else pixels

    def shift_batch(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return images (N, H, W, C) of the same type, each shifted by itself."""
        return self._shift(images, rng) if self.shifts else images

    def mix(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, H, W, C) and one-hot labels (N, classes) of the same types, mixed in one of the ways."""
        if not self.mixers or len(images) < 2:
            return images, labels
        return self.mixers[rng.integers(len(self.mixers))](images, labels, rng)

    def _shift(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.shift:
            images = random_shift_and_flip(images, self.shift, rng)
        return random_translation(images, self.translation, rng) if self.translation else images

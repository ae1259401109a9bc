"""Augment images and batches by a policy, with NumPy and Pillow alone, so that worker processes start quickly."""

import random

import numpy as np

from cnnzoo.data.erasing import random_erasing
from cnnzoo.data.mixing import MIXERS, MixPlan
from cnnzoo.data.operations import apply_operations, draw_operations
from cnnzoo.data.policies import parse_policy
from cnnzoo.data.shifts import draw_shifts_and_flips, draw_translations, random_shift_and_flip, random_translation

MIN_CROP_SIDE = 64  # pixels; smaller images are shifted instead of cropped, as in He et al. 2015, section 4.2

Positions = np.ndarray | None  # of images in a batch; None for all


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
        self.size = size
        self.mixers = [MIXERS[row.mix] for row in rows if row.mix]

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
            pixels = apply_operations(pixels, draw_operations(draw, pixels.shape[:2], rng))
        return random_erasing(pixels, rng) if self.erases else pixels

    def shift_batch(
        self, images: np.ndarray, rng: np.random.Generator, count: int | None = None, positions: Positions = None
    ) -> np.ndarray:
        """Return images (N, H, W, C) of the same type, each shifted by itself.

        They may be a part of a batch of `count` images: those at its `positions` (N,).
        """
        return self._shift(images, rng, count, positions) if self.shifts else images

    def mix(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, H, W, C) and one-hot labels (N, classes) of the same types, mixed in one of the ways."""
        plan = self.draw_mix(len(images), rng)
        return plan.mix(images, labels) if plan else (images, labels)

    def draw_mix(self, count: int, rng: np.random.Generator) -> MixPlan | None:
        """Draw how a batch of `count` images is mixed, after it was shifted; None if it is not."""
        return self.mixers[rng.integers(len(self.mixers))](count, rng) if self.mixers and count > 1 else None

    def find_needed_positions(self, count: int, rows: slice, rng: np.random.Generator) -> np.ndarray:
        """Return which images of a batch of `count` are needed for some of its rows: these, then those mixed in.

        `rng` is that of the batch, from which nothing has been drawn yet.
        """
        own = np.arange(count)[rows]
        if not self.mixes:
            return own
        if self.shifts and self.shift:
            draw_shifts_and_flips(count, self.size, self.shift, rng)
        if self.shifts and self.translation:
            draw_translations(count, self.size, self.translation, rng)
        plan = self.draw_mix(count, rng)
        partners = own if plan is None else plan.partners[rows]
        return np.concatenate([own, np.setdiff1d(partners, own)])

    def _shift(
        self, images: np.ndarray, rng: np.random.Generator, count: int | None = None, positions: Positions = None
    ) -> np.ndarray:
        if self.shift:
            images = random_shift_and_flip(images, self.shift, rng, count, positions)
        return random_translation(images, self.translation, rng, count, positions) if self.translation else images

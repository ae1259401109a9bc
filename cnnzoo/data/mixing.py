"""MixUp and CutMix: batches in which each image is mixed with another one, and so are the labels.

What is random is drawn for a whole batch first. So a process that trains on a part of the batch knows which other
images it needs for that part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MIXUP_ALPHA = 0.2  # Zhang et al. 2017, arXiv:1710.09412, section 3.1: 0.1 to 0.4 for ImageNet
CUTMIX_ALPHA = 1.0  # Yun et al. 2019, arXiv:1905.04899, section 3.1
WEIGHTS = 256  # steps of MixUp's weights: weight * 255 still fits into 16 bits
CHUNK_BYTES = 2**16  # mixed at a time, so that intermediate results stay in the processor's cache


class MixPlan(NamedTuple):
    """How the images of a batch are mixed.

    Attributes:
        apply: mixes images and labels by this plan.
        partners: for each image, which one it is mixed with (N,).
        amounts: how much of it, in numbers (N, ...) that `apply` understands.
    """

    apply: Callable[[np.ndarray, np.ndarray, MixPlan], tuple[np.ndarray, np.ndarray]]
    partners: np.ndarray
    amounts: np.ndarray

    def take_rows(self, rows: slice, positions: np.ndarray) -> MixPlan:
        """Return the plan for some rows of the batch, with images that are those at `positions` of the batch."""
        places = np.empty(len(self.partners), int)
        places[positions] = np.arange(len(positions))
        return self._replace(partners=places[self.partners[rows]], amounts=self.amounts[rows])

    def mix(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mixed images (N, H, W, C) and labels (N, classes) of the plan; those after N are partners only."""
        return self.apply(images, labels, self)


def draw_mix_up(count: int, rng: np.random.Generator) -> MixPlan:
    """Draw the partner of each of `count` images, and the weight of the image in the sum of both.

    An image keeps the larger share, so that two images of a batch do not become nearly the same one. The blends of
    two images have the same distribution either way.
    """
    weights = np.rint(WEIGHTS * rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, count)).astype(int)
    return MixPlan(_mix_up, rng.permutation(count), np.maximum(weights, WEIGHTS - weights))


def _mix_up(images: np.ndarray, labels: np.ndarray, plan: MixPlan) -> tuple[np.ndarray, np.ndarray]:
    weights, partners = plan.amounts, plan.partners
    mixed = np.empty_like(images[: len(partners)])
    step = max(CHUNK_BYTES // max(images[0].nbytes, 1), 1)
    for start in range(0, len(partners), step):
        chunk = slice(start, min(start + step, len(partners)))
        mixed[chunk] = _blend(images[chunk], images[partners[chunk]], weights[chunk, None, None, None])
    return mixed, _mix_labels(labels, partners, weights / WEIGHTS)


def draw_cut_mix(count: int, rng: np.random.Generator) -> MixPlan:
    """Draw the partner of each of `count` images, and a square: the share of the sides, and its relative center."""
    sides = np.sqrt(1 - rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA, count))
    squares = np.column_stack([sides, rng.random((count, 2))])
    return MixPlan(_cut_mix, rng.permutation(count), squares)


def _cut_mix(images: np.ndarray, labels: np.ndarray, plan: MixPlan) -> tuple[np.ndarray, np.ndarray]:
    height, width = images.shape[1:3]
    mixed, shares = images[: len(plan.partners)].copy(), np.empty(len(plan.partners))
    for i, ((side, y, x), partner) in enumerate(zip(plan.amounts, plan.partners, strict=True)):
        rows, columns = _clip_range(y, side, height), _clip_range(x, side, width)
        mixed[i, rows, columns] = images[partner, rows, columns]
        shares[i] = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, _mix_labels(labels, plan.partners, shares)


def mix_up(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image (N, H, W, C) with another one of the batch, by a weight of its own, and so the labels."""
    return draw_mix_up(len(images), rng).mix(images, labels)


def cut_mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replace a rectangle of each image (N, H, W, C) by that of another one; labels are mixed by the exact area."""
    return draw_cut_mix(len(images), rng).mix(images, labels)


MIXERS = {"mixup": draw_mix_up, "cutmix": draw_cut_mix}


def _blend(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of two batches; `weights` are those of the first, in steps of 1 / WEIGHTS."""
    if first.dtype == np.uint8:
        weights = weights.astype("uint16")
        total = first * weights + second * (np.uint16(WEIGHTS) - weights)
        return ((total + np.uint16(WEIGHTS // 2)) >> 8).astype("uint8")
    shares = (weights / WEIGHTS).astype("float32")
    total = first * shares + second * (1 - shares)
    return total if first.dtype.kind == "f" else np.rint(total)


def _clip_range(center: float, share: float, side: int) -> slice:
    """Return the part inside the image of a range that covers a share of the side."""
    length = int(share * side)
    start = math.floor(center * side) - length // 2
    return slice(max(start, 0), min(start + length, side))


def _mix_labels(labels: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return labels (N, classes) that mix an image's share of its own label with the rest of its partner's."""
    shares = shares[:, None].astype(labels.dtype)
    return shares * labels[: len(partners)] + (1 - shares) * labels[partners]

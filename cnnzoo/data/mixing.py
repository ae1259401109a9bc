"""MixUp and CutMix: batches in which each image is mixed with another one, and so are the labels."""

import math

import numpy as np

MIXUP_ALPHA = 0.2  # Zhang et al. 2017, arXiv:1710.09412, section 3.1: 0.1 to 0.4 for ImageNet
CUTMIX_ALPHA = 1.0  # Yun et al. 2019, arXiv:1905.04899, section 3.1
WEIGHTS = 256  # steps of MixUp's weights: weight * 255 still fits into 16 bits
CHUNK_BYTES = 2**16  # mixed at a time, so that intermediate results stay in the processor's cache


def mix_up(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image (N, H, W, C) with another one of the batch, by a weight of its own, and so the labels.

    An image keeps the larger share, so that two images of a batch do not become nearly the same one. The blends of
    two images have the same distribution either way.
    """
    weights = np.rint(WEIGHTS * rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(images))).astype(int)
    weights = np.maximum(weights, WEIGHTS - weights)
    partners = rng.permutation(len(images))
    mixed = np.empty_like(images)
    step = max(CHUNK_BYTES // max(images[0].nbytes, 1), 1)
    for start in range(0, len(images), step):
        chunk = slice(start, start + step)
        mixed[chunk] = _blend(images[chunk], images[partners[chunk]], weights[chunk, None, None, None])
    return mixed, _mix_labels(labels, partners, weights / WEIGHTS)


def cut_mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replace a rectangle of each image (N, H, W, C) by that of another one; labels are mixed by the exact area."""
    height, width = images.shape[1:3]
    sides = np.sqrt(1 - rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA, len(images)))
    centers = rng.random((len(images), 2))
    partners = rng.permutation(len(images))
    mixed, shares = images.copy(), np.empty(len(images))
    for i, (side, (y, x), partner) in enumerate(zip(sides, centers, partners, strict=True)):
        rows, columns = _clip_range(y, side, height), _clip_range(x, side, width)
        mixed[i, rows, columns] = images[partner, rows, columns]
        shares[i] = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, _mix_labels(labels, partners, shares)


MIXERS = {"mixup": mix_up, "cutmix": cut_mix}


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
    return shares * labels + (1 - shares) * labels[partners]

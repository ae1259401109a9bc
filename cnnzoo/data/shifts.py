"""Random shifts and flips of small images, vectorized over a batch (N, H, W, C) of any type."""

import math
from collections.abc import Sequence

import numpy as np

FRACTIONS = 16  # per pixel: 16 x 16 weights of a bilinear sum, times 255, still fit into 16 bits
CHUNK_VALUES = 2**15  # moved at a time, so that intermediate results stay in the processor's cache


def random_shift_and_flip(images: np.ndarray, max_shift: float, rng: np.random.Generator) -> np.ndarray:
    """Shift each image (N, H, W, C) at random, padding with black, and mirror half of them.

    Shifts are whole pixels: fractions of a pixel would blur the training images, and test images are not blurred.

    Args:
        images: images of any type.
        max_shift: largest shift in each direction, as a share of the side.
        rng: the source of randomness.
    """
    count, *sides = images.shape[:3]
    margins = [math.ceil(max_shift * side) for side in sides]
    rows, columns = (
        margin + np.rint(rng.uniform(-max_shift * side, max_shift * side, count)).astype(int)
        for margin, side in zip(margins, sides, strict=True)
    )
    shifted = _take_windows(_pad(images, margins), rows, columns, sides)
    mirrored = rng.random(count) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return np.ascontiguousarray(shifted)


def random_translation(images: np.ndarray, max_shift: float, rng: np.random.Generator) -> np.ndarray:
    """Move each image (N, H, W, C) by a random fraction of pixels; black moves in, pixels are interpolated linearly.

    Shifts are multiples of a sixteenth of a pixel, so integer images are interpolated exactly in integer arithmetic.

    Args:
        images: images of any type.
        max_shift: largest shift in each direction, as a share of the side.
        rng: the source of randomness.
    """
    count, height, width = images.shape[:3]
    margins = [math.ceil(max_shift * side) for side in (height, width)]
    (rows, y), (columns, x) = (
        np.divmod(np.rint(FRACTIONS * (margin + rng.uniform(-max_shift * side, max_shift * side, count))), FRACTIONS)
        for margin, side in zip(margins, (height, width), strict=True)
    )
    moved = np.empty_like(images)
    step = max(CHUNK_VALUES // max(images[0].size, 1), 1)
    for start in range(0, count, step):
        chunk = slice(start, start + step)
        padded = _pad(images[chunk], margins, 1)
        windows = _take_windows(padded, rows[chunk].astype(int), columns[chunk].astype(int), (height + 1, width + 1))
        moved[chunk] = _interpolate(windows, y[chunk], x[chunk])
    return moved


def _interpolate(windows: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) from windows (N, H + 1, W + 1, C), each moved by its own sixteenths of a pixel."""
    kind = windows.dtype
    wide = windows.astype("uint16" if kind == np.uint8 else kind if kind.kind == "f" else "float32")
    y, x = (fraction.astype(wide.dtype)[:, None, None, None] for fraction in (y, x))
    full = wide.dtype.type(FRACTIONS)
    blended = wide[:, :-1] * (full - y) + wide[:, 1:] * y
    blended = blended[:, :, :-1] * (full - x) + blended[:, :, 1:] * x
    if kind == np.uint8:
        return (blended + FRACTIONS**2 // 2) // FRACTIONS**2
    blended = blended / FRACTIONS**2
    return blended if kind.kind == "f" else np.rint(blended)


def _pad(images: np.ndarray, margins: list[int], more: int = 0) -> np.ndarray:
    """Add black margins on all sides, and `more` pixels below and on the right."""
    return np.pad(images, ((0, 0), *((margin, margin + more) for margin in margins), (0, 0)))


def _take_windows(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Cut a window of one size out of each image (N, H, W, C), at its own row and column."""
    windows = np.lib.stride_tricks.sliding_window_view(images, tuple(size), axis=(1, 2))  # (N, ..., ..., C, H, W)
    return np.moveaxis(windows[np.arange(len(images)), rows, columns], 1, -1)

"""Random shifts and flips of small images, vectorized over a batch (N, H, W, C) of any type."""

import math
from collections.abc import Sequence

import numpy as np

FRACTIONS = 16  # per pixel: 16 x 16 weights of a bilinear sum, times 255, still fit into 16 bits
CHUNK_VALUES = 2**15  # moved at a time, so that intermediate results stay in the processor's cache


def random_shift_and_flip(
    images: np.ndarray,
    max_shift: float,
    rng: np.random.Generator,
    batch_size: int | None = None,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """Shift each image (N, H, W, C) at random, padding with black, and mirror half of them.

    Shifts are whole pixels: fractions of a pixel would blur the training images, and test images are not blurred.

    Args:
        images: images of any type.
        max_shift: largest shift in each direction, as a share of the side.
        rng: the source of randomness.
        batch_size, positions: if the images are a part of a batch, its number of images, and which of them these are.
    """
    count, *sides = images.shape[:3]
    margins = [math.ceil(max_shift * side) for side in sides]
    drawn = draw_shifts_and_flips(batch_size or count, sides, max_shift, rng)
    rows, columns, mirrored = drawn if positions is None else (values[positions] for values in drawn)
    shifted = _take_windows(_pad(images, margins), rows + margins[0], columns + margins[1], sides)
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return np.ascontiguousarray(shifted)


def draw_shifts_and_flips(
    count: int, size: Sequence[int], max_shift: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw for each of `count` images of a (height, width) its shift, and whether it is mirrored.

    Returns:
        Row and column (N,) of the image that become its first ones, from below 0 on, and booleans (N,).
    """
    rows, columns = (np.rint(rng.uniform(-max_shift * side, max_shift * side, count)).astype(int) for side in size)
    return rows, columns, rng.random(count) < 0.5


def random_translation(
    images: np.ndarray,
    max_shift: float,
    rng: np.random.Generator,
    batch_size: int | None = None,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """Move each image (N, H, W, C) by a random fraction of pixels; black moves in, pixels are interpolated linearly.

    Shifts are multiples of a sixteenth of a pixel, so integer images are interpolated exactly in integer arithmetic.

    Args:
        images: images of any type.
        max_shift: largest shift in each direction, as a share of the side.
        rng: the source of randomness.
        batch_size, positions: as in `random_shift_and_flip`.
    """
    count, height, width = images.shape[:3]
    margins = [math.ceil(max_shift * side) for side in (height, width)]
    drawn = draw_translations(batch_size or count, (height, width), max_shift, rng)
    if positions is not None:
        drawn = [(pixels[positions], sixteenths[positions]) for pixels, sixteenths in drawn]
    (rows, y), (columns, x) = drawn
    windows = _take_windows(
        _pad(images, margins, 1), rows + margins[0], columns + margins[1], (height + 1, width + 1)
    ).astype("uint16" if images.dtype == np.uint8 else images.dtype if images.dtype.kind == "f" else "float32")
    y, x = (fraction.astype(windows.dtype)[:, None, None, None] for fraction in (y, x))
    full = windows.dtype.type(FRACTIONS)
    blended = windows[:, :-1] * (full - y) + windows[:, 1:] * y
    blended = blended[:, :, :-1] * (full - x) + blended[:, :, 1:] * x
    if images.dtype == np.uint8:
        return ((blended + FRACTIONS**2 // 2) // FRACTIONS**2).astype("uint8")
    blended = blended / FRACTIONS**2
    return blended if images.dtype.kind == "f" else np.rint(blended).astype(images.dtype)


def draw_translations(
    count: int, size: Sequence[int], max_shift: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw for each of `count` images of a (height, width) how it is moved.

    Returns:
        For rows, then for columns, the whole pixels (N,), from below 0 on, and the sixteenths of a pixel (N,) beyond.
    """
    moves = []
    for side in size:
        margin = math.ceil(max_shift * side)
        sixteenths = np.rint(FRACTIONS * (margin + rng.uniform(-max_shift * side, max_shift * side, count))).astype(int)
        pixels, fractions = np.divmod(sixteenths, FRACTIONS)
        moves.append((pixels - margin, fractions))
    return moves


def _pad(images: np.ndarray, margins: list[int], more: int = 0) -> np.ndarray:
    """Add black margins on all sides, and `more` pixels below and on the right."""
    return np.pad(images, ((0, 0), *((margin, margin + more) for margin in margins), (0, 0)))


def _take_windows(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Cut a window of one size out of each image (N, H, W, C), at its own row and column."""
    windows = np.lib.stride_tricks.sliding_window_view(images, tuple(size), axis=(1, 2))  # (N, ..., ..., C, H, W)
    return np.moveaxis(windows[np.arange(len(images)), rows, columns], 1, -1)

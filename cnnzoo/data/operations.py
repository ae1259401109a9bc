"""The operations of TrivialAugment and RandAugment, on pixels (H, W, 1) or (H, W, 3) of type uint8.

Both papers define them by Pillow's functions; `tests/data/test_operations.py` compares them with torchvision's. What
NumPy does faster, with the same result, NumPy does. Geometric operations interpolate bilinearly and fill with gray of
level 128, as the authors of RandAugment do.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.data.policies import Draw

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

FILL = 128  # the level of what moves into an image: middle gray
LEVELS = 31  # of TrivialAugment's strength, including 0
STRIP_VALUES = 2**15  # as float32, 128 kB


def shear_x(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Move each row left by `amount` of its distance from the top."""
    return _transform(pixels, (1, amount, 0, 0, 1, 0))


def shear_y(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Move each column up by `amount` of its distance from the left side."""
    return _transform(pixels, (1, 0, 0, amount, 1, 0))


def _transform(pixels: np.ndarray, matrix: tuple[float, ...]) -> np.ndarray:
    """Take each pixel (x, y) from (ax + by + c, dx + ey + f) of the image; `matrix` is (a, b, c, d, e, f)."""
    from PIL import Image

    image, fill = _to_pillow(pixels), (FILL,) * pixels.shape[2]
    method, resampling = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return _to_pixels(image.transform(image.size, method, matrix, resampling, fillcolor=fill))


def translate_x(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Move the image to the right by whole pixels."""
    moved, x = np.full_like(pixels, FILL), int(amount)
    moved[:, max(x, 0) : max(pixels.shape[1] + x, 0)] = pixels[:, max(-x, 0) : max(pixels.shape[1] - x, 0)]
    return moved


def translate_y(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Move the image down by whole pixels."""
    return translate_x(pixels.swapaxes(0, 1), amount).swapaxes(0, 1)


def rotate(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Turn the image counterclockwise around its center by `amount` degrees."""
    from PIL import Image

    fill = (FILL,) * pixels.shape[2]
    return _to_pixels(_to_pillow(pixels).rotate(amount, Image.Resampling.BILINEAR, fillcolor=fill))


def brightness(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the levels by 1 + `amount`."""
    return _move_from_level(0, pixels, amount)


def contrast(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the distances of the levels from the mean brightness by 1 + `amount`."""
    mean = int(_to_pixels(_to_pillow(pixels).convert("L")).mean() + 0.5)
    return _move_from_level(mean, pixels, amount)


def _move_from_level(level: int, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the distances of the pixels from a level by 1 + `amount`."""
    moved = np.empty_like(pixels)
    for rows in _strips(pixels):
        moved[rows] = _extrapolate(np.float32(level), pixels[rows], amount)
    return moved


def color(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the distances of the colors from gray by 1 + `amount`; gray images stay as they are."""
    from PIL import Image

    if pixels.shape[2] == 1:
        return pixels
    image = _to_pillow(pixels)
    return _to_pixels(Image.blend(image.convert("L").convert("RGB"), image, 1 + amount))


def sharpness(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the distances from a smoothed image by 1 + `amount`: below 0 blurs, above 0 sharpens.

    The smoothed image is that of Pillow's `ImageFilter.SMOOTH`: the mean of 3 x 3 pixels, in which the middle one
    counts five times; pixels at the border stay as they are.
    """
    height, width = pixels.shape[:2]
    sharpened = pixels.copy()
    if min(height, width) < 3:
        return sharpened
    for rows in _strips(pixels[1:-1]):
        wide = pixels[rows.start : rows.stop + 2].astype("uint16")
        columns = wide[:-2] + wide[1:-1] + wide[2:]
        middle = wide[1:-1, 1:-1]
        smooth = (columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:] + 4 * middle + 6) // 13
        inner = slice(rows.start + 1, rows.stop + 1), slice(1, width - 1)
        sharpened[inner] = _extrapolate(smooth.astype("float32"), pixels[inner], amount)
    return sharpened


def _strips(pixels: np.ndarray) -> Iterator[slice]:
    """Yield the rows of an image in parts whose intermediate results are small.

    What takes more than some hundred kilobytes comes fresh from the system every time, which takes several times as
    long as the arithmetic.
    """
    step = max(STRIP_VALUES // (pixels.shape[1] * pixels.shape[2]), 1)
    for start in range(0, len(pixels), step):
        yield slice(start, min(start + step, len(pixels)))


def _extrapolate(base: "np.ndarray | np.float32", pixels: np.ndarray, amount: float) -> np.ndarray:
    """Return base + (1 + amount) * (pixels - base), rounded down and clipped, as Pillow's `Image.blend` does."""
    blended = pixels - base  # float32
    blended *= np.float32(1 + amount)
    blended += base
    return np.clip(blended, 0, 255, out=blended).astype("uint8")


def posterize(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Keep the `amount` highest bits of each level."""
    return pixels & np.uint8(256 - 2 ** (8 - round(amount)))


def solarize(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Invert the levels from `amount` on."""
    return pixels ^ (np.uint8(255) * (pixels >= math.ceil(amount)))


def auto_contrast(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Stretch the levels of each channel to 0 to 255."""
    image = _to_pillow(pixels)
    low, high = np.array(image.getextrema()).reshape(-1, 2, 1).swapaxes(0, 1)
    scale = 255 / np.maximum(high - low, 1)
    tables = np.clip(np.trunc(np.arange(256) * scale - low * scale), 0, 255)
    return _look_up(image, np.where(high > low, tables, np.arange(256)))


def equalize(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Spread the levels of each channel so that all are about equally frequent."""
    image = _to_pillow(pixels)
    histograms = np.array(image.histogram()).reshape(-1, 256)
    counts = histograms.cumsum(axis=1)
    # The highest level is left out of the step, so that it becomes 255
    highest = 255 - (histograms[:, ::-1] > 0).argmax(axis=1)
    step = (counts[:, -1] - histograms[np.arange(len(histograms)), highest]) // 255
    spread = (step[:, None] // 2 + counts - histograms) // np.maximum(step, 1)[:, None]
    return _look_up(image, np.where(step[:, None] > 0, np.minimum(spread, 255), np.arange(256)))


def _look_up(image: "PillowImage", tables: np.ndarray) -> np.ndarray:
    """Replace the levels of each channel by those of its table (256,)."""
    return _to_pixels(image.point(tables.astype("uint8").tobytes()))


def identity(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Return the image as it is."""
    return pixels


def _to_pillow(pixels: np.ndarray) -> "PillowImage":
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _to_pixels(image: "PillowImage") -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


@dataclass(frozen=True)
class Operation:
    """An operation and how strong it may be.

    Attributes:
        name: its name in the papers, in our spelling.
        apply: the function of the pixels and the amount.
        trivial: the amounts of TrivialAugment (Wide) at strength 0 and 1.
        rand: those of RandAugment.
        signed: whether half of the amounts are negative.
        of_side: whether `rand` are shares of the image's side.
    """

    name: str
    apply: Callable[[np.ndarray, float], np.ndarray]
    trivial: tuple[float, float] = (0, 0)
    rand: tuple[float, float] = (0, 0)
    signed: bool = False
    of_side: bool = False


# Ranges: Müller and Hutter 2021, arXiv:2103.10158, table 1 ("Wide"); Cubuk et al. 2019, arXiv:1909.13719, with the
# ranges of Cubuk et al. 2018, arXiv:1805.09501, table 6: their translations are of 150 of 331 pixels
OPERATIONS = (
    Operation("identity", identity),
    Operation("shear_x", shear_x, (0, 0.99), (0, 0.3), signed=True),
    Operation("shear_y", shear_y, (0, 0.99), (0, 0.3), signed=True),
    Operation("translate_x", translate_x, (0, 32), (0, 150 / 331), signed=True, of_side=True),
    Operation("translate_y", translate_y, (0, 32), (0, 150 / 331), signed=True, of_side=True),
    Operation("rotate", rotate, (0, 135), (0, 30), signed=True),
    Operation("brightness", brightness, (0, 0.99), (0, 0.9), signed=True),
    Operation("color", color, (0, 0.99), (0, 0.9), signed=True),
    Operation("contrast", contrast, (0, 0.99), (0, 0.9), signed=True),
    Operation("sharpness", sharpness, (0, 0.99), (0, 0.9), signed=True),
    Operation("posterize", posterize, (8, 2), (8, 4)),
    Operation("solarize", solarize, (256, 0), (256, 0)),
    Operation("auto_contrast", auto_contrast),
    Operation("equalize", equalize),
)


def draw_operations(draw: Draw, size: Sequence[int], rng: random.Random) -> list[tuple[Operation, float]]:
    """Return operations and their amounts for an image of (height, width)."""
    drawn = []
    for _ in range(draw.count):
        operation = OPERATIONS[int(rng.random() * len(OPERATIONS))]
        strength = int(rng.random() * LEVELS) / (LEVELS - 1) if draw.strength is None else draw.strength
        negative = rng.random() < 0.5
        low, high = operation.trivial if draw.wide else operation.rand
        amount = low + strength * (high - low)
        if operation.of_side and not draw.wide:
            amount *= size[1] if operation.name == "translate_x" else size[0]
        drawn.append((operation, -amount if operation.signed and negative else amount))
    return drawn


def apply_operations(pixels: np.ndarray, operations: list[tuple[Operation, float]]) -> np.ndarray:
    """Apply operations, one after the other, to pixels (H, W, C).

    Gray (1) and RGB (3) images of uint8 are what the operations are defined for. Each channel of others is treated
    as a gray image; pixels of other types are rounded to whole levels first, and keep their type.
    """
    if all(operation.apply is identity for operation, _ in operations):
        return pixels
    if pixels.dtype != np.uint8:
        levels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
        return apply_operations(levels, operations).astype(pixels.dtype)
    if pixels.shape[2] not in (1, 3):
        planes = [apply_operations(pixels[..., i : i + 1], operations) for i in range(pixels.shape[2])]
        return np.concatenate(planes, axis=2)
    for operation, amount in operations:
        pixels = operation.apply(pixels, amount)
    return pixels

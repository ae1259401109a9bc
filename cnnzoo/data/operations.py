"""The operations of TrivialAugment and RandAugment, on gray and RGB images of Pillow.

Both papers define them by Pillow's functions; `tests/data/test_operations.py` compares them with torchvision's.
Geometric operations interpolate bilinearly and fill with gray of level 128, as the authors of RandAugment do.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.data.policies import Draw

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

FILL = 128  # the level of what moves into an image: middle gray
LEVELS = 31  # of TrivialAugment's strength, including 0
RAMP = bytes(range(256))


def _transform(image: "PillowImage", matrix: tuple[float, ...]) -> "PillowImage":
    """Take each pixel (x, y) from (ax + by + c, dx + ey + f) of the image; `matrix` is (a, b, c, d, e, f)."""
    from PIL import Image

    fill = (FILL,) * len(image.getbands())
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill)


def shear_x(image: "PillowImage", amount: float) -> "PillowImage":
    """Move each row left by `amount` of its distance from the top."""
    return _transform(image, (1, amount, 0, 0, 1, 0))


def shear_y(image: "PillowImage", amount: float) -> "PillowImage":
    """Move each column up by `amount` of its distance from the left side."""
    return _transform(image, (1, 0, 0, amount, 1, 0))


def translate_x(image: "PillowImage", amount: float) -> "PillowImage":
    """Move the image to the right by whole pixels."""
    return _paste(image, int(amount), 0)


def translate_y(image: "PillowImage", amount: float) -> "PillowImage":
    """Move the image down by whole pixels."""
    return _paste(image, 0, int(amount))


def _paste(image: "PillowImage", x: int, y: int) -> "PillowImage":
    from PIL import Image

    moved = Image.new(image.mode, image.size, (FILL,) * len(image.getbands()))
    moved.paste(image, (x, y))
    return moved


def rotate(image: "PillowImage", amount: float) -> "PillowImage":
    """Turn the image counterclockwise around its center by `amount` degrees."""
    from PIL import Image

    return image.rotate(amount, Image.Resampling.BILINEAR, fillcolor=(FILL,) * len(image.getbands()))


def brightness(image: "PillowImage", amount: float) -> "PillowImage":
    """Multiply the levels by 1 + `amount`."""
    return _blend_with_level(image, 0, 1 + amount)


def contrast(image: "PillowImage", amount: float) -> "PillowImage":
    """Multiply the distances of the levels from the mean brightness by 1 + `amount`."""
    histogram = np.array(image.convert("L").histogram())
    mean = int(histogram @ np.arange(256) / histogram.sum() + 0.5)
    return _blend_with_level(image, mean, 1 + amount)


def _blend_with_level(image: "PillowImage", level: int, factor: float) -> "PillowImage":
    """Blend the image with a constant one, as Pillow's `ImageEnhance` does, by a table of the 256 levels."""
    from PIL import Image

    ramp = Image.frombytes("L", (256, 1), RAMP)
    table = Image.blend(Image.new("L", (256, 1), level), ramp, factor).tobytes()
    return image.point(table * len(image.getbands()))


def color(image: "PillowImage", amount: float) -> "PillowImage":
    """Multiply the distances of the colors from gray by 1 + `amount`; gray images stay as they are."""
    from PIL import Image

    return image if image.mode == "L" else Image.blend(image.convert("L").convert("RGB"), image, 1 + amount)


def sharpness(image: "PillowImage", amount: float) -> "PillowImage":
    """Multiply the distances from a smoothed image by 1 + `amount`: below 0 blurs, above 0 sharpens."""
    from PIL import Image, ImageFilter

    return Image.blend(image.filter(ImageFilter.SMOOTH), image, 1 + amount)


def posterize(image: "PillowImage", amount: float) -> "PillowImage":
    """Keep the `amount` highest bits of each level."""
    mask = 256 - 2 ** (8 - round(amount))
    return image.point((np.arange(256) & mask).astype("uint8").tobytes() * len(image.getbands()))


def solarize(image: "PillowImage", amount: float) -> "PillowImage":
    """Invert the levels from `amount` on."""
    levels = np.arange(256)
    table = np.where(levels < amount, levels, 255 - levels).astype("uint8").tobytes()
    return image.point(table * len(image.getbands()))


def auto_contrast(image: "PillowImage", amount: float) -> "PillowImage":
    """Stretch the levels of each channel to 0 to 255."""
    extrema = np.array(image.getextrema()).reshape(-1, 1, 2)
    low, high = extrema[..., 0], extrema[..., 1]
    scale = 255 / np.maximum(high - low, 1)
    tables = np.clip(np.trunc(np.arange(256) * scale - low * scale), 0, 255)
    tables = np.where(high > low, tables, np.arange(256))
    return image.point(tables.astype("uint8").tobytes())


def equalize(image: "PillowImage", amount: float) -> "PillowImage":
    """Spread the levels of each channel so that all are about equally frequent."""
    histograms = np.array(image.histogram()).reshape(-1, 256)
    counts = histograms.cumsum(axis=1)
    # The highest level is left out of the step, so that it becomes 255
    highest = 255 - (histograms[:, ::-1] > 0).argmax(axis=1)
    step = (counts[:, -1] - histograms[np.arange(len(histograms)), highest]) // 255
    spread = (step[:, None] // 2 + counts - histograms) // np.maximum(step, 1)[:, None]
    tables = np.where(step[:, None] > 0, np.minimum(spread, 255), np.arange(256))
    return image.point(tables.astype("uint8").tobytes())


def identity(image: "PillowImage", amount: float) -> "PillowImage":
    """Return the image as it is."""
    return image


@dataclass(frozen=True)
class Operation:
    """An operation and how strong it may be.

    Attributes:
        name: its name in the papers, in our spelling.
        apply: the function of the image and the amount.
        trivial: the amounts of TrivialAugment (Wide) at strength 0 and 1.
        rand: those of RandAugment.
        signed: whether half of the amounts are negative.
        of_side: whether `rand` are shares of the image's side.
    """

    name: str
    apply: Callable[["PillowImage", float], "PillowImage"]
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
    operations = [(operation, amount) for operation, amount in operations if operation.apply is not identity]
    if not operations:
        return pixels
    if pixels.dtype != np.uint8:
        levels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
        return apply_operations(levels, operations).astype(pixels.dtype)
    if pixels.shape[2] not in (1, 3):
        planes = [apply_operations(pixels[..., i : i + 1], operations) for i in range(pixels.shape[2])]
        return np.concatenate(planes, axis=2)
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    for operation, amount in operations:
        image = operation.apply(image, amount)
    return np.asarray(image).reshape(pixels.shape)

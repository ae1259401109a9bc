"""Images with more than 8 bits per channel: read their levels and scale them to 8 bits."""

import io
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Levels = tuple[float, float]  # the level that becomes black and the level that becomes white

FULL_RANGE = 65535  # of 16 bits
COMMON_BIT_DEPTHS = (8, 10, 12, 14)  # of cameras and scanners that store their levels in 16 bits
STRIP_PIXELS = 2**20  # pixels that are converted at once, to save memory
# Pillow keeps only the upper bytes of color images. Each pair reads the upper and the lower bytes of 16 bits.
UPPER_AND_LOWER = {
    "16B": ("16B", "16L"),
    "16L": ("16L", "16B"),
    "16N": ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L"),
}


def has_deep_levels(image: "PillowImage") -> bool:
    """Return whether an opened image stores more than 8 bits per channel."""
    return image.mode.startswith(("I", "F")) or _deep_color_mode(image) is not None


def _deep_color_mode(image: "PillowImage") -> tuple[str, str] | None:
    """Return the two halves of Pillow's name of 16-bit color, as ("RGB", "16B"), or None for other images."""
    tiles = getattr(image, "tile", None)
    arguments: Any = tiles[0][3] if tiles else ""
    raw_mode = str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    color, _, depth = raw_mode.partition(";")
    return (color, depth) if color in ("LA", "RGB", "RGBA", "RGBX") and depth in UPPER_AND_LOWER else None


def read_levels(image: "PillowImage") -> np.ndarray:
    """Read the full levels of an opened image; see `iter_levels`."""
    return np.concatenate(list(iter_levels(image)))


def iter_levels(image: "PillowImage") -> Iterator[np.ndarray]:
    """Yield the full levels of an opened image that has not been decoded yet, some rows at a time to save memory.

    Yields:
        (rows, W) of gray images, in their own type; uint16 (rows, W, 3 or 4) of color images, with or without opacity.
        See `has_deep_levels`.
    """
    color_mode = _deep_color_mode(image)
    rows = max(1, STRIP_PIXELS // image.width)
    if color_mode is None:
        levels = np.asarray(image)
        yield from (levels[top : top + rows] for top in range(0, len(levels), rows))
        return
    color, depth = color_mode
    fp: Any = image.fp  # type: ignore[attr-defined]
    position = fp.tell()
    fp.seek(0)
    content = fp.read()
    fp.seek(position)
    if color == "LA":  # two values of two bytes, read as four bytes
        values = np.asarray(_open_as(content, "RGBA"))
        upper, lower = values[..., [0, 0, 0, 2]], values[..., [1, 1, 1, 3]]
    else:
        upper, lower = (np.asarray(_open_as(content, f"{color};{name}")) for name in UPPER_AND_LOWER[depth])
    for top in range(0, len(upper), rows):
        yield upper[top : top + rows].astype("uint16") << 8 | lower[top : top + rows]


def _open_as(content: bytes, raw_mode: str) -> "PillowImage":
    """Open an image so that its bytes are read in another of Pillow's raw modes."""
    from PIL import Image

    image: Any = Image.open(io.BytesIO(content), formats=("PNG", "TIFF"))
    arguments = image.tile[0][3]
    arguments = (raw_mode, *arguments[1:]) if isinstance(arguments, tuple) else raw_mode
    image.tile = [tile._replace(args=arguments) for tile in image.tile]
    return image


def scale_levels(levels: np.ndarray, limits: Levels | None) -> np.ndarray:
    """Scale levels to 0 to 255, uint8.

    Args:
        levels: numbers of any shape.
        limits: the levels that become 0 and 255; levels outside are clipped. None stands for 0 and 65,535.

    Raises:
        InputError: if `limits` is None and the levels are fractions or outside 0 to 65,535, or if some are NaN.
    """
    flat = levels.reshape(-1)
    scaled = np.empty(flat.shape, "uint8")
    if limits is None:
        low, high = flat.min().item(), flat.max().item()
        if flat.dtype.kind == "f" or low < 0 or high > FULL_RANGE:
            raise InputError(explain_levels(flat.dtype.kind == "f", low, high))
    for start in range(0, len(flat), STRIP_PIXELS):
        part = flat[start : start + STRIP_PIXELS].astype("float64")
        if limits is None:
            part = np.round(part / 257)
        elif np.isnan(part).any():
            raise InputError("some pixels are NaN")
        else:
            # The same operations as in `runtimes.decode_graph`, so that both round alike
            part = np.clip(np.floor((part - limits[0]) * 255 / (limits[1] - limits[0]) + 0.5), 0, 255)
        scaled[start : start + STRIP_PIXELS] = part
    return scaled.reshape(levels.shape)


def explain_levels(is_fraction: bool, low: float, high: float) -> str:
    """Return why an image with these levels cannot be scaled to 8 bits, and what to do."""
    remedy = "levels=(low, high) says which level is black and which is white"
    if is_fraction:
        return f"32-bit floating-point images have no agreed range; {remedy}, as in levels=(0, 1)"
    return f"gray levels must be 0 to {FULL_RANGE}. Received: {low} to {high}; {remedy}"


def scale_deep_array(images: np.ndarray, limits: Levels | None) -> np.ndarray:
    """Scale an array of 16-bit integers by the `levels` of a transform; return others unchanged.

    Wider types often hold 8-bit images too, so they are scaled only where a user asks for it, see `scale_source`.
    """
    is_deep = limits is not None and images.dtype.kind in "ui" and images.dtype.itemsize == 2
    return scale_levels(images, limits) if is_deep else images


def scale_source(parts: Mapping[str, Any], limits: Levels | None) -> Mapping[str, Any]:
    """Scale the images of (x, y), given by split, unless they are uint8; return other values unchanged."""
    return {split: _scale_part(part, limits) for split, part in parts.items()}


def _scale_part(part: Any, limits: Levels | None) -> Any:
    if limits is None or not isinstance(part, tuple | list) or len(part) < 2:
        return part
    images = np.asarray(part[0])
    is_deep = images.dtype.kind in "uif" and images.dtype.itemsize > 1
    return (scale_levels(images, limits) if is_deep else images, *part[1:])


def guess_bit_depth(highest: int) -> int | None:
    """Return the bits that a camera with levels up to `highest` probably has, or None if 16 bits are used.

    Example:
        >>> from cnnzoo.data.bit_depth import guess_bit_depth
        >>> guess_bit_depth(4080), guess_bit_depth(60_000)
        (12, None)
    """
    return next((bits for bits in COMMON_BIT_DEPTHS if highest < 2**bits), None)

"""Geometry of resizing and cropping: the same sizes and offsets for files, arrays and graphs."""

from collections.abc import Sequence
from typing import Any

from cnnzoo.core.errors import InputError, check_integer
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")

# Keras' names of the filters, with Pillow's numbers for them.
INTERPOLATIONS = {"nearest": 0, "lanczos3": 1, "bilinear": 2, "bicubic": 3}


def inner_size(size: Sequence[int], pad: int) -> tuple[int, int]:
    """Return the (height, width) inside a border of `pad` pixels; raises InputError if nothing is left."""
    height, width = size
    if 2 * check_integer("pad", pad, 0, 65_535) >= min(height, width):
        raise InputError(f"A border of {pad} pixels leaves nothing of {height}x{width}")
    return height - 2 * pad, width - 2 * pad


def resized_size(height: Any, width: Any, size: tuple[int, int], crop: float | None) -> tuple[Any, Any]:
    """Return the size that an image is resized to before its center is cropped to `size`.

    The aspect ratio is kept, and `size` is the share `crop` of the side that limits it. Without `crop`, the whole image
    is resized to `size`. Equal to torchvision's Resize and CenterCrop: 256 and 224 are a crop of 0.875.

    Args:
        height, width: the size of the image, as numbers or as tensors.
        size: (height, width) after cropping.
        crop: above 0 and at most 1, or None.
    """
    if crop is None:
        return size
    rows, columns = (round(side / crop) for side in size)
    larger = max if isinstance(height, int) and isinstance(width, int) else keras.ops.maximum
    return larger(rows, height * columns // width), larger(columns, width * rows // height)


def center_offset(outer: Any, side: int) -> Any:
    """Return where the central `side` pixels of `outer` begin; a half rounds to even, as in torchvision."""
    rest = outer - side
    return rest // 2 + rest % 2 * (rest // 2 % 2)


def resize_images(
    images: Any, shape: Sequence[int], pad: int = 0, crop: float | None = None, interpolation: str = "bilinear"
) -> Any:
    """Resize images to `shape` with antialiasing, as Pillow does; works on arrays and inside graphs.

    Gray becomes RGB by repetition, RGB becomes gray by luminance. Images that already have the size inside the border
    are not cropped.

    Args:
        images: (N, H, W, C), 0 to 255.
        shape: (height, width, channels) of the result.
        pad: black pixels on each side, within `shape`.
        crop: share of the side that is kept; see `resized_size`.
        interpolation: a name in `INTERPOLATIONS`.

    Returns:
        float32 in whole levels, (N, height, width, channels).
    """
    ops = keras.ops
    channels, size = shape[2], inner_size(shape[:2], pad)

    # Channels
    x = ops.cast(images, "float32")
    if x.shape[-1] != channels:
        if (x.shape[-1], channels) == (1, 3):
            x = ops.repeat(x, 3, axis=-1)
        elif (x.shape[-1], channels) == (3, 1):
            x = ops.image.rgb_to_grayscale(x, data_format="channels_last")
        else:
            plural = "" if channels == 1 else "s"
            raise InputError(f"The model takes images with {channels} channel{plural}. Received: {x.shape[-1]}")

    # Size before cropping: numbers, or tensors if the graph takes images of any size
    height, width = ops.shape(x)[1:3]
    rows, columns = resized_size(height, width, size, crop)
    if isinstance(height, int) and isinstance(width, int):
        rows, columns = size if (height, width) == size else (rows, columns)
    else:
        has_size = ops.logical_and(height == size[0], width == size[1])
        rows, columns = (ops.where(has_size, a, b) for a, b in zip(size, (rows, columns), strict=True))

    # Resize in two passes with whole levels in between, as Pillow does
    for sides in ((height, columns), (rows, columns)):
        x = ops.clip(ops.round(_resize_once(x, sides, interpolation)), 0, 255)

    # Crop and pad
    if crop is not None:
        top, left = center_offset(rows, size[0]), center_offset(columns, size[1])
        x = ops.reshape(x[:, top : top + size[0], left : left + size[1]], (-1, *size, channels))
    return ops.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x


def _resize_once(x: Any, size: Sequence[Any], interpolation: str) -> Any:
    """Resize (N, H, W, C) to a size in numbers or tensors, with antialiasing."""
    if all(isinstance(side, int) for side in size):
        return keras.ops.image.resize(x, size, interpolation, antialias=True, data_format="channels_last")
    import tensorflow as tf  # in a graph for images of any size, sizes are tensors, but Keras' operation needs numbers

    return tf.image.resize(x, size, interpolation, antialias=True)

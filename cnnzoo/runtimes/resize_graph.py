"""Resize and crop decoded pixels in a TensorFlow graph, with the same result as Pillow to the last bit."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.data.resize import inner_size, resized_size
from cnnzoo.data.transform import Transform

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

WEIGHT_BITS = 22  # Pillow resizes 8-bit images with integer weights of this many fractional bits
FILTER_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos3": 3.0}  # radius of each filter in pixels
LUMA_WEIGHTS = (19595, 38470, 7471)  # ITU-R 601-2 in units of 1/65536, as Pillow rounds it


def resize_in_graph(images: tf.Tensor, transform: Transform, keep_matching: bool = True) -> tf.Tensor:
    """Apply `transform` to a batch of images: convert the channels, resize, crop and pad.

    Args:
        images: uint8 (N, H, W, C) of any size.
        transform: size, crop, interpolation and padding of the network's input.
        keep_matching: whether images that already have the size inside the padding stay unchanged: arrays do, files
            are not: they are always resized and cropped.

    Returns:
        uint8 (N, height, width, channels).
    """
    height, width = inner_size(transform.size, transform.pad)
    x = _convert_channels(images, transform.channels)
    if not keep_matching:
        x = _resize_and_crop(x, transform)
    elif tuple(x.shape[1:3]) != (height, width):
        rows, columns = tf.unstack(tf.shape(x)[1:3])
        is_matching = tf.logical_and(tf.equal(rows, height), tf.equal(columns, width))
        x = tf.cond(is_matching, lambda: x, lambda: _resize_and_crop(x, transform))
    x = tf.ensure_shape(x, (None, height, width, transform.channels))
    return tf.pad(x, ((0, 0), (transform.pad,) * 2, (transform.pad,) * 2, (0, 0))) if transform.pad else x


def _convert_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Repeat gray images to RGB, or reduce RGB images to their luminance."""
    received = images.shape[-1]
    if received == channels:
        return images
    if (received, channels) == (1, 3):
        return tf.repeat(images, 3, axis=-1)
    if (received, channels) == (3, 1):
        levels = tf.reduce_sum(tf.cast(images, tf.int32) * tf.constant(LUMA_WEIGHTS), axis=-1, keepdims=True)
        return tf.cast((levels + 2**15) // 2**16, tf.uint8)
    raise InputError(f"The model takes images with {channels} channels. Received: {received}")


def _resize_and_crop(images: tf.Tensor, transform: Transform) -> tf.Tensor:
    """Resize and crop images to the size inside the padding, with the arithmetic of the transform and of Pillow."""
    size = inner_size(transform.size, transform.pad)
    sides = tf.unstack(tf.shape(images)[1:3])

    # For each axis, the weights that take the crop out of the whole image: (target side, image side).
    weights = list[Any]()
    resized_sides = resized_size(sides[0], sides[1], size, transform.crop)
    for side, resized_side, target_side in zip(sides, resized_sides, size, strict=True):
        side, resized_side = tf.cast(side, tf.float64), tf.cast(resized_side, tf.float64)
        begin = _center_offset(resized_side, target_side) * side / resized_side
        end = tf.minimum(begin + target_side * (side / resized_side), side)
        weights.append(_filter_weights(side, begin, end, target_side, transform.interpolation))
    x = tf.cast(images, tf.float64)

    def resize_rows(x: tf.Tensor) -> tf.Tensor:
        return _resize_first_axis(weights[0], x)

    def resize_columns(x: tf.Tensor) -> tf.Tensor:
        return tf.transpose(_resize_first_axis(weights[1], tf.transpose(x, (0, 2, 1, 3))), (0, 2, 1, 3))

    # The order of the axes matters, because pixels are rounded to 8 bits in between.
    if not pillow_resizes_rows_first():
        x = resize_rows(resize_columns(x))
    else:
        removed = [side - target_side for side, target_side in zip(sides, size, strict=True)]
        x = tf.cond(
            (removed[0] > 0) & (removed[0] > 2 * removed[1]),
            lambda: resize_columns(resize_rows(x)),
            lambda: resize_rows(resize_columns(x)),
        )
    return tf.cast(x, tf.uint8)


@cache
def pillow_resizes_rows_first() -> bool:
    """Return whether the installed Pillow resizes the rows first where many are removed, as it does since version 13.

    The order changes the rounding.
    """
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 20), "uint8"))
    at_once, rows_first = noise.resize((15, 10), 2), noise.resize((20, 10), 2).resize((15, 10), 2)
    return at_once.tobytes() == rows_first.tobytes()


def _center_offset(side: Any, target_side: int) -> Any:
    """Compute `data.resize.center_offset` for whole numbers stored as floats."""
    rest = side - target_side
    half = tf.floor(rest / 2)
    return half + (rest - 2 * half) * (half - 2 * tf.floor(half / 2))


def _resize_first_axis(weights: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Resize the first image axis.

    Args:
        weights: (target side, image side), whole numbers in units of 2**-22.
        images: float64 (N, image side, other side, C).

    Returns:
        Images (N, target side, other side, C), rounded to pixel values. All sums are whole numbers below 2**53, so
        float64 computes them exactly.
    """
    sums = tf.matmul(
        weights, tf.reshape(images, tf.stack([-1, tf.shape(images)[1], tf.reduce_prod(tf.shape(images)[2:])]))
    )
    levels = tf.clip_by_value(tf.floor((sums + 2 ** (WEIGHT_BITS - 1)) / 2**WEIGHT_BITS), 0, 255)
    return tf.reshape(levels, tf.stack([-1, weights.shape[0], *tf.unstack(tf.shape(images)[2:])]))


def _filter_weights(side: Any, begin: Any, end: Any, target_side: int, interpolation: str) -> tf.Tensor:
    """Return how much each target pixel takes of each pixel between `begin` and `end`.

    Returns:
        (target side, image side), whole numbers in units of 2**-22.
    """
    positions = tf.range(side, dtype=tf.float64)
    begin, end = tf.cast(begin, tf.float32), tf.cast(end, tf.float32)  # Pillow stores a box in float32
    scale = tf.cast(end - begin, tf.float64) / target_side
    centers = (tf.cast(begin, tf.float64) + (tf.range(target_side, dtype=tf.float64) + 0.5) * scale)[:, None]
    if interpolation == "nearest":
        # Pillow adds up the steps one after the other; multiplying would round differently.
        steps = tf.fill([target_side], scale) - tf.one_hot(0, target_side, dtype=tf.float64) * (scale / 2)
        nearest = tf.floor(tf.cast(begin, tf.float64) + tf.cumsum(steps))[:, None]
        return tf.where(
            tf.equal(positions, nearest), tf.constant(2.0**WEIGHT_BITS, tf.float64), tf.constant(0.0, tf.float64)
        )

    # When an image shrinks, the filter is stretched over all the pixels that it replaces.
    stretch = tf.maximum(scale, 1.0)
    support = FILTER_SUPPORT[interpolation] * stretch
    low, high = tf.maximum(tf.floor(centers - support + 0.5), 0), tf.floor(centers + support + 0.5)
    values = _filter_value((positions - centers + 0.5) / stretch, interpolation)
    values = tf.where((positions >= low) & (positions < high), values, tf.zeros_like(values))

    # Normalize, then round to integers, halves away from zero.
    values /= tf.reduce_sum(values, axis=1, keepdims=True)
    return tf.sign(values) * tf.floor(tf.abs(values) * 2**WEIGHT_BITS + 0.5)


def _filter_value(x: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Return the value of a filter at a distance of `x` pixels from its center."""
    x, zero = tf.abs(x), tf.zeros_like(x)
    if interpolation == "bilinear":
        return tf.maximum(1 - x, 0)
    if interpolation == "bicubic":  # Keys 1981, with a = -1/2
        near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
        return tf.where(x < 1, near, tf.where(x < 2, far, zero))
    angle = math.pi * tf.where(x > 0, x, tf.ones_like(x))
    lobes = tf.sin(angle) / angle * (tf.sin(angle / 3) / (angle / 3))
    return tf.where(x < 3, tf.where(x > 0, lobes, tf.ones_like(x)), zero)

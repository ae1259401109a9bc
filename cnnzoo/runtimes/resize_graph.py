"""Decoded pixels to what a network takes, in a TensorFlow graph: Pillow's own pixels, where there is no Pillow."""

import math
from functools import cache
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.data.resize import inner_size, resized_size
from cnnzoo.data.transform import Transform

tf = Lazy("tensorflow")

WEIGHT_BITS = 22  # of the whole numbers that Pillow's weights for 8-bit images are
FILTER_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos3": 3.0}  # pixels on each side that a filter sees
LUMA_WEIGHTS = (19595, 38470, 7471)  # of 65,536: ITU-R 601-2, as Pillow rounds it


def resize_in_graph(images: Any, transform: Transform, ready: bool = True) -> Any:
    """Images uint8 (N, H, W, C) of any size to uint8 (N, height, width, channels), as `transform` makes them.

    With `ready`, images of the right size within the border are neither resized nor cropped, like arrays; files are.
    """
    height, width = inner_size(transform.size, transform.pad)
    x = _convert_channels(images, transform.channels)
    if not ready:
        x = _resize_and_crop(x, transform)
    elif tuple(x.shape[1:3]) != (height, width):
        rows, columns = tf.unstack(tf.shape(x)[1:3])
        there = tf.logical_and(tf.equal(rows, height), tf.equal(columns, width))
        x = tf.cond(there, lambda: x, lambda: _resize_and_crop(x, transform))
    x = tf.ensure_shape(x, (None, height, width, transform.channels))
    return tf.pad(x, ((0, 0), (transform.pad,) * 2, (transform.pad,) * 2, (0, 0))) if transform.pad else x


def _convert_channels(images: Any, channels: int) -> Any:
    """Gray becomes RGB by repetition, RGB becomes gray by luminance."""
    given = images.shape[-1]
    if given == channels:
        return images
    if (given, channels) == (1, 3):
        return tf.repeat(images, 3, axis=-1)
    if (given, channels) == (3, 1):
        levels = tf.reduce_sum(tf.cast(images, tf.int32) * tf.constant(LUMA_WEIGHTS), axis=-1, keepdims=True)
        return tf.cast((levels + 2**15) // 2**16, tf.uint8)
    raise InputError(f"The model takes images of {channels} channels. Received: {given}")


def _resize_and_crop(x: Any, transform: Transform) -> Any:
    """Resize, crop and pad an image by the same arithmetic as Transform.resize_and_crop and Pillow."""
    size = inner_size(transform.size, transform.pad)
    sides = tf.unstack(tf.shape(x)[1:3])
    taps = list[Any]()
    for outer, whole, side in zip(sides, resized_size(sides[0], sides[1], size, transform.crop), size, strict=True):
        outer, whole = tf.cast(outer, tf.float64), tf.cast(whole, tf.float64)
        begin = _center_offset(whole, side) * outer / whole
        end = tf.minimum(begin + side * (outer / whole), outer)
        taps.append(_filter_weights(outer, begin, end, side, transform.interpolation))
    x = tf.cast(x, tf.float64)

    def rows(x: Any) -> Any:
        return _apply_weights(taps[0], x)

    def columns(x: Any) -> Any:
        return tf.transpose(_apply_weights(taps[1], tf.transpose(x, (0, 2, 1, 3))), (0, 2, 1, 3))

    if not pillow_resizes_rows_first():
        x = rows(columns(x))
    else:
        less = [side - to for side, to in zip(sides, size, strict=True)]
        x = tf.cond((less[0] > 0) & (less[0] > 2 * less[1]), lambda: columns(rows(x)), lambda: rows(columns(x)))
    return tf.cast(x, tf.uint8)


@cache
def pillow_resizes_rows_first() -> bool:
    """Whether the Pillow here begins with the rows where many of them go, which rounds otherwise: from 13 on."""
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 20), "uint8"))
    one, two = noise.resize((15, 10), 2), noise.resize((20, 10), 2).resize((15, 10), 2)
    return one.tobytes() == two.tobytes()


def _center_offset(outer: Any, side: int) -> Any:
    """As resize.center_offset, of whole numbers that are floats."""
    rest = outer - side
    half = tf.floor(rest / 2)
    return half + (rest - 2 * half) * (half - 2 * tf.floor(half / 2))


def _apply_weights(taps: Any, x: Any) -> Any:
    """Sums (N, count, inner, C) of x (N, outer, inner, C) by taps (count, outer), rounded to levels.

    They are of whole numbers below 2**53, so float64 is exact.
    """
    total = tf.matmul(taps, tf.reshape(x, tf.stack([-1, tf.shape(x)[1], tf.reduce_prod(tf.shape(x)[2:])])))
    levels = tf.clip_by_value(tf.floor((total + 2 ** (WEIGHT_BITS - 1)) / 2**WEIGHT_BITS), 0, 255)
    return tf.reshape(levels, tf.stack([-1, taps.shape[0], *tf.unstack(tf.shape(x)[2:])]))


def _filter_weights(outer: Any, begin: Any, end: Any, count: int, interpolation: str) -> Any:
    """What each of `count` pixels takes of `outer` ones between `begin` and `end`: (count, outer), of 2**BITS."""
    at = tf.range(outer, dtype=tf.float64)
    begin, end = tf.cast(begin, tf.float32), tf.cast(end, tf.float32)  # as Pillow takes a box
    scale = tf.cast(end - begin, tf.float64) / count
    centres = (tf.cast(begin, tf.float64) + (tf.range(count, dtype=tf.float64) + 0.5) * scale)[:, None]
    if interpolation == "nearest":
        steps = tf.fill([count], scale) - tf.one_hot(0, count, dtype=tf.float64) * (scale / 2)
        taken = tf.floor(tf.cast(begin, tf.float64) + tf.cumsum(steps))[:, None]  # one after the other, as Pillow adds
        return tf.where(tf.equal(at, taken), tf.constant(2.0**WEIGHT_BITS, tf.float64), tf.constant(0.0, tf.float64))
    stretch = tf.maximum(scale, 1.0)
    support = FILTER_SUPPORT[interpolation] * stretch
    low, high = tf.maximum(tf.floor(centres - support + 0.5), 0), tf.floor(centres + support + 0.5)
    values = _filter_value((at - centres + 0.5) / stretch, interpolation)
    values = tf.where((at >= low) & (at < high), values, tf.zeros_like(values))
    values /= tf.reduce_sum(values, axis=1, keepdims=True)
    return tf.sign(values) * tf.floor(tf.abs(values) * 2**WEIGHT_BITS + 0.5)


def _filter_value(x: Any, interpolation: str) -> Any:
    """The filter's value at a distance of x pixels."""
    x, zero = tf.abs(x), tf.zeros_like(x)
    if interpolation == "bilinear":
        return tf.maximum(1 - x, 0)
    if interpolation == "bicubic":  # Keys 1981, with a = -1/2
        near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
        return tf.where(x < 1, near, tf.where(x < 2, far, zero))
    angle = math.pi * tf.where(x > 0, x, tf.ones_like(x))
    lobes = tf.sin(angle) / angle * (tf.sin(angle / 3) / (angle / 3))
    return tf.where(x < 3, tf.where(x > 0, lobes, tf.ones_like(x)), zero)

"""Resize and crop decoded pixels in a TensorFlow graph, with the same result as Pillow to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
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

STRIP_VALUES = 2**21  # values of an image that are resized at once, to save memory
BLOCK = 32  # target pixels that are computed at once, from the pixels they depend on
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
    x = convert_channels(images, transform.channels)
    if not keep_matching:
        x = _resize_and_crop(x, transform)
    elif tuple(x.shape[1:3]) != (height, width):
        rows, columns = tf.unstack(tf.shape(x)[1:3])
        is_matching = tf.logical_and(tf.equal(rows, height), tf.equal(columns, width))
        # Both branches convert the images. With one that returned them as they are, OpenVINO would give wrong results
        # for RGB whenever the shape of its input has changed.
        resized = tf.cond(
            is_matching,
            lambda: tf.cast(x, tf.float64),
            lambda: tf.cast(_resize_and_crop(x, transform), tf.float64),
        )
        x = tf.cast(resized, tf.uint8)
    x = tf.ensure_shape(x, (None, height, width, transform.channels))
    return tf.pad(x, ((0, 0), (transform.pad,) * 2, (transform.pad,) * 2, (0, 0))) if transform.pad else x


def convert_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
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
    """Resize and crop a batch to the size inside the padding; without loops, which not every format can express."""
    height, width = tf.unstack(tf.shape(images)[1:3])
    axes = _make_axes(height, width, transform)
    x = tf.cast(images, tf.float64)

    def resize_rows(x: tf.Tensor) -> tf.Tensor:
        return axes[0].resize_batch(x)

    def resize_columns(x: tf.Tensor) -> tf.Tensor:
        return tf.transpose(axes[1].resize_batch(tf.transpose(x, (0, 2, 1, 3))), (0, 2, 1, 3))

    x = _in_order_of_pillow(axes, lambda: resize_columns(resize_rows(x)), lambda: resize_rows(resize_columns(x)))
    return tf.cast(x, tf.uint8)


def resize_strips(
    read_strip: Callable[[int, Any, Any], tf.Tensor], height: Any, width: Any, channels: Any, transform: Transform
) -> tf.Tensor:
    """Resize and crop an image, read strip by strip, with the arithmetic of the transform and of Pillow.

    Args:
        read_strip: takes an axis, 0 for rows and 1 for columns, and the first and the last of them (not included), and
            returns these as uint8 (strip, other side, channels).
        height: height of the image.
        width: width of the image.
        channels: number of channels.
        transform: size, crop and interpolation.

    Returns:
        uint8 (height, width, channels) of the size inside the padding.
    """
    rows, columns = _make_axes(height, width, transform)
    return _in_order_of_pillow(
        (rows, columns),
        lambda: tf.transpose(_resize_twice(partial(read_strip, 1), rows, columns, channels), (1, 0, 2)),
        lambda: _resize_twice(partial(read_strip, 0), columns, rows, channels),
    )


def _make_axes(height: Any, width: Any, transform: Transform) -> tuple[_Axis, _Axis]:
    """Return the rows and the columns of an image that is resized and cropped by `transform`."""
    size = inner_size(transform.size, transform.pad)
    sides = [tf.cast(side, tf.int32) for side in (height, width)]
    resized_sides = resized_size(sides[0], sides[1], size, transform.crop)
    axes = []
    for side, resized_side, target_side in zip(sides, resized_sides, size, strict=True):
        side, resized_side = tf.cast(side, tf.float64), tf.cast(resized_side, tf.float64)
        begin = _center_offset(resized_side, target_side) * side / resized_side
        end = tf.minimum(begin + target_side * (side / resized_side), side)
        axes.append(_Axis(side, begin, end, target_side, transform.interpolation))
    return axes[0], axes[1]


def _in_order_of_pillow(
    axes: tuple[_Axis, _Axis], resize_rows_first: Callable[[], tf.Tensor], resize_columns_first: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """Resize in the order that Pillow takes, which matters, because pixels are rounded to 8 bits in between."""
    if not pillow_resizes_rows_first():
        return resize_columns_first()
    removed = [axis.side - axis.target_side for axis in axes]
    return tf.cond((removed[0] > 0) & (removed[0] > 2 * removed[1]), resize_rows_first, resize_columns_first)


def _resize_twice(read_strip: Callable[[Any, Any], tf.Tensor], first: _Axis, second: _Axis, channels: Any) -> tf.Tensor:
    """Resize along the `first` axis, strip by strip, then along the `second` one.

    Args:
        read_strip: takes the begin and the end of a strip of the second axis; returns uint8 (strip, first side, C).
        first: the axis along which a strip is resized.
        second: the axis along which the strips lie.
        channels: number of channels.

    Returns:
        uint8 (second target side, first target side, C).
    """
    low, high = second.needed_range(second.centers)
    lines = tf.maximum(STRIP_VALUES // (first.side * tf.maximum(tf.cast(channels, tf.int32), 1)), 1)
    strips = tf.TensorArray(
        tf.uint8, (high - low + lines - 1) // lines, infer_shape=False, element_shape=(None, first.target_side, None)
    )

    def resize_strip(i: Any, strips: Any) -> tuple[Any, Any]:
        begin = low + i * lines
        strip = tf.transpose(read_strip(begin, tf.minimum(begin + lines, high)), (1, 0, 2))
        return i + 1, strips.write(i, tf.transpose(first.resize(strip, 0), (1, 0, 2)))

    count = strips.size()
    strips = tf.while_loop(lambda i, _: i < count, resize_strip, (0, strips), parallel_iterations=1)[1]
    return second.resize(strips.concat(), low)


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


class _Axis:
    """One axis of an image, of which the part from `begin` to `end` is resized to `target_side` pixels.

    The weights are computed for a block of target pixels at a time, because all of them together would be many more
    than there are pixels.
    """

    def __init__(self, side: Any, begin: Any, end: Any, target_side: int, interpolation: str) -> None:
        self.side, self.target_side, self.interpolation = tf.cast(side, tf.int32), target_side, interpolation
        begin, end = tf.cast(begin, tf.float32), tf.cast(end, tf.float32)  # Pillow stores a box in float32
        begin, end = tf.cast(begin, tf.float64), tf.cast(end, tf.float64)
        scale = tf.cast(tf.cast(end, tf.float32) - tf.cast(begin, tf.float32), tf.float64) / target_side
        # When an image shrinks, the filter is stretched over all the pixels that it replaces.
        self.stretch = tf.maximum(scale, 1.0)
        if interpolation == "nearest":
            # Pillow adds up the steps one after the other; multiplying would round differently.
            steps = tf.fill([target_side], scale) - tf.one_hot(0, target_side, dtype=tf.float64) * (scale / 2)
            self.centers = tf.floor(begin + tf.cumsum(steps))
            self.support: Any = tf.constant(1.0, tf.float64)
        else:
            self.centers = begin + (tf.range(target_side, dtype=tf.float64) + 0.5) * scale
            self.support = FILTER_SUPPORT[interpolation] * self.stretch

    def needed_range(self, centers: Any) -> tuple[Any, Any]:
        """Return the first and the last (not included) pixel that target pixels with these centers depend on."""
        low = tf.cast(tf.floor(centers[0] - self.support), tf.int32) - 1
        high = tf.cast(tf.floor(centers[-1] + self.support), tf.int32) + 2
        return tf.maximum(low, 0), tf.minimum(high, self.side)

    def resize(self, pixels: tf.Tensor, offset: Any) -> tf.Tensor:
        """Resize the first axis of pixels, of which those before `offset` are left out.

        Args:
            pixels: uint8 (side, other side, C).
            offset: position of the first one.

        Returns:
            uint8 (target side, other side, C).
        """
        count = -(-self.target_side // BLOCK)
        blocks = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None))
        shape = tf.shape(pixels)
        rows = tf.reshape(pixels, tf.stack([shape[0], shape[1] * shape[2]]))

        def resize_block(i: Any, blocks: Any) -> tuple[Any, Any]:
            centers = self.centers[i * BLOCK : (i + 1) * BLOCK]
            low, high = self.needed_range(centers)
            window = tf.cast(rows[low - offset : high - offset], tf.float64)
            sums = tf.matmul(self._weights(centers[:, None], low, high), window)
            return i + 1, blocks.write(i, tf.cast(_round_sums(sums), tf.uint8))

        blocks = tf.while_loop(lambda i, _: i < count, resize_block, (0, blocks), parallel_iterations=1)[1]
        return tf.reshape(blocks.concat(), tf.stack([self.target_side, shape[1], shape[2]]))

    def resize_batch(self, images: tf.Tensor) -> tf.Tensor:
        """Resize the first image axis of images, float64 (N, side, other side, C)."""
        weights = self._weights(self.centers[:, None], 0, self.side)
        shape = tf.unstack(tf.shape(images))
        sums = tf.matmul(weights, tf.reshape(images, tf.stack([-1, shape[1], shape[2] * shape[3]])))
        return tf.reshape(_round_sums(sums), tf.stack([-1, self.target_side, *shape[2:]]))

    def _weights(self, centers: Any, low: Any, high: Any) -> tf.Tensor:
        """Return how much target pixels with the centers (n, 1) take of each pixel from `low` to `high`.

        Returns:
            (n, high - low), whole numbers in units of 2**-22.
        """
        positions = tf.cast(tf.range(low, high), tf.float64)
        if self.interpolation == "nearest":
            one = tf.constant(2.0**WEIGHT_BITS, tf.float64)
            return tf.where(tf.equal(positions, centers), one, tf.zeros_like(one))
        begins, ends = tf.floor(centers - self.support + 0.5), tf.floor(centers + self.support + 0.5)
        values = _filter_value((positions - centers + 0.5) / self.stretch, self.interpolation)
        values = tf.where((positions >= begins) & (positions < ends), values, tf.zeros_like(values))

        # Normalize, then round to integers, halves away from zero.
        values /= tf.reduce_sum(values, axis=1, keepdims=True)
        return tf.sign(values) * tf.floor(tf.abs(values) * 2**WEIGHT_BITS + 0.5)


def _round_sums(sums: tf.Tensor) -> tf.Tensor:
    """Return the levels of sums in units of 2**-22; these are below 2**53, so float64 holds them exactly."""
    return tf.clip_by_value(tf.floor((sums + 2 ** (WEIGHT_BITS - 1)) / 2**WEIGHT_BITS), 0, 255)


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

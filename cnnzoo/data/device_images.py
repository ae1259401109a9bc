"""Images that stay on the device, and their augmentation in a compiled function there: `load_data(cache="device")`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.shifts import FRACTIONS, draw_shifts_and_flips, draw_translations
from cnnzoo.data.transform import random_crop_box

ops = keras.ops

FILTERS: dict[str, tuple[float, Callable[[Any], Any]]] = {  # Pillow's, with the distance beyond which they are 0
    "bilinear": (1.0, lambda x: ops.maximum(1 - x, 0)),
    "bicubic": (
        2.0,
        lambda x: ops.where(
            x < 1, (1.5 * x - 2.5) * x * x + 1, ops.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)
        ),
    ),
}


class DeviceImages:
    """Images (N, H, W, C) in the memory of the device, and what a training batch makes of them there.

    A batch is a plan, an array (B, K) of integers: the number of each image, and what was drawn for it. Plans are drawn
    on the processor as for images that do not stay on the device, so all batches have the same order and the same
    crops, shifts and flips.

    Attributes:
        pixels: the images as a tensor of the backend. Images of several sizes are in the upper left of larger ones.
        sizes: (height, width) of each image in it.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        sizes: Sequence[tuple[int, int]],
        size: tuple[int, int],
        augmentation: Augmentation | None,
        interpolation: str = "bilinear",
    ) -> None:
        """Copy images to the device.

        Args:
            pixels: (N, H, W, C).
            sizes: (height, width) of each.
            size: (height, width) of the images of a batch.
            augmentation: what is done with them; None leaves them alone.
            interpolation: how random crops are resized.
        """
        self.sizes, self.size = sizes, size
        self.augmentation, self.interpolation = augmentation, interpolation
        self.pixels = _to_device(pixels)
        self._take = _compile(self.augment)

    def take(self, plan: np.ndarray) -> Any:
        """Return the images of a plan, computed on the device."""
        return self._take(self.pixels, plan)

    # Plans

    def draw_plan(
        self, indices: np.ndarray, seeds: Sequence[int | None], rng: np.random.Generator | None
    ) -> np.ndarray:
        """Return the plan (B, K) of a batch.

        Args:
            indices: the numbers (B,) of its images.
            seeds: what decides about the random crop of each image.
            rng: draws the shifts and flips of the batch.
        """
        columns = [indices]
        if self.augmentation and self.augmentation.area:
            columns += list(np.transpose([self._draw_crop(i, seed) for i, seed in zip(indices, seeds, strict=True)]))
        elif self.augmentation and rng is not None:
            count = len(indices)
            if self.augmentation.shift:
                columns += draw_shifts_and_flips(count, self.size, self.augmentation.shift, rng)
            if self.augmentation.translation:
                for pixels, sixteenths in draw_translations(count, self.size, self.augmentation.translation, rng):
                    columns += [pixels, sixteenths]
        return np.stack(columns, axis=1).astype("int32")

    def _draw_crop(self, i: int, seed: int | None) -> tuple[int, int, int, int, bool]:
        """Draw top, left, height and width of the crop of an image, and whether it is mirrored."""
        assert self.augmentation
        assert self.augmentation.area
        rng = random.Random(seed)
        return *random_crop_box(*self.sizes[i], self.augmentation.area, rng), rng.random() < 0.5

    # What a plan does, traced by the backend

    def augment(self, pixels: Any, plan: Any) -> Any:
        """Return the images (B, height, width, C) of a plan: shifted, moved and mirrored, or cropped and resized."""
        images, column = ops.take(pixels, plan[:, 0], axis=0), 1
        if not self.augmentation:
            return images
        if self.augmentation.area:
            return self._crop(images, plan[:, 1:])
        if self.augmentation.shift:
            images = self._shift(images, *(plan[:, i] for i in range(1, 4)))
            column = 4
        if self.augmentation.translation:
            images = self._translate(images, *(plan[:, i] for i in range(column, column + 4)))
        return images

    def _shift(self, images: Any, first_rows: Any, first_columns: Any, mirrored: Any) -> Any:
        """Return images shifted by whole pixels, black moving in, and mirrored where `mirrored` is 1."""
        rows, columns = ops.arange(self.size[0])[None], ops.arange(self.size[1])[None]
        columns = ops.where(mirrored[:, None] == 1, self.size[1] - 1 - columns, columns)
        return _take_pixels(images, first_rows[:, None] + rows, first_columns[:, None] + columns)

    def _translate(self, images: Any, first_rows: Any, y: Any, first_columns: Any, x: Any) -> Any:
        """Return images moved by sixteenths of pixels, interpolated as `random_translation` does."""
        kind = images.dtype
        rows, columns = (ops.arange(side + 1)[None] for side in self.size)
        windows = _take_pixels(images, first_rows[:, None] + rows, first_columns[:, None] + columns)
        is_whole = keras.backend.standardize_dtype(kind) == "uint8"
        windows = ops.cast(windows, "int32" if is_whole else "float32")
        y, x = (ops.cast(fraction, windows.dtype)[:, None, None, None] for fraction in (y, x))
        blended = windows[:, :-1] * (FRACTIONS - y) + windows[:, 1:] * y
        blended = blended[:, :, :-1] * (FRACTIONS - x) + blended[:, :, 1:] * x
        if is_whole:
            return ops.cast((blended + FRACTIONS**2 // 2) // FRACTIONS**2, kind)
        return ops.cast(blended / FRACTIONS**2, kind)

    def _crop(self, images: Any, boxes: Any) -> Any:
        """Return crops (top, left, height, width, mirrored) of images, resized as Pillow does: columns, then rows."""
        top, left, height, width, mirrored = (ops.cast(boxes[:, i], "float32") for i in range(5))
        _, rows, columns, _ = images.shape
        by_column = self._resize_weights(left, width, columns, self.size[1])
        by_column = ops.where(mirrored[:, None, None] == 1, ops.flip(by_column, axis=1), by_column)
        by_row = self._resize_weights(top, height, rows, self.size[0])
        resized = _to_levels(ops.einsum("bhwc,bow->bhoc", ops.cast(images, "float32"), by_column))
        return ops.cast(_to_levels(ops.einsum("bhwc,boh->bowc", resized, by_row)), "uint8")

    def _resize_weights(self, start: Any, length: Any, side: int, new_side: int) -> Any:
        """Return the weights (B, new_side, side) with which pixels of a crop become those of its resized image."""
        support, function = FILTERS[self.interpolation]
        start, length = start[:, None, None], length[:, None, None]
        scale = length / new_side
        stretch = ops.maximum(scale, 1.0)  # images that become smaller are antialiased
        centers = (ops.arange(new_side, dtype="float32")[None, :, None] + 0.5) * scale
        pixels = ops.arange(side, dtype="float32")[None, None, :] - start
        reach = support * stretch
        is_near = (pixels >= ops.floor(centers - reach + 0.5)) & (pixels < ops.floor(centers + reach + 0.5))
        is_inside = (pixels >= 0) & (pixels < length)
        weights = function(ops.abs((pixels - centers + 0.5) / stretch))
        weights = ops.where(is_near & is_inside, weights, 0.0)
        return weights / ops.sum(weights, axis=-1, keepdims=True)


def _to_levels(values: Any) -> Any:
    """Round to whole levels, as Pillow does after each direction."""
    return ops.clip(ops.floor(values + 0.5), 0, 255)


def _take_pixels(images: Any, rows: Any, columns: Any) -> Any:
    """Return the pixels of images (B, H, W, C) at rows (B, h) and columns (B, w); black outside."""
    height, width = images.shape[1:3]
    is_inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    picked = ops.take_along_axis(images, ops.clip(rows, 0, height - 1)[:, :, None, None], axis=1)
    picked = ops.take_along_axis(picked, ops.clip(columns, 0, width - 1)[:, None, :, None], axis=2)
    return ops.where(is_inside[..., None], picked, ops.zeros_like(picked))


def _to_device(array: np.ndarray) -> Any:
    """Return an array as a tensor in the memory of the default device."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.device_put(array)
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    with tf.device(gpus[0].name if gpus else "CPU:0"):
        return tf.identity(tf.constant(array))


def _compile(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function of two tensors that the backend compiles."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    # Without XLA, TensorFlow would copy all images to the processor for an operation that has no version for the GPU.
    return tf.function(function, jit_compile=bool(tf.config.list_logical_devices("GPU")), reduce_retracing=True)


def stack_images(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return images (h, w, C) of several sizes in the upper left of an array (N, H, W, C) of black images."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    stacked = np.zeros((len(images), height, width, images[0].shape[2]), images[0].dtype)
    for slot, image in zip(stacked, images, strict=True):
        slot[: image.shape[0], : image.shape[1]] = image
    return stacked


def count_bytes(sizes: Sequence[tuple[int, int]], channels: int, itemsize: int = 1) -> int:
    """Return the bytes of images of these sizes on the device."""
    heights, widths = zip(*sizes, strict=True)
    return len(sizes) * math.prod((max(heights), max(widths), channels, itemsize))

"""Batches of images that stay on the device: `load_data(cache="device")`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.batches import Batches
from cnnzoo.data.device_images import FILTERS, DeviceImages, count_bytes, stack_images
from cnnzoo.data.images import ImageData
from cnnzoo.data.photos import Photos
from cnnzoo.data.splits import Split

LOADED_AT_ONCE = 256  # images, on their way to the device
MEMORY_SHARE = 0.7  # of the free memory that images may take; the rest is for the network
OTHER_CACHE = 'Load the data with cache="memory" (--cache memory), which keeps images in main memory'


class DeviceBatches(Batches):
    """The same batches as `Batches`, taken from images on the device and augmented there.

    On JAX, the images of a batch are a tensor on the device. On TensorFlow they are its plan, because Keras passes all
    batches through the processor there; `steps_on_device` makes the steps of a network take plans.

    Args:
        device_images: the images of the split.
        split, classes, batch_size, seed, augment: as in `Batches`.
        options: more of its options.
    """

    def __init__(
        self,
        device_images: DeviceImages,
        split: Split,
        classes: int,
        batch_size: int,
        seed: int | None = None,
        augment: str = "none",
        **options: Any,
    ) -> None:
        super().__init__(split, classes, batch_size, seed, augment, **options)
        self.device_images = device_images
        self.gives_plans = keras.backend.backend() != "jax"

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return batch `index` of the epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {index}")
        index, epoch = index + self.first_batch, self.epoch
        indices = self.batch_indices(epoch, index)
        rng = None if self.seed is None else np.random.default_rng((self.seed, epoch, index))
        plan = self.device_images.draw_plan(indices, self.image_seeds(epoch, index, len(indices)), rng)
        plan, *rest = self.add_weights(plan, self.one_hot[self.split.labels[indices]], indices)
        return plan if self.gives_plans else self.device_images.take(plan), *rest


@contextmanager
def steps_on_device(network: keras.Model, training: Batches, validation: Batches | None) -> Iterator[None]:
    """Make the compiled steps of a network take the plans of `DeviceBatches`, where these are given.

    The network must not have been trained since it was compiled.
    """
    names = [
        (name, batches.device_images)
        for name, batches in (("train_step", training), ("test_step", training if validation is None else validation))
        if isinstance(batches, DeviceBatches) and batches.gives_plans
    ]
    for name, device_images in names:
        setattr(network, name, _make_step(getattr(network, name), device_images))
    try:
        yield
    finally:
        for name, _ in names:
            delattr(network, name)


def _make_step(step: Any, device_images: DeviceImages) -> Any:
    """Return a step of Keras that takes a plan in place of the images."""

    def step_with_plan(data: tuple[Any, ...]) -> Any:
        plan, *rest = data
        return step((device_images.take(plan), *rest))

    return step_with_plan


def check_device_cache(data: ImageData, augment: str, devices: Sequence[str] = ()) -> None:
    """Raise InputError if the training images cannot be augmented on the device, or do not fit there.

    Args:
        data: the data set, bound to the model's size, with `cache="device"`.
        augment: the augmentation policy.
        devices: the names of the devices to train on, if these are not the default device.
    """
    size = data.train.images.shape[1:3]
    augmentation = Augmentation(augment, size)
    if augmentation.changes_images or augmentation.mixes:
        what = "mixes images" if augmentation.mixes else "changes each image with Pillow"
        raise InputError(
            f'cache="device" augments images on the device by crops, shifts and flips: none, shift, gentle and basic. '
            f"{augment} {what}. Choose one of these, or {OTHER_CACHE[0].lower()}{OTHER_CACHE[1:]}"
        )
    interpolation = data.transform.interpolation if data.transform and data.has_photos else "bilinear"
    if augmentation.area and interpolation not in FILTERS:
        raise InputError(
            f'With cache="device", random crops are resized by {" or ".join(FILTERS)}. Received: {interpolation}. '
            f"{OTHER_CACHE}"
        )
    if devices:
        raise InputError(
            f'cache="device" keeps all images on the default device, and the training is to use {", ".join(devices)}. '
            f"{OTHER_CACHE}"
        )
    needed = sum(_count_split_bytes(split, augmentation if name == "train" else None) for name, split in _parts(data))
    free = _free_memory()
    if free is not None and needed > MEMORY_SHARE * free:
        raise InputError(
            f"The training and validation images take {_format_size(needed)} on the device, which has "
            f"{_format_size(free)} free. The network needs memory too, so at most {MEMORY_SHARE:.0%} of it are used. "
            f"{OTHER_CACHE}"
        )


def _format_size(size: int) -> str:
    """Return a number of bytes in words: "1.50 GiB", or "12 MiB"."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _parts(data: ImageData) -> list[tuple[str, Split]]:
    """Return the parts of the data that are put on the device."""
    return [(name, split) for name, split in data.splits.items() if name != "test" and len(split)]


def _stored_sizes(split: Split, augmentation: Augmentation | None) -> list[tuple[int, int]]:
    """Return (height, width) of each image as it is put on the device: uncropped if random crops are taken."""
    images = split.images
    if isinstance(images, Photos) and images.cache is not None and augmentation and augmentation.area:
        shapes = [images.cache.shapes[int(slot)] for slot in images.cache_slots]
        return [(height, width) for height, width, _ in shapes]
    height, width = images.shape[1:3]
    return [(height, width)] * len(split)


def _count_split_bytes(split: Split, augmentation: Augmentation | None) -> int:
    return count_bytes(_stored_sizes(split, augmentation), split.images.shape[3], split.images.dtype.itemsize)


def _free_memory() -> int | None:
    """Return the free bytes of the device, or None if it does not tell."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform != "cpu":
            statistics = device.memory_stats() or {}
            total = statistics.get("bytes_limit")
            return None if total is None else int(total - statistics.get("bytes_in_use", 0))
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return None
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Linux
        return None


def put_on_device(split: Split, augment: str | None) -> DeviceImages:
    """Load all images of a split, and copy them to the device.

    Args:
        split: photos with a cache, or an array, at the model's size.
        augment: the policy of their training; None for images that are evaluated.

    Raises:
        InputError: if the device has not enough memory.
    """
    size = split.images.shape[1:3]
    augmentation = None if augment is None else Augmentation(augment, size)
    sizes = _stored_sizes(split, augmentation)
    interpolation = "bilinear"
    pixels = split.images
    if isinstance(pixels, Photos):
        assert pixels.transform
        interpolation = pixels.transform.interpolation
        pixels = _load_photos(split, uncropped=bool(augmentation and augmentation.area))
    try:
        return DeviceImages(pixels, sizes, size, augmentation, interpolation)
    except Exception as error:
        # MemoryError of NumPy, ResourceExhaustedError of TensorFlow, JaxRuntimeError of JAX
        if not isinstance(error, MemoryError) and "exhausted" not in f"{type(error).__name__} {error}".lower():
            raise
        raise InputError(f"{_format_size(pixels.nbytes)} of images do not fit on the device. {OTHER_CACHE}") from None


def _load_photos(split: Split, uncropped: bool) -> np.ndarray:
    """Return all photos of a split, as they are evaluated, or resized but not cropped."""
    batches = Batches(split, 1 + int(split.labels.max(initial=0)), LOADED_AT_ONCE)
    loaded = [batches[i][0] for i in range(len(batches))]
    photos = split.images
    assert isinstance(photos, Photos)
    if not uncropped:
        return np.concatenate(loaded)
    assert photos.cache
    cached = [photos.cache.get(int(slot)) for slot in photos.cache_slots]
    return stack_images([pixels for pixels in cached if pixels is not None])

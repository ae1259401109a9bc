"""Batches for Keras' `predict`: sized to the device, and of one shape where every shape has to be compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnzoo.data.batches import Batches, evaluation_batch_size
from cnnzoo.data.images import ImageData
from cnnzoo.surgery.accelerator import compiles_every_shape, device_batch_size

if TYPE_CHECKING:
    import keras


class ImageBatches(Batches):
    """Batches of images alone. Labels and weights would make another program where only some batches have weights."""

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return super().__getitem__(index)[:1]


def make_prediction_batches(model: keras.Model, data: ImageData, split: str, batch_size: int | str = "auto") -> Batches:
    """Return batches of a split for Keras' `predict`, whose results are those of the split's images and then of others.

    Where every shape has to be compiled, all batches of the validation and test split have one shape: the last one is
    completed with black images.
    """
    images = data.splits[split]
    automatic = device_batch_size(model) or evaluation_batch_size(images.images.shape)
    size = automatic if isinstance(batch_size, str) else batch_size
    if not compiles_every_shape():
        return ImageBatches(images, len(data.classes), size)
    largest = max(len(images), *(len(data.splits[name]) for name in ("validation", "test")))
    size = min(size, largest)
    return ImageBatches(images, len(data.classes), size, pad=size)

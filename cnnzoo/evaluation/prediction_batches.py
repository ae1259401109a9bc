"""Batches for Keras' `predict`: sized to the device, and of one shape where every shape has to be compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.processes import count_processes, gather_rows, process_rank
from cnnzoo.data.batches import Batches, evaluation_batch_size
from cnnzoo.data.images import ImageData
from cnnzoo.surgery.accelerator import compiles_every_shape, device_batch_size

if TYPE_CHECKING:
    import keras

MAX_BATCHES = 2**62


class ImageBatches(Batches):
    """Batches of images alone. Labels and weights would make another program where only some batches have weights.

    Of several processes, each predicts its share: some of the batches that a single one would predict, so that every
    image has the same numbers.

    Attributes:
        share: number of batches that each process has, but the last ones.
        own_images: number of images whose results this process computes.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.share = math.ceil(len(self) / count_processes())
        self.first_batch = min(process_rank() * self.share, len(self))
        left = len(self.split) - self.first_batch * self.batch_size
        self.own_images = max(min(left, self.share * self.batch_size), 0)

    def __len__(self) -> int:
        return min(super().__len__(), getattr(self, "share", MAX_BATCHES))

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return super().__getitem__(index)[:1]

    def gather_results(self, results: np.ndarray) -> np.ndarray:
        """Return the results (N, ...) of all images from those of the own ones in each process."""
        if count_processes() == 1:
            return results
        rows = np.zeros((self.share * self.batch_size, *results.shape[1:]), results.dtype)
        rows[: len(results)] = results
        return gather_rows(rows)[: len(self.split)]


def make_prediction_batches(
    model: keras.Model, data: ImageData, split: str, batch_size: int | str = "auto"
) -> ImageBatches:
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

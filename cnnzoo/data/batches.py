"""Batches whose order and augmentation depend on the seed, the epoch and the index alone.

So a run that starts again at any epoch sees what the undisturbed run saw, on every backend.
"""

import math
import threading

import keras
import numpy as np

from cnnzoo import preprocessing as pre
from cnnzoo.data.images import Split


class Batches(keras.utils.PyDataset):
    """Images (B, H, W, C) and one-hot labels (B, classes) of a split, shuffled and augmented where `seed` is given."""

    def __init__(self, split: Split, classes: int, batch_size: int, seed: int | None = None, augment: str = "none"):
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.one_hot = np.eye(classes, dtype="float32")
        self.layers, self.lock = pre.augmentation(augment), threading.Lock()
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Set the epoch, and with it the order."""
        self.epoch, self.indices = epoch, np.arange(len(self.split))
        if self.seed is not None:
            self.indices = np.random.default_rng((self.seed, epoch)).permutation(self.indices)

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        batch = self.split.take(self.indices[index * self.batch_size : (index + 1) * self.batch_size])
        return self.augmented(batch.images.astype("float32"), index), self.one_hot[batch.labels]

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        """The images after the policy's layers, whose generators start from (seed, epoch, index)."""
        draw = np.random.default_rng((self.seed or 0, self.epoch, index))
        with self.lock:  # Keras may ask for batches ahead, from threads of its own
            for layer in self.layers:
                layer.generator.state.assign(draw.integers(2**31, size=2))
                images = layer(images, training=True)
        return keras.ops.convert_to_numpy(images)

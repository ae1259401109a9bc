"""Batches whose order and augmentation depend on the seed, the epoch and the index alone.

So a run that starts again at any epoch sees what the undisturbed run saw, on every backend.
"""

import math
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from cnnzoo.core.threads import thread_pool
from cnnzoo.data.augmentation import Augmentation, random_shift_and_flip
from cnnzoo.data.images import Split
from cnnzoo.data.photos import Photos
from cnnzoo.data.transform import Transform

IMAGES_PER_JOB = 4  # images of a job for a thread


class Batches(keras.utils.PyDataset):
    """Images (B, H, W, C) and one-hot labels (B, classes) of a split, shuffled and augmented where `seed` is given.

    Images are uint8, or as the array has them; float32 after layers of augmentation. Rare classes count more under the
    balance "weights", or are drawn as often as others under "sampling"; `weights` are of the images. Where there are
    weights, each batch has them (B,) too. A model with several `heads` gets the labels for each, by name. An epoch
    begins at batch `start`. `advance` makes the end of an epoch, as Keras tells it or as a loop over the batches
    reaches it, the beginning of the next.
    """

    def __init__(
        self,
        split: Split,
        classes: int,
        batch_size: int,
        seed: int | None = None,
        augment: str = "none",
        *,
        balance: str = "none",
        weights: np.ndarray | None = None,
        heads: Sequence[str] = (),
        start: int = 0,
    ):
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.balance, self.weights, self.heads, self.start = balance, weights, heads, start
        self.one_hot = np.eye(classes, dtype="float32")
        self.augmentation, self.lock = Augmentation(augment, split.images.shape[1:3]), threading.Lock()
        self.ahead: dict[tuple[int, int], tuple[np.ndarray, list[Any]]] = {}
        self.advance = False
        counts = np.maximum(np.bincount(split.labels, minlength=classes), 1)
        self.class_weights = (len(split) / (classes * counts)).astype("float32")
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Set the epoch, and with it the order."""
        self.epoch, self.indices = epoch, np.arange(len(self.split))
        if self.seed is not None:
            draw = np.random.default_rng((self.seed, epoch))
            if self.balance == "sampling":
                self.indices = self._balanced(draw)
            self.indices = draw.permutation(self.indices)

    def _balanced(self, draw: np.random.Generator) -> np.ndarray:
        """As many indices as there are images, of each class an equal share: some twice, some not at all."""
        labels, classes = self.split.labels, len(self.one_hot)
        shares = [len(labels) // classes + (i < len(labels) % classes) for i in range(classes)]
        drawn = [np.resize(draw.permutation(np.flatnonzero(labels == i)), share) for i, share in enumerate(shares)]
        return np.concatenate(drawn)

    def on_epoch_end(self) -> None:
        if self.advance:
            self.begin(self.epoch + 1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        yield from (self[i] for i in range(len(self)))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size) - self.start

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Batch `index` of the epoch; the next one is begun, so that it is there when it is asked for."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {index}")
        end, index = self.start + len(self), index + self.start
        with self.lock:  # Keras may ask from threads of its own
            key = self.epoch, index
            images, jobs = self.ahead.pop(key) if key in self.ahead else self._begin(index)
            self.ahead = {}
            if index + 1 < end:
                self.ahead[self.epoch, index + 1] = self._begin(index + 1)
        for job in jobs:
            job.result()
        indices = self._indices(index)
        labels = self.one_hot[self.split.labels[indices]]
        draw = None if self.seed is None else np.random.default_rng((self.seed, self.epoch, index))
        if draw and self.augmentation.shift:
            images = random_shift_and_flip(images, self.augmentation.shift, draw)
        if draw and self.augmentation:
            with self.lock:
                images, labels = self.augmentation(images.astype("float32"), labels, draw)
        targets = dict.fromkeys(self.heads, labels) if self.heads else labels
        if self.weights is None and self.balance != "weights":
            return images, targets
        weights = np.ones(len(images), "float32") if self.weights is None else self.weights[indices]
        return images, targets, weights * (labels @ self.class_weights if self.balance == "weights" else 1)

    def _indices(self, index: int) -> np.ndarray:
        return self.indices[index * self.batch_size : (index + 1) * self.batch_size]

    def _begin(self, index: int) -> tuple[np.ndarray, list[Any]]:
        """An array for the images of a batch, and the jobs that fill it."""
        images, indices = self.split.images, self._indices(index)
        area = None if self.seed is None else self.augmentation.area
        if isinstance(images, np.ndarray) and area is None:
            return images[indices], []
        out = np.empty((len(indices), *images.shape[1:]), "uint8")
        transform = None if isinstance(images, Photos) else Transform(images.shape[1:3], images.shape[3])
        seed = self.seed, self.epoch

        def fill(start: int) -> None:
            for place, i in enumerate(indices[start : start + IMAGES_PER_JOB].tolist(), start):
                if area is None:
                    out[place] = images[i]
                    continue
                # A crop follows from the image alone; numpy's generators take longer to seed than a crop to draw
                draw = random.Random(f"{seed} {i}")
                out[place] = transform.cropped(images[i], area, draw) if transform else images.crop(i, area, draw)

        return out, [thread_pool().submit(fill, start) for start in range(0, len(indices), IMAGES_PER_JOB)]


def to_tf_dataset(batches: Batches) -> Any:
    """A `tf.data.Dataset` of the batches, prefetched; every pass over it is another epoch."""
    import tensorflow as tf

    def generate():
        yield from batches

    images = batches.split.images
    kind = "float32" if batches.seed is not None and batches.augmentation else images.dtype
    signature = tf.TensorSpec((None, *images.shape[1:]), kind), tf.TensorSpec((None, len(batches.one_hot)), "float32")
    made = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return made.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)

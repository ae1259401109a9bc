"""Batches whose order and augmentation depend on the seed, the epoch and the index alone.

So a run that resumes at any epoch gets the same batches as an uninterrupted run, on every backend.
"""

import math
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cnnzoo.core.threads import thread_pool
from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.photos import Photos
from cnnzoo.data.splits import Split
from cnnzoo.data.transform import Transform

if TYPE_CHECKING:
    import tensorflow as tf

IMAGES_PER_JOB = 4  # decoded by a thread at a time

PREDICTION_BYTES = 16 * 2**20  # of the images of a batch that is predicted, in float32
MAX_PREDICTION_BATCH = 256

Pending = tuple[np.ndarray, list[Future[None]]]  # the images of a batch, and the jobs that are filling them in


class Batches(keras.utils.PyDataset):
    """Images (B, H, W, C) and one-hot labels (B, classes) of a split.

    Images are uint8, or of the array's type. If there are sample weights, or the balance is "weights", each batch has
    weights (B,) too.

    Args:
        split: the images and labels.
        classes: number of classes.
        batch_size: images per batch; the last batch may be smaller.
        seed: seed of shuffling and augmentation; None keeps the order and augments nothing.
        augment: an augmentation policy.
        balance: "weights" makes rare classes count more, "sampling" draws them as often as others.
        sample_weights: weights (N,) of the images.
        heads: names of the model's outputs, if it has several: labels are given for each.
        first_batch: the batch with which the epoch begins.
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
        sample_weights: np.ndarray | None = None,
        heads: Sequence[str] = (),
        first_batch: int = 0,
    ) -> None:
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.balance, self.sample_weights, self.heads = balance, sample_weights, heads
        self.first_batch = first_batch
        self.one_hot = np.eye(classes, dtype="float32")
        counts = np.maximum(np.bincount(split.labels, minlength=classes), 1)
        self.class_weights = (len(split) / (classes * counts)).astype("float32")
        self.augmentation = Augmentation(augment, split.images.shape[1:3])
        self.advance = False  # whether the epoch is increased at its end, by Keras or by a loop
        self.lock = threading.Lock()
        self.prefetched: dict[tuple[int, int], Pending] = {}  # by epoch and batch
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order of the images."""
        self.epoch, self.indices = epoch, np.arange(len(self.split))
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, epoch))
            if self.balance == "sampling":
                self.indices = self._resample_balanced(rng)
            self.indices = rng.permutation(self.indices)

    def _resample_balanced(self, rng: np.random.Generator) -> np.ndarray:
        """Draw indices so that every class appears equally often in an epoch.

        Rare classes are repeated and frequent ones are subsampled; the epoch keeps its length.
        """
        labels, classes = self.split.labels, len(self.one_hot)
        shares = [len(labels) // classes + (i < len(labels) % classes) for i in range(classes)]
        drawn = [np.resize(rng.permutation(np.flatnonzero(labels == i)), share) for i, share in enumerate(shares)]
        return np.concatenate(drawn)

    def on_epoch_end(self) -> None:
        if self.advance:
            self.set_epoch(self.epoch + 1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        yield from (self[i] for i in range(len(self)))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size) - self.first_batch

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return batch `index` of the epoch, and start loading the next one in the background."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {index}")
        end, index = self.first_batch + len(self), index + self.first_batch

        # Images: prefetched by the last call, or loaded now
        with self.lock:  # Keras may ask from threads of its own
            key = self.epoch, index
            images, jobs = self.prefetched.pop(key) if key in self.prefetched else self._start_loading(index)
            self.prefetched = {}
            if index + 1 < end:
                self.prefetched[self.epoch, index + 1] = self._start_loading(index + 1)
        for job in jobs:
            job.result()

        # Augmentation
        indices = self._batch_indices(index)
        labels = self.one_hot[self.split.labels[indices]]
        rng = None if self.seed is None else np.random.default_rng((self.seed, self.epoch, index))
        if rng:
            images = self.augmentation.shift_batch(images, rng)
            images, labels = self.augmentation.mix(images, labels, rng)

        # Targets and weights
        targets = dict.fromkeys(self.heads, labels) if self.heads else labels
        if self.sample_weights is None and self.balance != "weights":
            return images, targets
        weights = np.ones(len(images), "float32") if self.sample_weights is None else self.sample_weights[indices]
        return images, targets, weights * (labels @ self.class_weights if self.balance == "weights" else 1)

    def _batch_indices(self, index: int) -> np.ndarray:
        return self.indices[index * self.batch_size : (index + 1) * self.batch_size]

    def _start_loading(self, index: int) -> Pending:
        """Return an array for the images of a batch, and the jobs that fill it."""
        images, indices = self.split.images, self._batch_indices(index)
        area = None if self.seed is None else self.augmentation.area
        changes = self.seed is not None and self.augmentation.changes_images
        if isinstance(images, np.ndarray) and area is None and not changes:
            return images[indices], []
        out = np.empty((len(indices), *images.shape[1:]), images.dtype)
        transform = Transform(images.shape[1:3], images.shape[3])  # of arrays, which have the model's size already
        seed = self.seed, self.epoch

        def fill(start: int) -> None:
            """Load the images of one job."""
            for slot, i in enumerate(indices[start : start + IMAGES_PER_JOB].tolist(), start):
                # What is drawn for an image depends on the image alone, not on its batch. Python's generators are used
                # because NumPy's take longer to seed than a crop takes to draw.
                rng = random.Random(f"{seed} {i}")
                if area is None:
                    pixels = images[i]
                elif isinstance(images, Photos):
                    pixels = images.random_resized_crop(i, area, rng)
                else:
                    pixels = transform.random_resized_crop(images[i], area, rng)
                out[slot] = self.augmentation.augment_image(pixels, rng) if changes else pixels

        return out, [thread_pool().submit(fill, start) for start in range(0, len(indices), IMAGES_PER_JOB)]


def evaluation_batch_size(shape: Sequence[int]) -> int:
    """Return how many images of a shape (..., height, width, channels) are predicted or evaluated at a time.

    The feature maps of a batch take up to a hundred times the memory of its images, so a byte budget decides: 256
    images of up to 74 pixels, 27 of 224, and 15 of 299.

    Example:
        >>> from cnnzoo.data.batches import evaluation_batch_size
        >>> evaluation_batch_size((1000, 32, 32, 3)), evaluation_batch_size((224, 224, 3))
        (256, 27)
    """
    height, width, channels = shape[-3:]
    return max(min(PREDICTION_BYTES // (4 * height * width * max(channels, 3)), MAX_PREDICTION_BATCH), 1)


def to_tf_dataset(batches: Batches) -> "tf.data.Dataset":
    """Return the batches as a prefetched `tf.data.Dataset`; every pass over it is another epoch."""
    import tensorflow as tf

    def generate() -> Iterator[tuple[Any, ...]]:
        yield from batches

    images = batches.split.images
    pixels = tf.TensorSpec((None, *images.shape[1:]), images.dtype)
    signature = pixels, tf.TensorSpec((None, len(batches.one_hot)), "float32")
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)

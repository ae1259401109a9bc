"""Batches whose order and augmentation depend on the seed, the epoch and the index alone.

So a run that resumes at any epoch gets the same batches as an uninterrupted run, on every backend.
"""

import math
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cnnzoo.core.processes import count_processes, own_rows
from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.loader import PendingImages
from cnnzoo.data.photos import Photos
from cnnzoo.data.pipeline import ImagePipeline
from cnnzoo.data.splits import Split
from cnnzoo.data.transform import Transform

if TYPE_CHECKING:
    import tensorflow as tf

PREDICTION_BYTES = 16 * 2**20  # of the images of a batch that is predicted, in float32
MAX_PREDICTION_BATCH = 256


class Batches(keras.utils.PyDataset):
    """Images (B, H, W, C) and one-hot labels (B, classes) of a split, loaded ahead by the split's loader.

    Images are uint8, or of the array's type. If there are sample weights, or the
    balance is "weights", or images were added, each batch has weights (B,) too.

    With a seed, every batch is full: the last one of an epoch is completed with the first images of the next epoch's
    order, so that all batches have one shape, which is compiled once. They have min(batch_size, N) images.

    What is random of an image depends on the seed, the epoch and the image's position in the epoch; what is random of a
    batch, on its number instead of the position.

    Args:
        split: the images and labels.
        classes: number of classes.
        batch_size: images per batch.
        seed: seed of shuffling and augmentation; None keeps the order and augments nothing.
        augment: an augmentation policy.
        balance: "weights" makes rare classes count more, "sampling" draws them as often as others.
        sample_weights: weights (N,) of the images.
        heads: names of the model's outputs, if it has several: labels are given for each.
        first_batch: the batch with which the epoch begins.
        pad: without a seed, complete the last batch with black images of weight 0, so that all batches have one size,
            which is a multiple of this number; 0 adds none. The other images then have a weight slightly above 1, with
            which Keras' mean loss over the epoch is exactly that of the N images. No weights are added if no image is.
        shared: whether the processes of a training share every batch: each loads its rows of it alone. A whole batch,
            in the order of the ranks, is that of a single process. Its size must be a multiple of their number.
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
        pad: int = 0,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.balance, self.sample_weights, self.heads = balance, sample_weights, heads
        self.first_batch, self.shared = first_batch, shared and count_processes() > 1
        self.one_hot = np.eye(classes, dtype="float32")
        counts = np.maximum(np.bincount(split.labels, minlength=classes), 1)
        self.class_weights = (len(split) / (classes * counts)).astype("float32")
        self.size = min(batch_size, max(len(split), 1))  # of all batches but the last
        if pad and seed is None:
            self.size += -self.size % pad
        missing = -len(split) % self.size  # images in the last batch
        self.completed = missing if seed is not None else 0
        self.padded = missing if pad and seed is None else 0
        self.augmentation = Augmentation(augment, split.images.shape[1:3])
        self.pipeline = self._make_pipeline()
        self.advance = False  # whether the epoch is increased at its end, by Keras or by a loop
        self.failure: Exception | None = None  # the first image that could not be loaded
        self.lock = threading.Lock()
        self.prefetched: dict[tuple[int, int], PendingImages] = {}  # by epoch and batch
        self.orders: dict[int, np.ndarray] = {}  # by epoch
        weakref.finalize(self, _cancel, self.prefetched)
        self.set_epoch(0)

    def _make_pipeline(self) -> ImagePipeline:
        """Return what is done with each image."""
        images, augmentation = self.split.images, None if self.seed is None else self.augmentation
        area = augmentation.area if augmentation else None
        changes = augmentation if augmentation and augmentation.changes_images else None
        if isinstance(images, Photos):
            return images.make_pipeline(area, changes)
        transform = Transform(images.shape[1:3], images.shape[3])  # arrays have the model's size already
        return ImagePipeline(transform, area, augmentation=changes)

    # Order

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order of the images."""
        self.epoch, self.indices = epoch, self._order(epoch)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the indices (N,) of the images in the order of an epoch."""
        if epoch not in self.orders:
            indices = np.arange(len(self.split))
            if self.seed is not None:
                rng = np.random.default_rng((self.seed, epoch))
                if self.balance == "sampling":
                    indices = self._resample_balanced(rng)
                indices = rng.permutation(indices)
            recent = sorted(self.orders)[-1:]  # this epoch and the next one are needed
            self.orders = {number: self.orders[number] for number in recent} | {epoch: indices}
        return self.orders[epoch]

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

    # Batches

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        yield from (self[i] for i in range(len(self)))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size) - self.first_batch

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return batch `index` of the epoch, and let the loader go on with those after it."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {index}")
        index += self.first_batch
        epoch = self.epoch
        try:
            images = self._take_pending(epoch, index).wait()
        except Exception as error:
            self.failure = self.failure or error  # Keras' TensorFlow backend hides it in an error of its own
            raise

        indices = self.batch_indices(epoch, index)
        rows, positions = self._rows(len(indices)), self._needed_positions(epoch, index, len(indices))
        labels = self.one_hot[self.split.labels[indices[positions]]]
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, epoch, index))
            images = self.augmentation.shift_batch(images, rng, len(indices), positions)
            if plan := self.augmentation.draw_mix(len(indices), rng):
                images, labels = plan.take_rows(rows, positions).mix(images, labels)
        return self.add_weights(images, labels, indices[rows])

    def _rows(self, count: int) -> slice:
        """Return which rows this process has of a batch of `count` images, which may be completed with others."""
        return own_rows(self.size) if self.shared else slice(count)

    def _needed_positions(self, epoch: int, index: int, count: int) -> np.ndarray:
        """Return which of the `count` images of a batch are loaded here: the own rows, then those mixed into them."""
        rows = self._rows(count)
        if not self.shared or self.seed is None:
            return np.arange(count)[rows]
        return self.augmentation.find_needed_positions(count, rows, np.random.default_rng((self.seed, epoch, index)))

    def add_weights(self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> tuple[Any, ...]:
        """Return a batch: images, targets, and weights if there are any; the last batch is padded if necessary."""
        weights = np.ones(len(images), "float32") if self.sample_weights is None else self.sample_weights[indices]
        if self.balance == "weights":
            weights = weights * (labels @ self.class_weights)
        if self.padded:
            weights = (weights * ((len(self.split) + self.padded) / len(self.split))).astype("float32")
            added = (self.size // count_processes() if self.shared else self.size) - len(images)
            images, labels, weights = (
                np.pad(array, [(0, added), *[(0, 0)] * (array.ndim - 1)]) if added else array
                for array in (images, labels, weights)
            )
        targets = dict.fromkeys(self.heads, labels) if self.heads else labels
        has_weights = self.sample_weights is not None or self.balance == "weights" or self.padded
        return (images, targets, weights) if has_weights else (images, targets)

    def batch_indices(self, epoch: int, index: int) -> np.ndarray:
        """Return the indices of the images of a batch."""
        end = (index + 1) * self.batch_size
        indices = self._order(epoch)[end - self.batch_size : end]
        if self.completed and end > len(self.split):
            indices = np.concatenate([indices, self._order(epoch + 1)[: self.completed]])
        return indices

    def image_seeds(self, epoch: int, index: int, count: int) -> list[int | None]:
        """Return what decides about everything random of each of the `count` images of a batch."""
        if self.seed is None:
            return [None] * count
        base = self.seed << 80 | epoch << 48  # before the position
        first = base + index * self.batch_size
        return list(range(first, first + count))

    # Loading ahead

    def _take_pending(self, epoch: int, index: int) -> PendingImages:
        """Return the images of a batch, which may still be loading, and begin to load the next batches."""
        with self.lock:  # Keras may ask from threads of its own
            pending = self.prefetched.pop((epoch, index), None) or self._start_loading(epoch, index)
            rows = max(self.batch_size // count_processes(), 1) if self.shared else self.batch_size
            ahead = self.split.loader.batches_ahead(self.split.images, self.pipeline, rows)
            next_batches = self._next_batches(epoch, index, ahead)
            _cancel(self.prefetched, keep=next_batches)
            for key in next_batches:
                if key not in self.prefetched:
                    self.prefetched[key] = self._start_loading(*key)
        return pending

    def _next_batches(self, epoch: int, index: int, count: int) -> list[tuple[int, int]]:
        """Return epoch and number of the batches after one: also of the next epoch, while the model is validated."""
        batches = self.first_batch + len(self)
        following = [(epoch, i) for i in range(index + 1, min(index + 1 + count, batches))]
        if self.seed is not None and not self.first_batch:
            following += [(epoch + 1, i) for i in range(min(count - len(following), batches))]
        return following

    def _start_loading(self, epoch: int, index: int) -> PendingImages:
        """Begin to load the images of a batch."""
        indices = self.batch_indices(epoch, index)
        positions = self._needed_positions(epoch, index, len(indices))
        seeds = self.image_seeds(epoch, index, len(indices))
        own_seeds = [seeds[position] for position in positions]
        return self.split.loader.start(self.split.images, self.pipeline, indices[positions].tolist(), own_seeds)


def _cancel(prefetched: dict[tuple[int, int], PendingImages], keep: Sequence[tuple[int, int]] = ()) -> None:
    """Cancel and remove the batches that are not needed any more."""
    for key in set(prefetched) - set(keep):
        prefetched.pop(key).cancel()


@contextmanager
def loading_errors(*batches: Batches) -> Iterator[None]:
    """Raise the error of an image that could not be loaded in the block, which Keras may have hidden in another one.

    With TensorFlow, Keras loads batches inside a graph, which turns every error into one of its own.
    """
    try:
        yield
    except Exception:
        failure = next((part.failure for part in batches if part.failure), None)
        if failure is None:
            raise
        raise failure from None


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


def balanced_batch_size(images: int, batch_size: int) -> int:
    """Return the size of equal batches of so many images, as few as with `batch_size`, which is not exceeded.

    Example:
        >>> from cnnzoo.data.batches import balanced_batch_size
        >>> balanced_batch_size(30, 27), balanced_batch_size(10, 27)
        (15, 10)
    """
    return math.ceil(images / math.ceil(images / batch_size)) if images else batch_size


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

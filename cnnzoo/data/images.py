"""Images with their labels, in three splits, and batches of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cnnzoo import preprocessing as pre
from cnnzoo.errors import InputError
from cnnzoo.tables import table


@dataclass(frozen=True)
class Split:
    """Images (N, H, W, C) of 0 to 255, their labels (N,) as class indices, and a name for each."""

    images: np.ndarray
    labels: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self, classes: tuple[str, ...]) -> str:
        digest = hashlib.sha256(repr((classes, self.images.shape, self.images.dtype.str)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> "Split":
        return Split(self.images[indices], self.labels[indices], self.names[indices])


@dataclass(frozen=True)
class ImageData:
    """A data set in three splits; made by `load_data`, prints itself as a table."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: str
    image_size: tuple[int, int] | None = None  # once the images have been brought to it
    pad: int | None = None  # black pixels around the resized image; None takes the model's

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each split: every image and label, in order, and the names of the classes."""
        return {name: split.fingerprint(self.classes) for name, split in self.splits.items()}

    def bind(self, shape: Sequence[int], pad: int) -> "ImageData":
        """The same data with every image brought to the model's (height, width, channels); `pad` is the model's.

        Raises InputError where the data has a size already, and it is another.
        """
        now = self.train.images.shape[1:]
        if self.image_size is not None:
            if now != tuple(shape):
                raise InputError(f"The data was brought to {now} already; the model takes {tuple(shape)}")
            return self
        pad = pad if self.pad is None else self.pad

        def fitted(part: Split) -> Split:
            return replace(part, images=fit(part.images, shape, pad))

        parts = fitted(self.train), fitted(self.validation), fitted(self.test)
        return ImageData(*parts, self.classes, self.source, (shape[0], shape[1]), pad)

    def __str__(self) -> str:
        counts = {name: np.bincount(s.labels, minlength=len(self.classes)) for name, s in self.splits.items()}
        rows = [[name, *(str(count[i]) for count in counts.values())] for i, name in enumerate(self.classes)]
        rows = rows if len(rows) <= 20 else [*rows[:20], ["...", "", "", ""]]
        total = ["all", *(f"{len(s):,}" for s in self.splits.values())]
        height, width, channels = self.train.images.shape[1:]
        head = f"{self.source}: {height}x{width}x{channels}, {len(self.classes)} classes"
        return f"{head}\n{table(['class', *counts], [*rows, total])}"


def fit(images: np.ndarray, shape: Sequence[int], pad: int = 0) -> np.ndarray:
    """Images (N, H, W, C) brought to `shape`, as uint8; those that fit already are left as they are."""
    if images.shape[1:] == tuple(shape) and not pad:
        return images
    chunks = (images[i : i + 1024] for i in range(0, len(images), 1024))
    return np.concatenate([np.asarray(pre.fit(chunk, shape, pad)).astype("uint8") for chunk in chunks])

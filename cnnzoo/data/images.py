"""Images with their labels, in three splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, check_integer, unknown_name
from cnnzoo.core.tables import format_table
from cnnzoo.data.doctor import Diagnosis
from cnnzoo.data.photos import Photos
from cnnzoo.data.transform import Transform


@dataclass(frozen=True)
class Split:
    """Images (N, H, W, C) of 0 to 255, their labels (N,) as class indices, and a name for each.

    The images are an array, or `Photos`, which are decoded when they are indexed.
    """

    images: Any
    labels: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self, classes: tuple[str, ...]) -> str:
        if isinstance(self.images, Photos):
            digest = hashlib.sha256(repr(classes).encode())
            digest.update("".join(photo.digest for photo in self.images.photos).encode())
        else:
            digest = hashlib.sha256(repr((classes, self.images.shape, self.images.dtype.str)).encode())
            digest.update(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> "Split":
        images = self.images.take(indices) if isinstance(self.images, Photos) else self.images[indices]
        return Split(images, self.labels[indices], self.names[indices])

    def bind(self, transform: Transform, cache: str, training: bool) -> "Split":
        images = self.images
        bound = images.bind(transform, cache, training) if isinstance(images, Photos) else transform.arrays(images)
        return replace(self, images=bound)


@dataclass(frozen=True, repr=False)
class ImageData:
    """A data set in three splits; made by `load_data`, prints itself as a table."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: str
    transform: Transform | None = None  # once the images have been bound to a size
    native: tuple[Any, ...] = ()  # (height, width, channels) before that
    crop: float | None = None  # of the resized image's side, where the model's weights state none; None: all of it
    chosen: dict[str, Any] = field(default_factory=dict)  # of the transform, by the user: whatever the weights state
    pad: int | None = None  # black pixels around the resized image; None takes the model's
    cache: str = "auto"  # where resized photos are kept; see data.cache.keep
    notes: tuple[str, ...] = ()  # decisions that a reader should know of
    diagnosis: Diagnosis | None = field(default=None, repr=False)  # the doctor's, of image files

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def photos(self) -> bool:
        """Whether the images are files, decoded when they are needed."""
        return isinstance(self.train.images, Photos)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width, once the images have been bound to them."""
        return self.transform.size if self.transform else None

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each split: every image and label, in order, and the names of the classes."""
        return {name: split.fingerprint(self.classes) for name, split in self.splits.items()}

    def bind(self, shape: Sequence[int], pad: int, known: dict[str, Any] | None = None) -> "ImageData":
        """The same data with every image brought to the model's (height, width, channels).

        `pad` and `known`, crop and interpolation, are the model's; what was chosen for the data goes before them. Where
        neither says anything, files of photos are cropped as is usual, and everything else is squashed. Raises
        InputError where the data has a size already, and it is another.
        """
        now = self.train.images.shape[1:]
        if self.transform is not None and now != tuple(shape):
            raise InputError(f"The data was brought to {now} already; the model takes {tuple(shape)}")
        if self.transform is not None and not self.photos:
            return self
        pad, native = pad if self.pad is None else self.pad, self.native or now
        transform = Transform(
            (shape[0], shape[1]), shape[2], **{"crop": self.crop} | (known or {}) | self.chosen, pad=pad
        )
        if transform == self.transform:
            return self
        train, validation, test = (
            split.bind(transform, self.cache, name == "train") for name, split in self.splits.items()
        )
        return replace(self, train=train, validation=validation, test=test, transform=transform, native=native, pad=pad)

    def batches(
        self, split: str = "train", batch_size: int = 32, seed: int | None = None, augment: str = "none"
    ) -> Any:
        """A `keras.utils.PyDataset` of images (B, H, W, C) of 0 to 255 and one-hot labels (B, classes).

        With a `seed` they are shuffled, anew in every epoch, and augmented by a policy of
        `cnnzoo.data.augmentation`; equal seeds give equal batches. The data must be
        bound: load_data(..., image_size=...).
        """
        from cnnzoo.data.batches import Batches

        if not isinstance(split, str) or split not in self.splits:
            raise unknown_name("split", split, self.splits)
        if self.transform is None and self.photos:
            raise InputError("Photos come in batches at one size: load_data(..., image_size=(height, width))")
        seed = None if seed is None else check_integer("seed", seed, 0)
        if seed is None and augment != "none":
            raise InputError(f"Augmentation is drawn from a seed: batches(..., seed=0, augment={augment!r})")
        size = check_integer("batch_size", batch_size, 1, 1_000_000)
        batches = Batches(self.splits[split], len(self.classes), size, seed, augment)
        batches.advance = True
        return batches

    def dataset(
        self, split: str = "train", batch_size: int = 32, seed: int | None = None, augment: str = "none"
    ) -> Any:
        """The batches as a `tf.data.Dataset`, prefetched; see `batches`."""
        from cnnzoo.data.batches import to_tf_dataset

        return to_tf_dataset(self.batches(split, batch_size, seed, augment))

    def account(self) -> str:
        """How the images come to their size, in a sentence."""
        if self.transform is None:
            return "Images as they are."
        before, after = ("x".join(map(str, shape)) for shape in (self.native, self.transform.shape))
        if before == after and not self.transform.pad:
            return f"Images of {before}, as they are."
        what = "Photos" if None in self.native else f"Images of {before}"
        crop, border = "", f", within a black border of {self.transform.pad}" if self.transform.pad else ""
        if self.transform.crop is not None:
            crop = f", the central {100 * self.transform.crop:.4g} % of the sides,"
        how = f"resized by the pipeline ({self.transform.interpolation}, antialiased)"
        return f"{what} {how}{crop} to {after}{border}."

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        return f"<ImageData {self.source}: {len(self.classes)} classes, {sizes}>"

    def __str__(self) -> str:
        counts = {name: np.bincount(s.labels, minlength=len(self.classes)) for name, s in self.splits.items()}
        rows = [[name, *(str(count[i]) for count in counts.values())] for i, name in enumerate(self.classes)]
        rows = rows if len(rows) <= 20 else [*rows[:20], ["...", "", "", ""]]
        total = ["all", *(f"{len(s):,}" for s in self.splits.values())]
        shape = self.train.images.shape[1:]
        what = "photos" if None in shape else "x".join(map(str, shape))
        head = f"{self.source}: {what}, {len(self.classes)} classes"
        kept = [split.images.kept for split in self.splits.values() if self.photos and split.images.kept]
        room = [f"Resized images take {sum(k.bytes for k in kept) / 2**20:,.1f} MiB ({self.cache})."] if kept else []
        return "\n".join([head, format_table(["class", *counts], [*rows, total]), *self.notes, *room])

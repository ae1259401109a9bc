"""The splits of a data set, and the shares that a user asks for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError
from cnnzoo.data.loader import Loader
from cnnzoo.data.photos import Photos
from cnnzoo.data.transform import Transform

Indices = np.ndarray
Shares = tuple[float, float, float]  # of train, validation and test
DEFAULT_SHARES: Shares = (0.8, 0.1, 0.1)
EVALUATION_SHARES: Shares = (0.0, 0.0, 1.0)  # data for evaluation alone


@dataclass(frozen=True, repr=False)
class Split(SuggestsAttributes):
    """One of the three parts of an `ImageData`: `data.train`, `data.validation` or `data.test`.

    Attributes:
        images: (N, H, W, C) of 0 to 255; an array, or `Photos`, which are decoded when they are indexed.
        labels: (N,), class indices.
        names: (N,), the name of each image.
        weights: (N,), the weight of each image in the loss; None if all count the same.

    Example:
        >>> test = cnnzoo.load_data("digits").test
        >>> len(test), test.images.shape
        (180, (180, 8, 8, 1))
        >>> test.labels[:4].tolist()
        [4, 8, 5, 9]
        >>> test.take(np.array([0, 2])).names.tolist()
        ['digits[24]', 'digits[35]']
    """

    images: np.ndarray | Photos
    labels: np.ndarray
    names: np.ndarray
    weights: np.ndarray | None = None
    digests: np.ndarray | None = field(default=None, repr=False)  # of arrays, before they were resized
    _instead_of_items = (
        "Write .images[i] and .labels[i] for one image and its label, or .take(indices) for several; "
        'data.batches("train") yields batches'
    )
    loader: Loader = field(default_factory=Loader, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Split of {len(self):,} images, {self.images.shape}>"

    def fingerprint(self, classes: tuple[str, ...]) -> str:
        """Return a SHA-256 of the images and labels, in order, and of the class names."""
        if isinstance(self.images, Photos):
            digest = hashlib.sha256(repr(classes).encode())
            digest.update("".join(photo.digest for photo in self.images.photos).encode())
        else:
            digest = hashlib.sha256(repr((classes, self.images.shape, self.images.dtype.str)).encode())
            digest.update(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i8").data)
        return digest.hexdigest()

    def content_fingerprint(self, classes: tuple[str, ...]) -> str:
        """Return a SHA-256 of the images as they were loaded, with their class names: equal for equal sets of images.

        Unlike `fingerprint`, it does not depend on the size that arrays were resized to, nor on the order of the images
        and the classes, so it tells whether the figures of two models are from the same images.
        """
        digests, labels = self.image_digests(), np.asarray(self.labels)
        names = sorted(classes)
        ranks = np.array([names.index(name) for name in classes], "<i8")[labels]
        order = np.lexsort((ranks, digests))
        digest = hashlib.sha256(repr(names).encode())
        digest.update(digests[order].astype("<u8").data)
        digest.update(ranks[order].data)
        return digest.hexdigest()

    def take(self, indices: Indices) -> "Split":
        """Return the images at `indices`, in that order."""
        images = self.images.take(indices) if isinstance(self.images, Photos) else self.images[indices]
        weights = None if self.weights is None else self.weights[indices]
        digests = None if self.digests is None else self.digests[indices]
        return Split(images, self.labels[indices], self.names[indices], weights, digests, self.loader)

    def image_digests(self) -> np.ndarray:
        """Return a number (N,), uint64, for each image as it was loaded; equal images have equal numbers."""
        if isinstance(self.images, Photos):
            return np.array([int(photo.digest[:16], 16) for photo in self.images.photos], "uint64")
        return digest_arrays(self.images) if self.digests is None else self.digests

    def with_transform(self, transform: Transform, cache: str, training: bool) -> "Split":
        """Return the same images, transformed; photos are cached as `cache` says (see `open_cache`)."""
        images = self.images
        if isinstance(images, Photos):
            return replace(self, images=images.with_transform(transform, cache, training))
        return replace(self, images=transform.transform_arrays(images), digests=self.image_digests())


def concatenate_splits(splits: Sequence[Split]) -> Split:
    """Return the images of several splits of arrays, one after the other."""
    if len(splits) == 1:
        return splits[0]
    weights = [np.ones(len(split)) if split.weights is None else split.weights for split in splits]
    return Split(
        np.concatenate([split.images for split in splits]),
        np.concatenate([split.labels for split in splits]),
        np.concatenate([split.names for split in splits]),
        None if all(split.weights is None for split in splits) else np.concatenate(weights),
    )


def digest_arrays(images: np.ndarray) -> np.ndarray:
    """Return a number (N,), uint64, for each image (N, H, W, C); whole numbers of any type count as uint8."""
    if not len(images):
        return np.array([], "uint64")
    if images.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            as_bytes = images.astype("uint8")
        images = as_bytes if (as_bytes == images).all() else images
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    shape = repr(images.shape[1:]).encode()
    digests = [hashlib.blake2b(row.data, digest_size=8, salt=shape[:16]).digest() for row in rows]
    return np.frombuffer(b"".join(digests), "<u8").astype("uint64")


def check_shares(shares: Sequence[float]) -> Shares:
    """Return three shares (train, validation, test) that add up to 1, the first above 0; or (0, 0, 1).

    Raises InputError for anything else.
    """
    numbers = list(shares) if isinstance(shares, list | tuple) else []
    are_shares = all(isinstance(share, int | float) and share >= 0 for share in numbers)
    if tuple(numbers) == EVALUATION_SHARES:
        return EVALUATION_SHARES
    if len(numbers) != 3 or not are_shares or not numbers[0] or abs(sum(numbers) - 1) > 1e-6:
        raise InputError(
            "splits must be three shares that add up to 1 (train, validation, test), such as (0.8, 0.1, 0.1); or "
            "(1, 0, 0) to train on everything beside the test part of the source; or (0, 0, 1) for data that is for "
            f"evaluation alone. Received: {shares}"
        )
    train, validation, test = map(float, numbers)
    return train, validation, test

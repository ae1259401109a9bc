"""Image files as if they were an array: what is indexed is decoded, in parallel, or taken from a cache."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.threads import thread_pool
from cnnzoo.data import cache as caches
from cnnzoo.data.decode import decode_image
from cnnzoo.data.transform import Transform, array_to_pillow


@dataclass(frozen=True)
class Photo:
    """One image of a set: where it is and what a scan found."""

    source: Any  # a path, or a record with `read() -> bytes`
    name: str
    digest: str  # SHA-256 of its bytes
    sides: tuple[int, int]  # height and width, upright

    def content(self) -> Any:
        return self.source.read() if hasattr(self.source, "read") else self.source


class Photos:
    """An array-like (N, height, width, channels) over image files.

    An index or an array of indices gives uint8 images, transformed once a transform is bound; before that, one
    image at a time, as it is.
    """

    dtype = np.dtype("uint8")

    def __init__(self, photos: Sequence[Photo], channels: int = 3, transform: Transform | None = None) -> None:
        self.photos, self.channels, self.transform = list(photos), channels, transform
        self.kept: caches.ImageCache | None = None
        self.place = np.arange(len(self.photos))  # in what is kept

    def __len__(self) -> int:
        return len(self.photos)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"kept": None}  # another process makes its own

    @property
    def shape(self) -> tuple[Any, ...]:
        """(N, height, width, channels); the sides are None until a transform is bound."""
        return len(self), *(self.transform.shape if self.transform else (None, None, self.channels))

    def __repr__(self) -> str:
        return f"<Photos {self.shape}>"

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, int | np.integer):
            return self._one(range(len(self))[index])
        indices = np.arange(len(self))[index]
        if self.transform is None:
            raise InputError("Photos of several sizes are taken one by one, until they are bound to a model's size")
        if not len(indices):
            return np.empty((0, *self.transform.shape), "uint8")
        return np.stack(list(thread_pool().map(self._one, indices)))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._one(i) for i in range(len(self)))

    def take(self, indices: np.ndarray) -> "Photos":
        """Some of the photos, in the order of the indices."""
        part = Photos([self.photos[i] for i in indices], self.channels, self.transform)
        part.kept, part.place = self.kept, self.place[indices]
        return part

    def bind(self, transform: Transform, where: str, training: bool) -> "Photos":
        """The photos as `transform` gives them, kept `where` cache.keep says."""
        bound = Photos(self.photos, transform.channels, transform)
        bound.kept = caches.open_cache(
            [photo.sides for photo in self.photos], transform, where, self.key(transform), training
        )
        return bound

    def key(self, transform: Transform) -> str:
        """A name for the resized images of these photos: what they are made of, hashed."""
        from PIL import __version__ as pillow

        parts = [repr(transform), pillow, *(photo.digest for photo in self.photos)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def crop(self, i: int, area: tuple[float, float], draw: random.Random) -> np.ndarray:
        """A random crop, resized, of image `i`; see `Transform.cropped`."""
        assert self.transform
        kept = self.kept is not None and self.kept.crops
        return self.transform.cropped(self._kept(i) if kept else self.photos[i].content(), area, draw)

    def _one(self, i: int) -> np.ndarray:
        if self.transform is None:
            return decode_image(self.photos[i].content(), self.channels)
        if self.kept is None:
            return self.transform.one(self.photos[i].content())
        if not self.kept.crops:
            return self._kept(i)
        return self.transform.finished(array_to_pillow(self._kept(i)))

    def _kept(self, i: int) -> np.ndarray:
        """What is kept of the image, which is made where it is not there yet."""
        assert self.transform
        assert self.kept
        place = int(self.place[i])
        pixels = self.kept.get(place)
        if pixels is None:
            make = self.transform.whole if self.kept.crops else self.transform.one
            pixels = make(self.photos[i].content())
            self.kept.put(place, pixels)
        return pixels

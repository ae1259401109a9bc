"""Image files that behave like an array: indexing decodes them, in parallel, or takes them from a cache."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.cache import ImageCache, open_cache
from cnnzoo.data.decode import Source, decode_image
from cnnzoo.data.transform import Transform, array_to_pillow


@dataclass(frozen=True)
class Photo:
    """One image file of a data set, as the scan found it."""

    source: Any  # a path, or an object with `read() -> bytes`
    name: str
    digest: str  # SHA-256 of its bytes
    size: tuple[int, int]  # (height, width), upright

    def path_or_bytes(self) -> Source:
        """Return what the decoder takes: the path, or the bytes of a stored image."""
        return self.source.read() if hasattr(self.source, "read") else self.source


class Photos:
    """An array-like (N, height, width, channels) over image files.

    An index or an array of indices returns uint8 images, transformed once a transform is set. Before that, images are
    returned one at a time, at their own size.
    """

    dtype = np.dtype("uint8")

    def __init__(
        self,
        photos: Sequence[Photo],
        channels: int = 3,
        transform: Transform | None = None,
        levels: Levels | None = None,
    ) -> None:
        self.photos, self.channels, self.transform = list(photos), channels, transform
        self.levels = transform.levels if transform else levels
        self.cache: ImageCache | None = None
        self.cache_slots = np.arange(len(self.photos))  # of each photo, in the cache

    def __len__(self) -> int:
        return len(self.photos)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"cache": None}  # another process decodes for itself

    @property
    def shape(self) -> tuple[Any, ...]:
        """(N, height, width, channels); height and width are None until a transform is set."""
        return len(self), *(self.transform.shape if self.transform else (None, None, self.channels))

    def __repr__(self) -> str:
        return f"<Photos {self.shape}>"

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, int | np.integer):
            return self._load(range(len(self))[index])
        indices = np.arange(len(self))[index]
        if self.transform is None:
            raise InputError(
                "Photos of different sizes can only be indexed one by one; load_data(..., image_size=...) resizes them"
            )
        if not len(indices):
            return np.empty((0, *self.transform.shape), "uint8")
        return np.stack(list(thread_pool().map(self._load, indices)))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._load(i) for i in range(len(self)))

    def take(self, indices: np.ndarray) -> "Photos":
        """Return the photos at `indices`, in that order."""
        taken = Photos([self.photos[i] for i in indices], self.channels, self.transform, self.levels)
        taken.cache, taken.cache_slots = self.cache, self.cache_slots[indices]
        return taken

    def with_transform(self, transform: Transform, cache: str, training: bool) -> "Photos":
        """Return the same photos with another transform and a new cache; see `open_cache`."""
        transformed = Photos(self.photos, transform.channels, transform)
        sizes = [photo.size for photo in self.photos]
        transformed.cache = open_cache(sizes, transform, cache, self.cache_key(transform), training)
        return transformed

    def cache_key(self, transform: Transform) -> str:
        """Return a name for the resized images of these photos: a hash of everything they depend on."""
        from PIL import __version__ as pillow

        parts = [repr(transform), pillow, *(photo.digest for photo in self.photos)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def random_resized_crop(self, i: int, area: tuple[float, float], rng: random.Random) -> np.ndarray:
        """Return a random crop of image `i`, resized; see `Transform.random_resized_crop`."""
        assert self.transform
        uncropped = self.cache is not None and self.cache.uncropped
        source = self._load_cached(i) if uncropped else self.photos[i].path_or_bytes()
        return self.transform.random_resized_crop(source, area, rng)

    def _load(self, i: int) -> np.ndarray:
        """Return image `i`, transformed if a transform is set, from the cache if there is one."""
        if self.transform is None:
            return decode_image(self.photos[i].path_or_bytes(), self.channels, self.levels)
        if self.cache is None:
            return self.transform.transform_file(self.photos[i].path_or_bytes())
        if not self.cache.uncropped:
            return self._load_cached(i)
        return self.transform.resize_and_crop(array_to_pillow(self._load_cached(i)))

    def _load_cached(self, i: int) -> np.ndarray:
        """Return image `i` from the cache; decode and store it first if it is not there."""
        assert self.transform
        assert self.cache
        slot = int(self.cache_slots[i])
        pixels = self.cache.get(slot)
        if pixels is None:
            load = self.transform.resize_only if self.cache.uncropped else self.transform.transform_file
            pixels = load(self.photos[i].path_or_bytes())
            self.cache.put(slot, pixels)
        return pixels

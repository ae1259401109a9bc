"""Image files that behave like an array: indexing decodes them, in parallel, or takes them from a cache."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.cache import ImageCache, open_cache
from cnnzoo.data.decode import Source, decode_image
from cnnzoo.data.packed_image import PackedImage
from cnnzoo.data.pipeline import FileStamp, ImagePipeline, ImageSource
from cnnzoo.data.transform import Transform


@dataclass(frozen=True)
class Photo:
    """One image file of a data set, as the scan found it."""

    source: Any  # a path, or an object with `read() -> bytes`
    name: str
    digest: str  # SHA-256 of its bytes
    size: tuple[int, int]  # (height, width), upright
    stamp: FileStamp | None = None  # of a file; None for stored images

    def path_or_bytes(self) -> Source:
        """Return what the decoder takes: the path, or the bytes of a stored image."""
        return self.source.read() if hasattr(self.source, "read") else self.source

    def describe(self) -> str:
        """Return the path, or the name of a stored image, for messages."""
        return self.name if hasattr(self.source, "read") else os.fsdecode(self.source)


def make_photo(source: Any, name: str, digest: str, size: tuple[int, int]) -> Photo:
    """Return a photo that notices later changes of its file."""
    if hasattr(source, "read"):
        return Photo(source, name, digest, size)
    try:
        status = os.stat(source)  # noqa: PTH116
    except OSError:  # it has just vanished; the first use says so
        return Photo(source, name, digest, size)
    stamp = FileStamp(os.fsdecode(source), status.st_size, status.st_mtime_ns, digest)
    return Photo(source, name, digest, size, stamp)


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

    # Single images, as the loader takes them

    def make_pipeline(self, area: tuple[float, float] | None = None, augmentation: Any = None) -> ImagePipeline:
        """Return what is done with each photo, with random crops of an area or with the transform's own."""
        assert self.transform
        uncropped = self.cache is not None and self.cache.uncropped
        return ImagePipeline(self.transform, area, uncropped, augmentation)

    def find_source(self, i: int, pipeline: ImagePipeline) -> ImageSource:
        """Return what image `i` is made of: its pixels in the cache, its file or its bytes."""
        if self.cache is not None and pipeline.starts_resized:
            pixels = self.cache.get(int(self.cache_slots[i]))
            if pixels is not None:
                return pixels
        photo = self.photos[i]
        # Worker processes read packed images themselves; other stored images are sent to them
        is_packed = isinstance(photo.source, PackedImage)
        source = photo.stamp or (photo.source if is_packed else photo.path_or_bytes())
        return os.fsdecode(source) if isinstance(source, os.PathLike) else source

    def is_cached(self, pipeline: ImagePipeline) -> bool:
        """Return whether every image is in the cache, and comes from there as it is."""
        if self.cache is None or not pipeline.is_copy:
            return False
        return bool(self.cache.marks[self.cache_slots].all())

    def kept_shape(self, i: int, pipeline: ImagePipeline) -> tuple[int, ...] | None:
        """Return the shape of what the cache will keep of image `i`, or None without a cache."""
        return self.cache.shapes[self.cache_slots[i]] if self.cache is not None and pipeline.starts_resized else None

    def keep(self, i: int, pixels: np.ndarray) -> None:
        """Store image `i` in the cache, if there is one."""
        if self.cache is not None:
            self.cache.put(int(self.cache_slots[i]), pixels)

    def _load(self, i: int) -> np.ndarray:
        """Return image `i`, transformed if a transform is set, from the cache if there is one."""
        if self.transform is None:
            return decode_image(self.photos[i].path_or_bytes(), self.channels, self.levels)
        pipeline = self.make_pipeline()
        pixels, kept = pipeline.load(self.find_source(i, pipeline), None)
        if kept is not None:
            self.keep(i, kept)
        return pixels

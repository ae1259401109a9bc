"""What is done with one image of a batch: the same in a thread of this process and in a worker process."""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.decode import MAX_NAME, read_image_bytes
from cnnzoo.data.packed_image import PackedImage
from cnnzoo.data.transform import Transform, array_to_pillow

CropArea = tuple[float, float]  # least and greatest share of the image's area that a random crop covers


class FileStamp(NamedTuple):
    """An image file as it was when the data was loaded, to notice that it has changed since."""

    path: str
    size: int  # in bytes
    changed: int  # modification time in nanoseconds
    digest: str  # SHA-256 of its bytes

    def check_unchanged(self) -> None:
        """Raise InputError if the file has gone or holds something else; reads it only if it was written again."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  # called for every image of every epoch
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise InputError(
                f"Cannot read {self.path!r:.{MAX_NAME}} as an image: {reason}. It was there when the data was loaded; "
                "load the data again"
            ) from None
        if (status.st_size, status.st_mtime_ns) == (self.size, self.changed):
            return
        if hashlib.sha256(read_image_bytes(self.path)).hexdigest() != self.digest:
            raise InputError(
                f"{self.path!r:.{MAX_NAME}} has changed since the data was loaded; load the data again, so that its "
                "images are checked"
            )


# A file, an image of packed data, the bytes of a file, or pixels (H, W, C)
ImageSource = FileStamp | PackedImage | str | bytes | np.ndarray


class ImagePipeline(NamedTuple):
    """The steps from the source of an image to its pixels in a batch.

    Attributes:
        transform: brings images to the size of the batch.
        area: the area of random crops; None takes the transform's own crop.
        keeps_resized: whether images are resized first, and the crop is taken from these; a cache stores them.
        augmentation: changes the pixels after that, if it `changes_images`.
    """

    transform: Transform
    area: CropArea | None = None
    keeps_resized: bool = False
    augmentation: Any = None

    @property
    def starts_resized(self) -> bool:
        """Whether every image is first brought to a size that a cache may keep; else crops are taken from its file."""
        return self.area is None or self.keeps_resized

    @property
    def is_copy(self) -> bool:
        """Whether pixels that are given stay as they are."""
        return self.area is None and not self.keeps_resized and self.augmentation is None

    def load(self, source: ImageSource, seed: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the pixels (height, width, channels) of an image, and what a cache keeps of it.

        Args:
            source: a file, an image of packed data, bytes, or pixels: those that the cache kept, or those of an array.
            seed: decides everything that is random.

        Returns:
            The pixels, and the transformed or resized image, unless that was given or random crops are taken from the
            file itself.
        """
        rng = None if seed is None else random.Random(seed)
        if isinstance(source, FileStamp):
            source.check_unchanged()
            source = source.path
        elif isinstance(source, PackedImage):
            source = source.read()

        # Crop and resize
        kept = None
        if self.area and not self.keeps_resized:
            assert rng
            pixels = self.transform.random_resized_crop(source, self.area, rng)
        else:
            if isinstance(source, np.ndarray):
                resized = source
            elif self.keeps_resized:
                resized = kept = self.transform.resize_only(source)
            else:
                resized = kept = self.transform.transform_file(source)
            if self.area:
                assert rng
                pixels = self.transform.random_resized_crop(resized, self.area, rng)
            elif self.keeps_resized:
                pixels = self.transform.resize_and_crop(array_to_pillow(resized))
            else:
                pixels = resized

        # Augment
        if self.augmentation is not None and rng is not None:
            pixels = self.augmentation.augment_image(pixels, rng)
        return pixels, kept

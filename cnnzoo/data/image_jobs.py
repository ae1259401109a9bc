"""Jobs of a few images of a batch, which a thread or a worker process runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.photos import Photos
from cnnzoo.data.pipeline import ImagePipeline, ImageSource


class ImageJob:
    """Loads some images into their places in a batch.

    Attributes:
        pipeline: what is done with each image.
        indices: the images to load.
        seeds: of each image.
        out: (n, height, width, channels), where the pixels go.
    """

    def __init__(
        self,
        images: np.ndarray | Photos,
        pipeline: ImagePipeline,
        indices: Sequence[int],
        seeds: Sequence[int | None],
        out: np.ndarray,
    ) -> None:
        self.images, self.pipeline, self.indices, self.seeds, self.out = images, pipeline, indices, seeds, out

    def run(self) -> None:
        """Load the images in this thread."""
        for number in range(len(self.indices)):
            source = self.find_source(number)
            try:
                self.store(number, *self.pipeline.load(source, self.seeds[number]))
            except InputError as error:
                raise self.name_image(number, error) from None

    def find_source(self, number: int) -> ImageSource:
        """Return what image `number` of the job is made of."""
        if isinstance(self.images, Photos):
            return self.images.find_source(self.indices[number], self.pipeline)
        pixels: np.ndarray = self.images[self.indices[number]]
        return pixels

    def kept_shape(self, number: int, source: ImageSource) -> tuple[int, ...] | None:
        """Return the shape of what the cache will keep of an image, or None if it keeps nothing or has it already."""
        if isinstance(source, np.ndarray) or not isinstance(self.images, Photos):
            return None
        return self.images.kept_shape(self.indices[number], self.pipeline)

    def store(self, number: int, pixels: np.ndarray, kept: np.ndarray | None) -> None:
        """Put the pixels of an image in their place, and what the cache keeps of it into the cache."""
        self.out[number] = pixels
        if kept is not None and isinstance(self.images, Photos):
            self.images.keep(self.indices[number], kept)

    def name_image(self, number: int, error: Exception) -> InputError:
        """Return the error of an image as an InputError that names the image."""
        name = self.describe_image(number)
        return InputError(str(error) if name in str(error) else f"{name}: {error}")

    def describe_image(self, number: int) -> str:
        """Return the name of an image of the job for messages: the path of a file, or its number."""
        index = self.indices[number]
        return self.images.photos[index].describe() if isinstance(self.images, Photos) else f"image {index}"


def split_into_jobs(
    images: np.ndarray | Photos,
    pipeline: ImagePipeline,
    indices: Sequence[int],
    seeds: Sequence[int | None],
    out: np.ndarray,
    size: int,
) -> list[ImageJob]:
    """Return jobs of up to `size` images each that fill `out`."""
    starts: Any = range(0, len(indices), size)
    return [ImageJob(images, pipeline, indices[i : i + size], seeds[i : i + size], out[i : i + size]) for i in starts]

"""Batches of images for the network, from arrays or from files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.bit_depth import scale_deep_array
from cnnzoo.data.checks import check_images
from cnnzoo.data.packed_image import PackedImage
from cnnzoo.data.transform import Transform
from cnnzoo.inference.file_reading import read_in_processes
from cnnzoo.inference.inputs import NamedImage, prefetch
from cnnzoo.inference.sources import MIN_SIDE, Unreadable


class Batch(NamedTuple):
    """Images at the size of the network.

    Attributes:
        names: path or number of each image.
        pixels: the images (N, height, width, channels), black where one could not be read.
        errors: why images could not be read, by their position in the batch.
    """

    names: list[str]
    pixels: np.ndarray
    errors: dict[int, str]


def iter_array_batches(images: np.ndarray, size: int, transform: Transform) -> Iterator[Batch]:
    """Yield batches of `size` images of an array (N, H, W) or (N, H, W, C).

    Raises:
        InputError: for an array that is no batch of images.
    """
    if images.ndim == 3 and images.shape[0] == 3 == transform.channels and min(images.shape[1:]) >= MIN_SIDE:
        warn_caller(
            f"An array of shape {images.shape} is read as 3 gray images. If it is one image with its channels first, "
            "pass images.transpose(1, 2, 0)",
        )
    images = check_images(scale_deep_array(images, transform.levels))
    for start in range(0, len(images), size):
        pixels = transform.transform_arrays(images[start : start + size])
        yield Batch([str(start + i) for i in range(len(pixels))], pixels, {})


def iter_image_batches(
    images: Iterator[NamedImage], size: int, transform: Transform, workers: int = 0
) -> Iterator[Batch]:
    """Yield batches of `size` images, which so many worker processes read ahead, or threads."""
    read = partial(_read_image, transform)
    decoded_images = (
        read_in_processes(images, transform, workers, read) if workers else prefetch(read, images, 2 * size)
    )
    while chunk := list(itertools.islice(decoded_images, size)):
        names, pixels, errors = zip(*chunk, strict=True)
        yield Batch(list(names), np.stack(pixels), {i: error for i, error in enumerate(errors) if error})


def _read_image(transform: Transform, image: NamedImage) -> tuple[str, np.ndarray, str]:
    """Return name, pixels and error of an image; it is black if it cannot be read."""
    name, source = image
    try:
        if isinstance(source, Unreadable):
            raise InputError(source.reason)
        if isinstance(source, PackedImage):
            source = source.read()
        return name, transform(source), ""
    except InputError as error:
        return name, np.zeros(transform.shape, "uint8"), str(error)

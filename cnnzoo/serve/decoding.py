"""Decode the images of requests within the limits of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import format_count
from cnnzoo.data.checks import check_images
from cnnzoo.data.decode import FILE_CHANNELS, check_pixels, open_for_decoding, to_upright
from cnnzoo.data.transform import Transform
from cnnzoo.serve.limits import Limits

if TYPE_CHECKING:
    from cnnzoo.data.decode import Opened


def decode(source: bytes | np.ndarray, transform: Transform, limits: Limits) -> np.ndarray:
    """Return an image at the size of the network, as `Classifier.predict` gives it to the network.

    Args:
        source: the bytes of a file, or pixels (H, W, C) with values 0 to 255.
        transform: the transform of the model.
        limits: the limits of the server.

    Returns:
        uint8 (height, width, channels).

    Raises:
        InputError: if it is no image, or a larger one than the limits allow.
    """
    if isinstance(source, np.ndarray):
        check_size(source.shape[1], source.shape[0], limits)
        check_channels(source.shape[2], transform.channels)  # before Keras is imported to resize them
        return transform.transform_arrays(check_images(source[None]))[0]
    with open_within_limits(source, transform, limits) as image:
        return transform.resize_and_crop(to_upright(image, transform.channels, transform.levels))


@contextmanager
def open_within_limits(content: bytes, transform: Transform, limits: Limits) -> Iterator[Opened]:
    """Open the bytes of a file for decoding; raise InputError if it is no image, or a larger one than is allowed."""
    if len(content) > limits.image_bytes:
        raise InputError(f"An image of {len(content):,} bytes is larger than the {limits.image_bytes:,} allowed")
    with open_for_decoding(content, transform.channels, transform.levels) as image:
        check_size(image.width, image.height, limits)
        yield image


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raise InputError if an image has more pixels than the limits allow."""
    if width * height > limits.pixels:
        raise InputError(f"An image of {width}x{height} pixels is larger than the {limits.pixels:,} allowed")
    check_pixels(width, height)


def check_channels(received: int, channels: int) -> None:
    """Raise InputError if pixels have neither the channels of the model nor are gray or RGB for the other of these."""
    if received != channels and not {received, channels} <= set(FILE_CHANNELS):
        raise InputError(f"The model takes images with {format_count(channels, 'channel')}. Received: {received}")

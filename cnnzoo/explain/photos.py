"""The images that are explained: as the network gets them, and where that part lies in the original photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.bit_depth import scale_deep_array
from cnnzoo.data.checks import check_images
from cnnzoo.data.decode import open_for_decoding, to_upright, upright_size
from cnnzoo.data.packed_image import PackedImage
from cnnzoo.data.pillow_images import is_pillow_image
from cnnzoo.data.resize import inner_size
from cnnzoo.data.transform import Transform, array_to_pillow
from cnnzoo.inference.inputs import iter_images_and_warn, prefetch
from cnnzoo.inference.sources import ImageSource, Unreadable, unify_images

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

PHOTOS_AHEAD = 8  # that are decoded while others are explained


@dataclass(frozen=True)
class Photo:
    """One image.

    Attributes:
        name: its path, or its number.
        source: where its pixels come from.
        transform: brings it to the size of the network.
        pixels: the image as the network gets it; black if it cannot be read.
        size: (height, width) of the upright original; (0, 0) if it cannot be read.
        box: top, left, bottom and right of the part that the network sees, in pixels of the original.
        error: why it cannot be read; empty if it can.
    """

    name: str
    source: ImageSource
    transform: Transform
    pixels: np.ndarray
    size: tuple[int, int] = (0, 0)
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    error: str = ""

    def picture(self) -> PillowImage:
        """Return the upright original as an RGB picture; its file is read again.

        Raises:
            InputError: if it cannot be read any more, or has another size than when it was explained.
        """
        picture = self._open_picture()
        if picture.size[::-1] != self.size:
            was, now = ("x".join(map(str, size)) for size in (self.size, picture.size[::-1]))
            raise InputError(f"{self.name} was replaced since it was explained: it has {now} pixels instead of {was}")
        return picture

    def _open_picture(self) -> PillowImage:
        if self.error:
            raise InputError(self.error)
        channels, levels = self.transform.channels, self.transform.levels
        if isinstance(self.source, np.ndarray):
            pixels = check_images(scale_deep_array(_as_batch(self.source), levels))[0]
            pixels = pixels if pixels.shape[2] in (1, 3) else pixels[..., :1]
            return array_to_pillow(np.clip(pixels, 0, 255).astype("uint8")).convert("RGB")
        source: Any = self.source
        if is_pillow_image(source):
            return to_upright(source, 3, levels)
        with open_for_decoding(_to_file(self.source), 1 if channels == 1 else 3, levels) as image:
            return to_upright(image, 3, levels)


def iter_photos(images: Any, transform: Transform) -> Iterator[Photo]:
    """Yield the images that `predict` takes, brought to the size of the network.

    Args:
        images: as `Classifier.predict` takes them.
        transform: that of the classifier.

    Raises:
        InputError: for an array that is no batch of images, or anything that is no image.
    """
    images = unify_images(images)
    if isinstance(images, np.ndarray):
        check_images(scale_deep_array(images[:1], transform.levels))
        yield from (_read_photo(str(i), image, transform, strict=True) for i, image in enumerate(images))
        return
    named = iter_images_and_warn(images)
    yield from prefetch(lambda item: _read_photo(*item, transform), named, PHOTOS_AHEAD)


def _read_photo(name: str, source: ImageSource, transform: Transform, strict: bool = False) -> Photo:
    """Return one image; one that cannot be read has an error, unless `strict`."""
    try:
        if isinstance(source, Unreadable):
            raise InputError(source.reason)
        if isinstance(source, np.ndarray):
            return _read_array(name, source, transform)
        if is_pillow_image(source):
            picture: Any = source
            size = upright_size(picture)
            return Photo(name, source, transform, transform(source), size, transform.crop_box(size))
        with open_for_decoding(_to_file(source), transform.channels, transform.levels) as image:
            upright = to_upright(image, transform.channels, transform.levels)
            size = (upright.height, upright.width)
            return Photo(name, source, transform, transform.resize_and_crop(upright), size, transform.crop_box(size))
    except InputError as error:
        if strict:
            raise
        return Photo(name, source, transform, np.zeros(transform.shape, "uint8"), error=str(error))


def _read_array(name: str, source: np.ndarray, transform: Transform) -> Photo:
    batch = _as_batch(source)
    height, width = batch.shape[1:3]
    has_size = (height, width) == inner_size(transform.size, transform.pad)  # such arrays are not cropped
    box = (0.0, 0.0, float(height), float(width)) if has_size else transform.crop_box((height, width))
    return Photo(name, source, transform, transform(batch)[0], (height, width), box)


def _as_batch(array: np.ndarray) -> np.ndarray:
    return array[None, ..., None] if array.ndim == 2 else array[None]


def _to_file(source: Any) -> Any:
    """Return the path or the bytes of an image."""
    return source.read() if isinstance(source, PackedImage) else source

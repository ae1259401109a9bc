"""How an image becomes what the model sees: its weights' evaluation transform, and the random crops of training."""

import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.decode import open_for_decoding, to_upright, upright_size
from cnnzoo.data.resize import INTERPOLATIONS, center_offset, inner_size, resize_images, resized_size


@dataclass(frozen=True)
class Transform:
    """Images of any size to uint8 (height, width, channels), as Pillow resizes them: antialiased, in whole levels."""

    size: tuple[int, int]  # height and width of the result
    channels: int = 3
    crop: float | None = None  # side of the centre crop, as a share of the resized image's; None squashes all of it
    interpolation: str = "bilinear"  # a name of preprocessing.INTERPOLATIONS
    pad: int = 0  # black pixels on each side of the resized image

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise unknown_name("interpolation", self.interpolation, INTERPOLATIONS)
        if self.crop is not None and not 0 < self.crop <= 1:
            raise InputError(f"crop is a share of the side, above 0 and at most 1. Received: {self.crop!r}")
        inner_size(self.size, self.pad)

    def __call__(self, images: Any) -> np.ndarray:
        """Transformed images.

        Args:
            images: the path of a file or an array (H, W) or (H, W, C) of 0 to 255, for which the result is (height,
                width, channels); or a list of these, or an array (N, H, W, C), for which it is (N, height, width,
                channels).

        Raises:
            InputError: for what is no image.
        """
        if isinstance(images, str | os.PathLike | bytes):
            return self.one(images)
        if isinstance(images, list | tuple):
            return np.stack([self(image) for image in images]) if images else np.empty((0, *self.shape), "uint8")
        from cnnzoo.data.arrays import check_images

        array = np.asarray(images)
        if array.ndim == 4:
            return self.arrays(check_images(array))
        if array.ndim not in (2, 3):
            raise InputError(f"An image is a path or an array (H, W) or (H, W, C). Received: shape {array.shape}")
        return self.arrays(check_images(array[None] if array.ndim == 3 else array[None, ..., None]))[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the result."""
        return (*self.size, self.channels)

    def one(self, source: Any) -> np.ndarray:
        """The transformed image of a file's path or bytes."""
        with open_for_decoding(source, self.channels) as image:
            return self.finished(to_upright(image, self.channels))

    def arrays(self, images: np.ndarray) -> np.ndarray:
        """The transformed images of an array (N, H, W, C) of 0 to 255; Pillow's if they are uint8, gray or RGB.

        Arrays of the size wanted, within the border, are neither resized nor cropped: somebody has brought them there.
        """
        if images.shape[1:] == self.shape and not self.pad:
            return images
        if images.shape[1:3] == inner_size(self.size, self.pad) and self.crop is not None:
            return replace(self, crop=None).arrays(images)
        if images.dtype == np.uint8 and {images.shape[3], self.channels} <= {1, 3}:
            done = np.empty((len(images), *self.shape), "uint8")
            for i, pixels in enumerate(images):
                done[i] = self.finished(array_to_pillow(pixels).convert("L" if self.channels == 1 else "RGB"))
            return done
        chunks = (images[i : i + 1024] for i in range(0, len(images), 1024))
        fitted = (resize_images(chunk, self.shape, self.pad, self.crop, self.interpolation) for chunk in chunks)
        return np.concatenate([np.asarray(chunk).astype("uint8") for chunk in fitted])

    def finished(self, image: Any) -> np.ndarray:
        """An upright Pillow image, resized, cropped to the centre and within the black border.

        Only the pixels of the crop are computed, from a box whose sides Pillow takes in single precision: of photos, a
        pixel in two hundred is a level off what cropping the resized image gives.
        """
        size = inner_size(self.size, self.pad)
        scales, begins = [], []
        for outer, whole, side in zip(image.size[::-1], self.sides(image.size[::-1]), size, strict=True):
            scales.append(outer / whole)
            begins.append(center_offset(whole, side) * outer / whole)
        ends = [min(b + n * s, o) for b, n, s, o in zip(begins, size, scales, image.size[::-1], strict=True)]
        pixels = self._resize(image, size, (begins[1], begins[0], ends[1], ends[0]))
        return np.pad(pixels, ((self.pad, self.pad), (self.pad, self.pad), (0, 0))) if self.pad else pixels

    def sides(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width that an image of `size`, (height, width), is resized to before the centre is cut out."""
        return resized_size(size[0], size[1], inner_size(self.size, self.pad), self.crop)

    def whole(self, source: Any) -> np.ndarray:
        """The resized image of a file, not yet cropped."""
        with open_for_decoding(source, self.channels) as image:
            turned = to_upright(image, self.channels)
            return self._resize(turned, self.sides(turned.size[::-1]))

    def cropped(self, source: Any, area: tuple[float, float], draw: random.Random) -> np.ndarray:
        """A random crop, resized to the whole size, or its mirror image, of a file or of pixels (H, W, C).

        Args:
            source: a path, the bytes of a file, or an array.
            area: least and greatest share of the image's area.
            draw: where the crop comes from.
        """
        if isinstance(source, np.ndarray):
            top, left, height, width = random_crop_box(source.shape[0], source.shape[1], area, draw)
            small = resize_pixels(source[top : top + height, left : left + width], self.size, self.interpolation)
            return small[:, ::-1] if draw.random() < 0.5 else small
        with open_for_decoding(source, self.channels) as image:
            rows, columns = upright_size(image)
            top, left, height, width = random_crop_box(rows, columns, area, draw)
            # A JPEG far larger than needed is decoded at a half, a quarter or an eighth: its own kind of antialiasing
            reduction = min(height // self.size[0], width // self.size[1])
            if image.format in ("JPEG", "MPO") and reduction > 1:
                image.draft(None, (image.width // reduction, image.height // reduction))
            whole = to_upright(image, self.channels)
        y, x = whole.height / rows, whole.width / columns
        box = left * x, top * y, min((left + width) * x, whole.width), min((top + height) * y, whole.height)
        return self._resize(whole, self.size, box, mirrored=draw.random() < 0.5)

    def _resize(
        self, image: Any, size: Sequence[int], box: Sequence[float] | None = None, mirrored: bool = False
    ) -> np.ndarray:
        small = image.resize((size[1], size[0]), INTERPOLATIONS[self.interpolation], box=box)
        small = small.transpose(0) if mirrored else small  # Pillow's number for left to right
        return np.asarray(small).reshape(*size, self.channels)


def array_to_pillow(pixels: np.ndarray) -> Any:
    """Pixels (H, W, C), uint8 gray or RGB, as a Pillow image."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def resize_pixels(pixels: np.ndarray, size: Sequence[int], interpolation: str) -> np.ndarray:
    """Pixels (H, W, C) at another (height, width); one channel at a time where Pillow has no such images."""
    from PIL import Image

    sides, number = (size[1], size[0]), INTERPOLATIONS[interpolation]
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        return np.asarray(array_to_pillow(pixels).resize(sides, number)).reshape(*size, -1)
    planes = [Image.fromarray(pixels[..., i].astype("float32")) for i in range(pixels.shape[2])]
    return np.clip(np.rint(np.dstack([np.asarray(plane.resize(sides, number)) for plane in planes])), 0, 255).astype(
        "uint8"
    )


def random_crop_box(
    height: int, width: int, area: tuple[float, float], draw: random.Random
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop with a share of the area within `area` and sides within 3:4 and 4:3.

    As GoogLeNet was trained (Szegedy et al. 2014, section 6). Where ten draws do not fit, the largest such centre.
    """
    for _ in range(10):
        pixels = draw.uniform(*area) * height * width
        ratio = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        h, w = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < h <= height and 0 < w <= width:
            return draw.randint(0, height - h), draw.randint(0, width - w), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def transform(model: Any) -> Transform:
    """The evaluation transform of a model: for one's own files and arrays, what its weights were published with.

    Raises InputError where the model has no fixed input size.
    """
    if not hasattr(model, "input_shape"):
        raise InputError(f"transform takes a Keras model (a Classifier's is its `model`). Received: {model!r:.200}")
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or None in shape:
        raise InputError(f"{model.name} has no fixed input size: it takes {model.input_shape}")
    card = cards.card(model)
    return Transform(shape[:2], shape[2], **card.evaluation_transform, pad=card.pad)

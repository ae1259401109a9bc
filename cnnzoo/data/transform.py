"""From images to the model's input: the evaluation transform of the weights, and the random crops of training."""

import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import card_storage, cards
from cnnzoo.core.arguments import check_arguments, check_fields
from cnnzoo.core.errors import InputError, check_image_size, check_levels, unknown_name
from cnnzoo.data.bit_depth import Levels, scale_deep_array
from cnnzoo.data.checks import check_images
from cnnzoo.data.decode import Source, check_pixels, open_for_decoding, to_upright, upright_size
from cnnzoo.data.pillow_images import is_pillow_image, pillow_errors
from cnnzoo.data.resize import INTERPOLATIONS, center_offset, inner_size, resize_images, resized_size

if TYPE_CHECKING:
    import keras
    from PIL.Image import Image as PillowImage

CHUNK = 1024  # images that are resized at once


@check_fields()
@dataclass(frozen=True)
class Transform:
    """Resize, crop and pad images of any size to the input of a model.

    Images are resized with antialiasing, as Pillow does, and stay in whole levels of 0 to 255.

    Attributes:
        size: (height, width) of the result.
        channels: 1 for gray or 3 for RGB; arrays may have others.
        crop: side of the center crop as a share of the resized image's side, above 0 and at most 1. None resizes the
            whole image without keeping its aspect ratio.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3".
        pad: black pixels on each side of the resized image, within `size`.
        levels: for images of more than 8 bits, the levels (low, high) that become black and white, or the high one
            alone, such as 4095 for 12 bits. None is the whole range of 16 bits.

    Raises:
        InputError: if `crop`, `interpolation`, `pad` or `levels` is not allowed.

    Example:
        >>> transform = cnnzoo.Transform((32, 48), channels=1, crop=0.875)
        >>> transform.shape
        (32, 48, 1)
        >>> transform(np.zeros((60, 80), "uint8")).shape
        (32, 48, 1)
        >>> transform(np.zeros((5, 60, 80, 3), "uint8")).shape
        (5, 32, 48, 1)
    """

    size: tuple[int, int]
    channels: int = 3
    crop: float | None = None
    interpolation: str = "bilinear"
    pad: int = 0
    levels: Levels | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", check_levels(self.levels))  # JSON gives a list, users one number
        if self.interpolation not in INTERPOLATIONS:
            raise unknown_name("interpolation", self.interpolation, INTERPOLATIONS)
        if self.crop is not None and not 0 < self.crop <= 1:
            raise InputError(f"crop must be a share of the side, above 0 and at most 1. Received: {self.crop!r}")
        object.__setattr__(self, "size", check_image_size(self.size))
        inner_size(self.size, self.pad)

    def __call__(self, images: Any) -> np.ndarray:
        """Transform one image or several.

        Args:
            images: one image: the path or the bytes of a file, a Pillow image, or an array (H, W) or (H, W, C) of 0 to
                255. Several: a list of these, or an array (N, H, W, C).

        Returns:
            (height, width, channels) for one image; (N, height, width, channels) for several.

        Raises:
            InputError: if something is not an image.
        """
        if isinstance(images, str | os.PathLike | bytes):
            return self.transform_file(images)
        if is_pillow_image(images):
            return self.transform_pillow(images)
        if isinstance(images, list | tuple):
            return np.stack([self(image) for image in images]) if images else np.empty((0, *self.shape), "uint8")
        array = scale_deep_array(np.asarray(images), self.levels)
        if array.ndim == 4:
            return self.transform_arrays(check_images(array))
        if array.ndim not in (2, 3):
            raise InputError(f"An image must be a path or an array (H, W) or (H, W, C). Received: shape {array.shape}")
        return self.transform_arrays(check_images(array[None] if array.ndim == 3 else array[None, ..., None]))[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the result."""
        return (*self.size, self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Return crop, interpolation and levels, if any, as the model card keeps them."""
        levels = {} if self.levels is None else {"levels": list(self.levels)}
        return {"crop": self.crop, "interpolation": self.interpolation, **levels}

    def describe(self) -> str:
        """Return in a few words how images are brought to the model's size.

        Example:
            >>> cnnzoo.Transform((32, 48), crop=0.875).describe()
            'center-cropped to 87.5 % of each side and resized to 32x48 (bilinear, antialiased)'
        """
        levels = "" if self.levels is None else f"scaled from the levels {self.levels[0]} to {self.levels[1]}, "
        method = self.interpolation if self.interpolation == "nearest" else f"{self.interpolation}, antialiased"
        how = f"resized to {self.size[0]}x{self.size[1]} ({method})"
        if self.pad:
            how += f", within a black border of {self.pad}"
        if self.crop is None:
            return f"{levels}not cropped: the whole image is {how}, without keeping its aspect ratio"
        return f"{levels}center-cropped to {100 * self.crop:.4g} % of each side and {how}"

    def transform_file(self, source: Source) -> np.ndarray:
        """Transform the image of a file, given by its path or its bytes."""
        with open_for_decoding(source, self.channels, self.levels) as image:
            return self.resize_and_crop(to_upright(image, self.channels, self.levels))

    def transform_pillow(self, image: "PillowImage") -> np.ndarray:
        """Transform a Pillow image of any mode, with the same result as its file."""
        with pillow_errors(image):
            if self.channels not in (1, 3):
                raise InputError(f"it has 1 or 3 channels; the model takes {self.channels}. Pass an array instead")
            check_pixels(*image.size)
            image = image.convert("LA") if image.mode == "La" else image  # Pillow converts it to nothing else
            return self.resize_and_crop(to_upright(image, self.channels, self.levels))

    def transform_arrays(self, images: np.ndarray) -> np.ndarray:
        """Transform an array (N, H, W, C) of 0 to 255: with Pillow if it is uint8 gray or RGB, else with Keras.

        Arrays that already have the size inside the border are neither resized nor cropped.
        """
        if not len(images):  # a split of data for evaluation alone
            return np.empty((0, *self.shape), "uint8")
        images = scale_deep_array(images, self.levels)
        if images.shape[1:] == self.shape and not self.pad:
            return images
        if images.shape[1:3] == inner_size(self.size, self.pad) and self.crop is not None:
            return replace(self, crop=None).transform_arrays(images)
        if images.dtype == np.uint8 and {images.shape[3], self.channels} <= {1, 3}:
            mode = "L" if self.channels == 1 else "RGB"
            transformed = np.empty((len(images), *self.shape), "uint8")
            for i, pixels in enumerate(images):
                transformed[i] = self.resize_and_crop(array_to_pillow(pixels).convert(mode))
            return transformed
        chunks = (images[i : i + CHUNK] for i in range(0, len(images), CHUNK))
        resized = (resize_images(chunk, self.shape, self.pad, self.crop, self.interpolation) for chunk in chunks)
        return np.concatenate([np.asarray(chunk).astype("uint8") for chunk in resized])

    def resize_and_crop(self, image: "PillowImage") -> np.ndarray:
        """Resize an upright Pillow image, crop its center and add the black border.

        Only the pixels of the crop are computed. Pillow takes the box of the crop in single precision, so about one
        pixel in two hundred of a photo differs by one level from cropping the resized image.
        """
        top, left, bottom, right = self.crop_box(image.size[::-1])
        pixels = self._resize(image, inner_size(self.size, self.pad), (left, top, right, bottom))
        return np.pad(pixels, ((self.pad, self.pad), (self.pad, self.pad), (0, 0))) if self.pad else pixels

    def crop_box(self, size: Sequence[int]) -> tuple[float, float, float, float]:
        """Return top, left, bottom and right of what the center crop keeps, in pixels of an image (height, width).

        Example:
            >>> cnnzoo.Transform((224, 224), crop=0.875).crop_box((512, 1024))
            (32.0, 288.0, 480.0, 736.0)
        """
        begins, ends = [], []
        inner = inner_size(self.size, self.pad)
        for side, resized, cropped in zip(size, self.resized_size(size), inner, strict=True):
            begin = center_offset(resized, cropped) * side / resized
            begins.append(begin)
            ends.append(min(begin + cropped * (side / resized), side))
        return begins[0], begins[1], ends[0], ends[1]

    def resized_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the (height, width) that an image of `size` is resized to before its center is cropped."""
        return resized_size(size[0], size[1], inner_size(self.size, self.pad), self.crop)

    def resize_only(self, source: Source) -> np.ndarray:
        """Resize the image of a file without cropping it."""
        with open_for_decoding(source, self.channels, self.levels) as image:
            upright = to_upright(image, self.channels, self.levels)
            return self._resize(upright, self.resized_size(upright.size[::-1]))

    def random_resized_crop(
        self, source: Source | np.ndarray, area: tuple[float, float], rng: random.Random
    ) -> np.ndarray:
        """Cut out a random crop, resize it to `size`, and mirror it with probability 0.5.

        Args:
            source: a path, the bytes of a file, or an array (H, W, C).
            area: least and greatest share of the image's area that the crop covers.
            rng: the source of randomness.
        """
        if isinstance(source, np.ndarray):
            top, left, height, width = random_crop_box(source.shape[0], source.shape[1], area, rng)
            crop = source[top : top + height, left : left + width]
            return resize_pixels(crop, self.size, self.interpolation, mirrored=rng.random() < 0.5)
        with open_for_decoding(source, self.channels, self.levels) as image:
            rows, columns = upright_size(image)
            top, left, height, width = random_crop_box(rows, columns, area, rng)
            # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 of its size, which is antialiased too
            reduction = min(height // self.size[0], width // self.size[1])
            if image.format in ("JPEG", "MPO") and reduction > 1:
                image.draft(None, (image.width // reduction, image.height // reduction))
            upright = to_upright(image, self.channels, self.levels)
        y, x = upright.height / rows, upright.width / columns
        box = left * x, top * y, min((left + width) * x, upright.width), min((top + height) * y, upright.height)
        return self._resize(upright, self.size, box, mirrored=rng.random() < 0.5)

    def _resize(
        self,
        image: "PillowImage",
        size: Sequence[int],
        box: tuple[float, float, float, float] | None = None,
        mirrored: bool = False,
    ) -> np.ndarray:
        """Resize the part of a Pillow image inside `box` to `size`; return pixels (height, width, channels)."""
        resized = image.resize((size[1], size[0]), INTERPOLATIONS[self.interpolation], box=box)
        return np.asarray(_mirror(resized) if mirrored else resized).reshape(*size, self.channels)


def array_to_pillow(pixels: np.ndarray) -> "PillowImage":
    """Convert pixels (H, W, C), uint8 gray or RGB, to a Pillow image."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def resize_pixels(pixels: np.ndarray, size: Sequence[int], interpolation: str, mirrored: bool = False) -> np.ndarray:
    """Resize pixels (H, W, C) to (height, width) with Pillow, channel by channel unless they are uint8 gray or RGB."""
    from PIL import Image

    pillow_size, number = (size[1], size[0]), INTERPOLATIONS[interpolation]
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        image = array_to_pillow(pixels).resize(pillow_size, number)
        return np.asarray(_mirror(image) if mirrored else image).reshape(*size, -1)
    planes = [Image.fromarray(pixels[..., i].astype("float32")) for i in range(pixels.shape[2])]
    resized = np.dstack([np.asarray(plane.resize(pillow_size, number)) for plane in planes])
    resized = np.clip(np.rint(resized), 0, 255).astype("uint8")
    return resized[:, ::-1] if mirrored else resized


def _mirror(image: "PillowImage") -> "PillowImage":
    """Swap left and right; with NumPy, copying the mirrored pixels takes ten times as long."""
    from PIL.Image import Transpose

    return image.transpose(Transpose.FLIP_LEFT_RIGHT)


def random_crop_box(
    height: int, width: int, area: tuple[float, float], rng: random.Random
) -> tuple[int, int, int, int]:
    """Draw the top, left, height and width of a crop with a share of the area in `area` and an aspect of 3:4 to 4:3.

    As GoogLeNet was trained (Szegedy et al. 2014, section 6). If ten draws do not fit into the image, the largest
    central crop of an allowed aspect is returned.
    """
    for _ in range(10):
        pixels = rng.uniform(*area) * height * width
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        h, w = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < h <= height and 0 < w <= width:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


@check_arguments()
def transform(model: "keras.Model") -> Transform:
    """Return the evaluation transform of a model: how its weights were evaluated.

    Args:
        model: a model from `get`, or any Keras model with a fixed input size.

    Returns:
        A `Transform` that turns your own files and arrays into the model's input.

    Raises:
        InputError: if `model` is not a Keras model or has no fixed input size.

    Example:
        >>> transform = cnnzoo.transform(cnnzoo.get("lenet5"))
        >>> transform.shape
        (32, 32, 1)
        >>> transform(np.zeros((28, 28), "uint8")).shape
        (32, 32, 1)
    """
    card_storage.check_has_graph(model)
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or None in shape:
        raise InputError(f"{model.name} has no fixed input size: it takes {model.input_shape}")
    card = cards.card(model)
    return Transform(shape[:2], shape[2], **card.evaluation_transform, pad=card.pad)

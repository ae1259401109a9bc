"""From pixels to what a network was trained on: size and border outside the model, statistics inside it."""

import math
from collections.abc import Sequence
from typing import Any

from cnnzoo.core.errors import InputError, check_integer, unknown_name
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")

# Mean and standard deviation, of pixels scaled to 0..1, that each name subtracts and divides by.
STATISTICS: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's, RGB
    "tf": ((0.5,), (0.5,)),  # to -1..1
    "caffe": ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,)),  # BGR minus ImageNet's mean
    "bvlc": ((104 / 255, 117 / 255, 123 / 255), (1 / 255,)),  # the same, in the whole numbers of Caffe's model zoo
    "unit": ((0.0,), (1.0,)),  # to 0..1
    "none": ((0.0,), (1 / 255,)),  # tensors that are normalised already
}


def resolve_statistics(preprocessing: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and std for a name of the table or a pair (mean, std); raises InputError for anything else."""
    if isinstance(preprocessing, str):
        if preprocessing not in STATISTICS:
            raise unknown_name("preprocessing", preprocessing, ["auto", *STATISTICS])
        return STATISTICS[preprocessing]
    try:
        mean, std = ([float(value) for value in side] for side in preprocessing)
    except (TypeError, ValueError):
        raise InputError(
            f"preprocessing is a name ({', '.join(STATISTICS)}) or a pair (mean, std) of lists of numbers, "
            f"for pixels scaled to 0..1. Received: {preprocessing!r}"
        ) from None
    if not std or not mean or not min(std) > 0 or not all(map(math.isfinite, mean + std)):
        raise InputError(f"preprocessing needs a mean and a positive std. Received: {preprocessing!r}")
    return mean, std


def describe_statistics(preprocessing: Any) -> str:
    """A few words for a person: the name, or mean and std on the scale of the pixels."""
    if isinstance(preprocessing, str):
        return preprocessing
    mean, std = ([round(255 * value, 2) for value in side] for side in preprocessing)
    return f"minus {mean}, over {std}"


def normalize(x: Any, preprocessing: Any) -> Any:
    """Pixels of 0 to 255, (B, H, W, C), to the network's input, by stock layers that stay in float32.

    On images whose channels are not as many as the statistics, the mean of these serves every channel.
    """
    mean, std = resolve_statistics(preprocessing)
    name = preprocessing if isinstance(preprocessing, str) else ""
    if name == "none":
        return x
    channels = x.shape[-1]
    if name in ("caffe", "bvlc") and channels == 3:
        x = keras.ops.flip(x, axis=-1)
    means, stds = _per_channel(mean, channels), _per_channel(std, channels)
    scale = [1 / (255 * s) for s in stds]
    offset = [-m / s for m, s in zip(means, stds, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalise")(x)


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    """One value a channel: as given, or their mean everywhere."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


# Keras' names of the filters, with Pillow's numbers for them.
INTERPOLATIONS = {"nearest": 0, "lanczos3": 1, "bilinear": 2, "bicubic": 3}


def inner_size(size: Sequence[int], pad: int) -> tuple[int, int]:
    """Height and width of the image within a border of `pad` pixels; raises InputError where none is left."""
    height, width = size
    if 2 * check_integer("pad", pad, 0, 65_535) >= min(height, width):
        raise InputError(f"A border of {pad} pixels leaves nothing of {height}x{width}")
    return height - 2 * pad, width - 2 * pad


def resized_size(height: Any, width: Any, size: tuple[int, int], crop: float | None) -> tuple[Any, Any]:
    """What an image of `height` by `width`, numbers or tensors, is resized to before `size` is cut from its centre.

    The sides keep their ratio, and `size` is the share `crop` of the one that is short of it; with no `crop`, it is
    `size` that the whole image is squashed to. As torchvision's Resize and CenterCrop: 256 and 224 are a crop of 0.875.
    """
    if crop is None:
        return size
    rows, columns = (round(side / crop) for side in size)
    larger = max if isinstance(height, int) and isinstance(width, int) else keras.ops.maximum
    return larger(rows, height * columns // width), larger(columns, width * rows // height)


def center_offset(outer: Any, side: int) -> Any:
    """Where the `side` central pixels of `outer` begin; a half goes to the even number, as in torchvision."""
    rest = outer - side
    return rest // 2 + rest % 2 * (rest // 2 % 2)


def _resize_once(x: Any, size: Sequence[Any], interpolation: str) -> Any:
    if all(isinstance(side, int) for side in size):
        return keras.ops.image.resize(x, size, interpolation, antialias=True, data_format="channels_last")
    import tensorflow as tf  # a graph for images of any size, where Keras' operation wants numbers

    return tf.image.resize(x, size, interpolation, antialias=True)


def resize_images(
    images: Any, shape: Sequence[int], pad: int = 0, crop: float | None = None, interpolation: str = "bilinear"
) -> Any:
    """Images (N, H, W, C) of 0 to 255 brought to `shape` (height, width, channels), in whole levels, float32.

    They are resized (antialiased) to the shape less `pad` pixels on each side, which are black; see `resized` for
    `crop`, which those that have the size already are spared. Gray becomes RGB by repetition, RGB becomes gray by
    luminance. Works on arrays and inside graphs.
    """
    ops = keras.ops
    channels, size = shape[2], inner_size(shape[:2], pad)
    x = ops.cast(images, "float32")
    if x.shape[-1] != channels:
        if (x.shape[-1], channels) == (1, 3):
            x = ops.repeat(x, 3, axis=-1)
        elif (x.shape[-1], channels) == (3, 1):
            x = ops.image.rgb_to_grayscale(x, data_format="channels_last")
        else:
            raise InputError(f"The model takes images of {channels} channels. Received: {x.shape[-1]}")
    height, width = ops.shape(x)[1:3]
    rows, columns = resized_size(height, width, size, crop)
    if isinstance(height, int) and isinstance(width, int):
        rows, columns = size if (height, width) == size else (rows, columns)
    else:
        there = ops.logical_and(height == size[0], width == size[1])
        rows, columns = (ops.where(there, a, b) for a, b in zip(size, (rows, columns), strict=True))
    for sides in ((height, columns), (rows, columns)):  # in two passes with whole levels between, as Pillow
        x = ops.clip(ops.round(_resize_once(x, sides, interpolation)), 0, 255)
    if crop is not None:
        top, left = center_offset(rows, size[0]), center_offset(columns, size[1])
        x = ops.reshape(x[:, top : top + size[0], left : left + size[1]], (-1, *size, channels))
    return ops.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x

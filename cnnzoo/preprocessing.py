"""Pixel statistics as Keras layers: the normalization that is the first part of every model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.types import Preprocessing, Statistics

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# For each name, the mean to subtract and the standard deviation to divide by, of pixels scaled to 0..1.
STATISTICS: dict[str, Statistics] = {
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's, RGB
    "tf": ((0.5,), (0.5,)),  # to -1..1
    "caffe": ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,)),  # BGR minus ImageNet's mean
    "bvlc": ((104 / 255, 117 / 255, 123 / 255), (1 / 255,)),  # the same, in the whole numbers of Caffe's model zoo
    "unit": ((0.0,), (1.0,)),  # to 0..1
    "none": ((0.0,), (1 / 255,)),  # for tensors that are already normalized
}


def resolve_statistics(preprocessing: Preprocessing) -> Statistics:
    """Return (mean, std) for a name from `STATISTICS` or for such a pair; raise InputError for anything else."""
    if isinstance(preprocessing, str):
        if preprocessing not in STATISTICS:
            raise unknown_name("preprocessing", preprocessing, ["auto", *STATISTICS])
        return STATISTICS[preprocessing]
    try:
        mean, std = ([float(value) for value in values] for values in preprocessing)
    except (TypeError, ValueError):
        raise InputError(
            f"preprocessing must be a name ({', '.join(STATISTICS)}) or a pair (mean, std) of lists of numbers, "
            f"for pixels scaled to 0..1. Received: {preprocessing!r}"
        ) from None
    if not std or not mean or not min(std) > 0 or not all(map(math.isfinite, mean + std)):
        raise InputError(f"preprocessing needs a finite mean and a positive std. Received: {preprocessing!r}")
    return mean, std


def describe_statistics(preprocessing: Preprocessing) -> str:
    """Return a few words for a person: the name, or mean and std on the scale of the pixels."""
    if isinstance(preprocessing, str):
        return preprocessing
    mean, std = ([round(255 * value, 2) for value in values] for values in preprocessing)
    return f"minus {mean}, over {std}"


def normalize(x: keras.KerasTensor, preprocessing: Preprocessing) -> keras.KerasTensor:
    """Connect the layers that normalize pixels (B, H, W, C) of 0 to 255; they compute in float32 under every policy.

    If the images have another number of channels than the statistics, the mean of these serves every channel.
    """
    mean, std = resolve_statistics(preprocessing)
    name = preprocessing if isinstance(preprocessing, str) else ""
    if name == "none":
        return x
    channels = x.shape[-1]
    if name in ("caffe", "bvlc") and channels == 3:
        x = keras.ops.flip(x, axis=-1)  # RGB to BGR
    means, stds = _per_channel(mean, channels), _per_channel(std, channels)
    scale = [1 / (255 * std) for std in stds]
    offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalise")(x)


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    """Return one value for each channel: the values as given, or their mean everywhere."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels

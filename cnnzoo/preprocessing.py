"""Pixel statistics as Keras layers: the normalization that is the first part of every model."""

import math
from collections.abc import Sequence
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name
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

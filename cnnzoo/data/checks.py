"""Checks of what users pass as data: paths, arrays of images, sizes and crops."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path
from cnnzoo.core.text import choose_form, format_count
from cnnzoo.core.warn import warn_caller

ARRAY_NAMES = ("digits",)  # of data sets that come with packages, as arrays
RESCALED_LIMIT = 32  # images whose largest value is at most this probably do not have the range 0 to 255


def is_file_or_folder(path: Path) -> bool:
    """Return whether `path` is a folder or a regular file that exists.

    Raises InputError for anything else that exists (a pipe, a device) and for text that cannot be a path.
    """
    check_path(path)
    if path.exists() and not path.is_dir() and not path.is_file():
        raise InputError(f"{str(path)!r} is not a regular file")
    return path.exists()


def holds_arrays(source: str | os.PathLike[str]) -> bool:
    """Return whether a source given by name holds arrays, not image files."""
    return str(source) in ARRAY_NAMES or Path(source).suffix.casefold() == ".npz"


def check_weights(weights: Any, images: int, what: str = "images") -> np.ndarray:
    """Return the weights of images, called `what` in messages, as float32 (N,).

    Raises:
        InputError: if they are not one finite, nonnegative number per image, or all 0.
    """
    try:
        values = np.ascontiguousarray(weights, "float32")
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight must be an array of numbers: {error}") from None
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (images,) or not np.isfinite(values).all() or values.min() < 0 or not values.any():
        raise InputError(
            f"sample_weight must hold one number of at least 0 for each of the {images} {what}, not all 0. "
            f"Received: shape {values.shape}"
        )
    return values


def check_images(images: Any) -> np.ndarray:
    """Return images (N, H, W) or (N, H, W, C) of 0 to 255 as an array (N, H, W, C).

    Floats become float32; integers keep their type. Warns if the values look normalized already.

    Raises:
        InputError: if the shape, the type or the range is wrong.
    """
    x = check_image_shape(images)
    if x.dtype == np.uint8:
        return x
    low, high = check_pixel_limits(x)
    if x.any() and (low < 0 or high <= RESCALED_LIMIT):
        warn_of_rescaled(x.dtype, low, high)
    return x.astype("float32") if x.dtype.kind == "f" else x


def check_image_shape(images: Any) -> np.ndarray:
    """Return numbers (N, H, W) or (N, H, W, C) as an array (N, H, W, C); raise InputError for anything else."""
    x = np.asarray(images)
    if x.dtype.kind not in "buif":
        raise InputError(f"Images must be arrays of numbers. Received: dtype {x.dtype}")
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4 and 0 not in x.shape:
        raise InputError(
            f"Images must have their channels last, as after x.transpose(0, 2, 3, 1). Received: shape {x.shape}"
        )
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in range(1, 65)) or 0 in x.shape:
        raise InputError(f"Images must be (N, H, W) or (N, H, W, C), values 0 to 255. Received: shape {x.shape}")
    return x[..., None] if x.ndim == 3 else x


def check_pixel_limits(x: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value of images; raise InputError if they are not finite or beyond 0 to 255."""
    if not np.isfinite(x).all():
        bad_images = int((~np.isfinite(x).reshape(len(x), -1).all(1)).sum())
        contain = choose_form(bad_images, "contains", "contain")
        raise InputError(f"{bad_images} of {format_count(len(x), 'image')} {contain} NaN or infinite pixels")
    low, high = float(x.min()), float(x.max())
    if low < -RESCALED_LIMIT or high > 255:
        raise InputError(
            f"Pixels must be 0 to 255 (divide 16-bit pixels by 257). Received: {x.dtype} from {low:g} to {high:g}"
        )
    return low, high


def warn_of_rescaled(dtype: Any, low: float, high: float) -> None:
    """Warn of images whose values look normalized already."""
    warn_caller(
        f"Images of {dtype} from {low:.3g} to {high:.3g} look rescaled already; the models expect 0 to 255 and "
        "normalize inside. Multiply the images back to 0 to 255, or, if they have the model's own size, build the "
        "model with preprocessing='none'",
    )

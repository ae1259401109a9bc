"""Checks of what users pass as data: paths, arrays of images, sizes and crops."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path

RESCALED_LIMIT = 32  # images whose largest value is at most this probably do not have the range 0 to 255


def is_file_or_folder(path: Path) -> bool:
    """Return whether `path` is a folder or a regular file that exists.

    Raises InputError for anything else that exists (a pipe, a device) and for text that cannot be a path.
    """
    check_path(path)
    if path.exists() and not path.is_dir() and not path.is_file():
        raise InputError(f"{str(path)!r} is not a regular file")
    return path.exists()


def check_images(images: Any) -> np.ndarray:
    """Return images (N, H, W) or (N, H, W, C) of 0 to 255 as an array (N, H, W, C).

    Floats become float32; integers keep their type. Warns if the values look normalized already.

    Raises:
        InputError: if the shape, the type or the range is wrong.
    """
    x = np.asarray(images)

    # Type and shape
    if x.dtype.kind not in "buif":
        raise InputError(f"Images must be arrays of numbers. Received: dtype {x.dtype}")
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in range(1, 65)) or 0 in x.shape:
        raise InputError(f"Images must be (N, H, W) or (N, H, W, C), values 0 to 255. Received: shape {x.shape}")
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise InputError(
            f"Images must have their channels last, as after x.transpose(0, 2, 3, 1). Received: shape {x.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x

    # Range
    if x.dtype == np.uint8:
        return x
    if not np.isfinite(x).all():
        bad_images = int((~np.isfinite(x).reshape(len(x), -1).all(1)).sum())
        raise InputError(f"{bad_images} of {len(x)} images contain NaN or infinite pixels")
    low, high = float(x.min()), float(x.max())
    if low < -RESCALED_LIMIT or high > 255:
        raise InputError(
            f"Pixels must be 0 to 255 (divide 16-bit pixels by 257). Received: {x.dtype} from {low:g} to {high:g}"
        )
    if x.any() and (low < 0 or high <= RESCALED_LIMIT):
        warnings.warn(
            f"Images of {x.dtype} from {low:.3g} to {high:.3g} look rescaled already; the models expect 0 to 255 and "
            "normalize inside. Multiply the images back to 0 to 255, or, if they have the model's own size, build the "
            "model with preprocessing='none'",
            stacklevel=2,
        )
    return x.astype("float32") if x.dtype.kind == "f" else x

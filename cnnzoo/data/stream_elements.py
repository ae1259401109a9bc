"""Take the elements of other libraries' data sets apart: images, labels and weights, alone or in batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.decode import to_upright

IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "input", "inputs", "pixels")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class", "fine_label")
WEIGHT_KEYS = ("weight", "weights", "sample_weight", "sample_weights")
PAIRS = "A data set must yield pairs (image, label), or (image, label, weight)"


def split_element(element: Any) -> tuple[np.ndarray, Any, np.ndarray | None, list[str]]:
    """Return the images (N, H, W, C), labels and weights (N,) of an element, and notes on what is not used."""
    x, y, rest, notes = _name_components(element)
    if isinstance(y, Mapping):
        raise InputError(f"{PAIRS}. Received: a dict of labels ({', '.join(map(str, y))}); keep one of them")
    images, channels_first = _to_pixels(x)
    labels = y if isinstance(y, list | tuple) and not _is_tensor(y) else np.asarray(y)

    # An image alone becomes a batch of one
    alone = images.ndim == 2 or (images.ndim == 3 and not _is_gray_batch(images, labels))
    if alone:
        images = images[None]
        labels = [labels] if isinstance(labels, list | tuple) else labels[None]
    if channels_first and images.ndim == 4:
        images = images.transpose(0, 2, 3, 1)
        notes.append("torch's tensors were read with the channels first.")

    # What follows the label is a weight if it is one number for each image
    weights = None
    for i, value in enumerate(rest, 2):
        numbers = np.asarray(value)
        numbers = numbers[None] if alone else numbers
        numbers = numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers
        if i == 2 and numbers.dtype.kind in "buif" and numbers.shape == (len(images),):
            weights = numbers.astype("float64")
            if not np.isfinite(weights).all() or weights.min() < 0:
                raise InputError(f"Sample weights must be finite and at least 0. Received: {weights.min()}")
        else:
            kind = "text" if numbers.dtype.kind in "SUO" else f"{numbers.dtype} of shape {numbers.shape[1:]}"
            notes.append(f"component {i + 1} of its elements ({kind}) is not used.")
    return images, labels, weights, notes


def find_class_names(stream: Any) -> list[str] | None:
    """Return the names of the classes that a data set of Keras or torch carries."""
    names = getattr(stream, "class_names", None)  # of image_dataset_from_directory
    if isinstance(names, list | tuple):
        return [str(name) for name in names]
    indices = getattr(stream, "class_indices", None)  # of flow_from_directory
    if isinstance(indices, Mapping):
        return [str(name) for name in sorted(indices, key=lambda name: int(indices[name]))]
    names = getattr(stream, "classes", None)  # of torchvision's data sets
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return [str(name) for name in names]
    features = getattr(stream, "features", None)  # of datasets.Dataset
    label = next((key for key in LABEL_KEYS if isinstance(features, Mapping) and key in features), "")
    names = getattr(features[label], "names", None) if label and isinstance(features, Mapping) else None
    if isinstance(names, list | tuple):
        return [str(name) for name in names]
    inner = getattr(stream, "dataset", None)  # of a torch DataLoader or Subset
    return None if inner is None or inner is stream else find_class_names(inner)


def _name_components(element: Any) -> tuple[Any, Any, Sequence[Any], list[str]]:
    """Return image, label, the other components, and notes."""
    if isinstance(element, Mapping):
        keys = [next((key for key in names if key in element), None) for names in (IMAGE_KEYS, LABEL_KEYS, WEIGHT_KEYS)]
        image, label, weight = keys
        if image is None or label is None:
            raise InputError(f"{PAIRS}. Received: a dict with the keys {', '.join(map(str, element))}")
        unused = [str(key) for key in element if key not in keys]
        notes = [f"not used in its elements: {', '.join(unused)}."] if unused else []
        return element[image], element[label], [] if weight is None else [element[weight]], notes
    if not isinstance(element, tuple | list) or len(element) < 2:
        raise InputError(f"{PAIRS}. Received: {type(element).__name__}")
    return element[0], element[1], element[2:], []


def _to_pixels(x: Any) -> tuple[np.ndarray, bool]:
    """Return pixels as an array, and whether their channels come first."""
    if hasattr(x, "getbands"):  # Pillow
        return np.asarray(to_upright(x, 1 if x.mode in ("1", "L") else 3)), False
    if isinstance(x, Mapping):
        raise InputError(f"{PAIRS}. Received: a dict of images ({', '.join(map(str, x))})")
    try:
        pixels = np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{PAIRS}. Received: images that are no array ({error})") from None
    if pixels.dtype.kind not in "buif":
        raise InputError(f"Images must be arrays of numbers. Received: dtype {pixels.dtype}")
    first = pixels.ndim in (3, 4) and pixels.shape[-3] in (1, 3) and pixels.shape[-1] not in (1, 3)
    return pixels, first and _is_tensor(x)


def _is_tensor(x: Any) -> bool:
    """Return whether `x` is a tensor of torch, whose images have their channels first."""
    return type(x).__module__.partition(".")[0] == "torch"


def _is_gray_batch(images: np.ndarray, labels: Any) -> bool:
    """Return whether three axes are (N, H, W) and not (H, W, C): there is a label for each of N images."""
    return bool(np.ndim(labels) > 0 and len(labels) == len(images) and images.shape[2] not in (1, 3, 4))

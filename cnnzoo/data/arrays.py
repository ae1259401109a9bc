"""Images and labels that are arrays already, or files of such."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, check_class_names, unknown_name
from cnnzoo.data.images import ImageData, Split
from cnnzoo.data.listing import natural_sort_key
from cnnzoo.data.splits import SplitUnits, check_every_class, split_three_ways, stratified_split


def build_from_arrays(
    arrays: Any, name: str, classes: Sequence[str] | None, shares: tuple[float, float, float], seed: int
) -> ImageData:
    """The data of arrays (x, y) or ((x, y), (x_test, y_test)), split; see `load_data`."""
    (x, y), test = _unpack_arrays(arrays)
    known = _resolve_class_names(classes, *(labels for _, labels in ((x, y), test or (x, y))))
    everything, notes = _make_split(x, y, known, "train" if test else name), []
    keys = _image_digests(everything.images)
    if test:
        held_out = _make_split(*test, known, "test")
        check_every_class(held_out.labels, known, "test")
        if held_out.images.shape[1:] != everything.images.shape[1:]:
            shapes = f"{everything.images.shape[1:]} and {held_out.images.shape[1:]}"
            raise InputError(f"Training and test images differ in shape: {shapes}")
        leaks = np.isin(keys, _image_digests(held_out.images))
        if leaks.any():
            everything, keys = everything.take(np.flatnonzero(~leaks)), keys[~leaks]
            notes.append(f"{leaks.sum():,} training images are test images too, and were left out of training.")
        train, validation = stratified_split(everything.labels, shares[1], seed, known, "validation", SplitUnits(keys))
    else:
        train, validation, part = split_three_ways(everything.labels, shares, seed, known, SplitUnits(keys))
        held_out = everything.take(part)
    return ImageData(everything.take(train), everything.take(validation), held_out, known, name, notes=tuple(notes))


def _image_digests(images: np.ndarray) -> np.ndarray:
    """A digest for each image: copies have the same."""
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.array([hashlib.blake2b(row.data, digest_size=16).hexdigest() for row in rows])


def _load_digits() -> tuple[Any, Any]:
    """1,797 handwritten digits of 43 people, 8x8 in 17 levels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype("uint8"), digits.target


MAX_CLASSES = 100_000
RESCALED_LIMIT = 32  # images whose values end below this were hardly 0 to 255

NAMED_ARRAYS: dict[str, Callable[[], Any]] = {"digits": _load_digits}


def check_path(path: Path) -> bool:
    """Whether there is a folder or a regular file; raises InputError for what else there is."""
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise InputError(f"{str(path)!r} is no regular file")
        return path.exists()
    except OSError as error:
        raise InputError(f"{str(path)[:200]!r} is no path: {error.strerror}") from None


def load_named_arrays(source: Any) -> Any:
    """Arrays from a name or a file."""
    path = Path(source)
    if str(source) in NAMED_ARRAYS:
        return NAMED_ARRAYS[str(source)]()
    if not check_path(path):
        raise unknown_name(
            "data source, and no such file or folder", str(source), [*NAMED_ARRAYS, "a path to an .npz file"]
        )
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys = set(file.files)
            if {"x_train", "y_train", "x_test", "y_test"} <= keys:
                return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
            if {"x", "y"} <= keys:
                return file["x"], file["y"]
    except Exception as error:  # numpy raises whatever the zip, the header or the pickle in it makes it raise
        hint = "; text labels are saved by labels.astype(str)" if "pickle" in str(error) else ""
        raise InputError(f"Cannot read {str(path)!r} as .npz arrays: {error}{hint}") from None
    raise InputError(
        f"{path.name} holds neither x_train, y_train, x_test, y_test nor x, y. Received: {', '.join(sorted(keys))}"
    )


def _unpack_arrays(arrays: Any) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """(x, y) or ((x, y), (x_test, y_test)) as arrays."""
    if isinstance(arrays, dict):
        raise InputError("Data is a name, a path or arrays (x, y). Received: a dict")
    try:
        first, second = arrays
        nested = isinstance(first, tuple | list) and len(first) == 2 and np.ndim(first[0]) > 1
        (x, y), test = (first, second) if nested else ((first, second), None)
        return (np.asarray(x), np.asarray(y)), test and (np.asarray(test[0]), np.asarray(test[1]))
    except (TypeError, ValueError, LookupError) as error:
        what = f"Received: {type(arrays).__name__} ({error})"
        raise InputError(f"Data is a name, a path, arrays (x, y) or ((x, y), (x_test, y_test)). {what}") from None


def _check_labels(y: Any) -> np.ndarray:
    """Labels (N,) or (N, 1), as text or as numbers."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:  # as keras.datasets.cifar10 gives them
        y = y[:, 0]
    if y.ndim != 1:
        hint = "; one-hot rows become indices by labels.argmax(axis=1)" if y.ndim == 2 else ""
        raise InputError(f"Labels are (N,), class indices or names{hint}. Received: shape {y.shape}")
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"Labels in bytes are UTF-8: {error}") from None
    if y.dtype.kind == "O":
        y = np.array(y.tolist()) if all(isinstance(v, str) for v in y) else y
    if y.dtype.kind not in "Ubuif":
        raise InputError(f"Labels are class indices or names. Received: dtype {y.dtype}")
    return y


def _resolve_class_names(classes: Sequence[str] | None, *labels: Any) -> tuple[str, ...]:
    """The names given, or those of the labels: as they are, sorted, or 0 to the highest index."""
    if classes is not None:
        names = check_class_names(classes) if isinstance(classes, list | tuple) else ()
        if len(names) < 2:
            raise InputError(f"classes is a list of two names at least. Received: {classes!r}")
        return names
    parts = [part for part in map(_check_labels, labels) if len(part)]
    if not parts:
        raise InputError("The data has no images")
    if len({part.dtype.kind == "U" for part in parts}) > 1:
        raise InputError("Labels are class indices in one part and names in the other; give both alike")
    values = np.concatenate(parts)
    if len(np.unique(values)) < 2:
        raise InputError(f"A classifier needs two classes at least. Received: only {values[0]}")
    if values.dtype.kind == "U":
        return check_class_names(sorted(np.unique(values).tolist(), key=lambda name: natural_sort_key(str(name))))
    if not np.isfinite(values).all() or values.max() >= MAX_CLASSES:
        raise InputError(f"Class indices are 0 to {MAX_CLASSES - 1:,} at most. Received: {values.max()}")
    return tuple(map(str, range(max(int(values.max()) + 1, 1))))


def _make_split(x: np.ndarray, y: np.ndarray, classes: Sequence[str], name: str) -> Split:
    """Images and labels, checked."""
    x = check_images(x)
    y = _check_labels(y)
    if len(y) != len(x):
        raise InputError(f"Labels are (N,), one for each of the {len(x)} images. Received: shape {y.shape}")
    if y.dtype.kind == "U":
        index = {name: i for i, name in enumerate(classes)}
        strangers = sorted(set(y.tolist()) - index.keys())
        labels = np.array([index.get(label, 0) for label in y.tolist()], "int64")
    else:
        wrong = ~((y >= 0) & (y < len(classes)) & (y == np.floor(y)))
        strangers = sorted({str(label) for label in y[wrong]})
        labels = np.where(wrong, 0, y).astype("int64")
    if strangers:
        raise InputError(
            f"Labels outside the {len(classes)} classes {', '.join(classes[:10])}: {', '.join(strangers[:10])}"
        )
    return Split(x, labels, np.array([f"{name}[{i}]" for i in range(len(x))]))


def check_images(images: Any) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, C) of 0 to 255 as (N, H, W, C); warns of what looks rescaled already."""
    x = np.asarray(images)
    if x.dtype.kind not in "buif":
        raise InputError(f"Images are arrays of numbers. Received: dtype {x.dtype}")
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in range(1, 65)) or 0 in x.shape:
        raise InputError(f"Images are (N, H, W) or (N, H, W, C), values 0 to 255. Received: shape {x.shape}")
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise InputError(
            f"Images have their channels last; x.transpose(0, 2, 3, 1) moves them. Received: shape {x.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype == np.uint8:
        return x
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x).reshape(len(x), -1).all(1)).sum())
        raise InputError(f"{bad} of {len(x)} images hold NaN or infinite pixels")
    low, high = float(x.min()), float(x.max())
    if low < -RESCALED_LIMIT or high > 255:
        raise InputError(
            f"Pixels are 0 to 255 (16-bit ones divided by 257). Received: {x.dtype} from {low:g} to {high:g}"
        )
    if x.any() and (low < 0 or high <= RESCALED_LIMIT):
        warnings.warn(
            f"Images of {x.dtype} from {low:.3g} to {high:.3g} look rescaled already; models here take 0 to 255 and "
            "normalise inside. Scale them to 255; at the model's own size, preprocessing='none' takes them as they are",
            stacklevel=2,
        )
    return x.astype("float32") if x.dtype.kind == "f" else x

"""Data sets that are arrays already: passed as such, in an .npz file, or by name."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnzoo.cards import default_class_names
from cnnzoo.core.errors import InputError, check_class_names, unknown_name
from cnnzoo.core.paths import check_path
from cnnzoo.data.checks import check_images, is_file_or_folder
from cnnzoo.data.images import ImageData
from cnnzoo.data.listing import natural_sort_key
from cnnzoo.data.splits import InseparableImages, Shares, Split, check_every_class, split_three_ways, stratified_split

MAX_CLASSES = 100_000

Arrays = tuple[np.ndarray, np.ndarray]  # images and labels


def build_from_arrays(arrays: Any, name: str, classes: Sequence[str] | None, shares: Shares, seed: int) -> ImageData:
    """Build the data of arrays (x, y) or ((x, y), (x_test, y_test)); see `load_data`."""
    (x, y), test_arrays = _unpack_arrays(arrays)
    class_names = _resolve_class_names(classes, *(labels for _, labels in ((x, y), test_arrays or (x, y))))
    given = _make_split(x, y, class_names, "train" if test_arrays else name)
    digests, notes = _image_digests(given), []

    if test_arrays:
        # A given test part stays whole; its images are removed from training
        test = _make_split(*test_arrays, class_names, "test")
        check_every_class(test.labels, class_names, "test")
        if test.images.shape[1:] != given.images.shape[1:]:
            shapes = f"{given.images.shape[1:]} and {test.images.shape[1:]}"
            raise InputError(f"Training and test images differ in shape: {shapes}")
        leaks = np.isin(digests, _image_digests(test))
        if leaks.any():
            given, digests = given.take(np.flatnonzero(~leaks)), digests[~leaks]
            notes.append(f"{leaks.sum():,} training images also occur in the test part and were removed from training.")
        train, validation = stratified_split(
            given.labels, shares[1], seed, class_names, "validation", InseparableImages(digests)
        )
    else:
        units = InseparableImages(digests)
        train, validation, test_indices = split_three_ways(given.labels, shares, seed, class_names, units)
        test = given.take(test_indices)

    return ImageData(given.take(train), given.take(validation), test, class_names, name, notes=tuple(notes))


def _image_digests(split: Split) -> np.ndarray:
    """Return a digest of each image (N,); copies have the same."""
    assert isinstance(split.images, np.ndarray)
    rows = np.ascontiguousarray(split.images).reshape(len(split), -1)
    return np.array([hashlib.blake2b(row.data, digest_size=16).hexdigest() for row in rows])


def _load_digits() -> Arrays:
    """Load 1,797 handwritten digits of 43 people, 8x8 in 17 levels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype("uint8"), digits.target


NAMED_ARRAYS: dict[str, Callable[[], Arrays]] = {"digits": _load_digits}


def load_named_arrays(source: Any) -> Arrays | tuple[Arrays, Arrays]:
    """Load arrays by a name in `NAMED_ARRAYS` or from an .npz file; nothing in the file is executed."""
    path = check_path(source, "the data source")
    if str(source) in NAMED_ARRAYS:
        return NAMED_ARRAYS[str(source)]()
    if not is_file_or_folder(path):
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
    except Exception as error:  # the zip, the header and the pickles in it make NumPy raise many types
        hint = "; save text labels as labels.astype(str)" if "pickle" in str(error) else ""
        raise InputError(f"Cannot read {str(path)!r} as .npz arrays: {error}{hint}") from None
    raise InputError(
        f"{path.name} holds neither x_train, y_train, x_test, y_test nor x, y. Received: {', '.join(sorted(keys))}"
    )


def _unpack_arrays(arrays: Any) -> tuple[Arrays, Arrays | None]:
    """Return (x, y) and, if given, (x_test, y_test), as arrays."""
    if isinstance(arrays, dict):
        raise InputError("Data must be a name, a path or arrays (x, y). Received: a dict")
    try:
        first, second = arrays
        nested = isinstance(first, tuple | list) and len(first) == 2 and np.ndim(first[0]) > 1
        (x, y), test = (first, second) if nested else ((first, second), None)
        return (np.asarray(x), np.asarray(y)), test and (np.asarray(test[0]), np.asarray(test[1]))
    except (TypeError, ValueError, LookupError) as error:
        received = f"Received: {type(arrays).__name__} ({error})"
        raise InputError(
            f"Data must be a name, a path, arrays (x, y) or ((x, y), (x_test, y_test)). {received}"
        ) from None


def _check_labels(y: Any) -> np.ndarray:
    """Return labels as an array (N,) of text or numbers."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:  # as in keras.datasets.cifar10
        y = y[:, 0]
    if y.ndim != 1:
        hint = "; one-hot rows become indices by labels.argmax(axis=1)" if y.ndim == 2 else ""
        raise InputError(f"Labels must be (N,), class indices or names{hint}. Received: shape {y.shape}")
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"Labels in bytes must be UTF-8: {error}") from None
    if y.dtype.kind == "O":
        y = np.array(y.tolist()) if all(isinstance(label, str) for label in y) else y
    if y.dtype.kind not in "Ubuif":
        raise InputError(f"Labels must be class indices or names. Received: dtype {y.dtype}")
    return y


def _resolve_class_names(classes: Sequence[str] | None, *labels: Any) -> tuple[str, ...]:
    """Return the names given, or those of the labels: text labels sorted, or 0 to the highest index."""
    if classes is not None:
        names = check_class_names(classes) if isinstance(classes, list | tuple) else ()
        if len(names) < 2:
            raise InputError(f"classes must be a list of at least two names. Received: {classes!r}")
        return names
    parts = [part for part in map(_check_labels, labels) if len(part)]
    if not parts:
        raise InputError("The data has no images")
    if len({part.dtype.kind == "U" for part in parts}) > 1:
        raise InputError("Labels are class indices in one part and names in the other; use the same in both")
    values = np.concatenate(parts)
    if len(np.unique(values)) < 2:
        raise InputError(f"A classifier needs at least two classes. Received: only {values[0]}")
    if values.dtype.kind == "U":
        return check_class_names(sorted(np.unique(values).tolist(), key=lambda name: natural_sort_key(str(name))))
    if not np.isfinite(values).all() or values.max() >= MAX_CLASSES:
        raise InputError(f"Class indices must be from 0 to {MAX_CLASSES - 1:,}. Received: {values.max()}")
    return default_class_names(max(int(values.max()) + 1, 1))


def _make_split(x: np.ndarray, y: np.ndarray, classes: Sequence[str], name: str) -> Split:
    """Return checked images and labels as a split; its images are called name[0], name[1], ..."""
    images, y = check_images(x), _check_labels(y)
    if len(y) != len(images):
        raise InputError(f"Labels must be (N,), one for each of the {len(images)} images. Received: shape {y.shape}")
    if y.dtype.kind == "U":
        index = {label: i for i, label in enumerate(classes)}
        unknown_labels = sorted(set(y.tolist()) - index.keys())
        labels = np.array([index.get(label, 0) for label in y.tolist()], "int64")
    else:
        wrong = ~((y >= 0) & (y < len(classes)) & (y == np.floor(y)))
        unknown_labels = sorted({str(label) for label in y[wrong]})
        labels = np.where(wrong, 0, y).astype("int64")
    if unknown_labels:
        raise InputError(
            f"Labels outside the {len(classes)} classes {', '.join(classes[:10])}: {', '.join(unknown_labels[:10])}"
        )
    return Split(images, labels, np.array([f"{name}[{i}]" for i in range(len(images))]))

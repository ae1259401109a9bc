"""load_data: one way in for every source of images."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.data.images import ImageData, Split
from cnnzoo.data.split import complete, fractions, stratified
from cnnzoo.errors import InputError, unknown


def load_data(
    source: Any,
    *,
    image_size: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    pad: int | None = None,
) -> ImageData:
    """Images and labels from anywhere, checked and in three splits that are stratified and seeded.

    Args:
        source: "digits" (scikit-learn's handwritten digits); an .npz file with x_train, y_train, x_test, y_test, or
            with x and y; arrays (x, y), or ((x_train, y_train), (x_test, y_test)) as keras.datasets gives them.
            Images are (N, H, W) or (N, H, W, C) of 0 to 255, labels (N,) class indices or names.
        image_size: height and width; the model's by default, when the two meet.
        classes: names, in the order of the label indices.
        split: shares of train, validation and test. A source with a test part of its own keeps it whole;
            the validation share then comes from its training part.
        seed: of the split.
        pad: black pixels to leave around the resized image (MNIST's 28x28 in LeNet's 32x32: 2); the model's by default.

    Raises:
        InputError: for sources, shapes, values or labels that do not do.
    """
    shares = fractions(split)
    if isinstance(source, (str, os.PathLike)):
        name, arrays = Path(source).name, _named(source)  # a report goes places where a path means nothing
    else:
        name, arrays = "arrays", source
    (x, y), test = _parts(arrays)
    known = _class_names(classes, y, test[1] if test else y[:0])
    everything = _split(x, y, known, "train" if test else name)
    if test:
        rest, part = stratified(everything.labels, shares[1], seed, known, "validation")
        train, validation, held_out = everything.take(rest), everything.take(part), _split(*test, known, "test")
        complete(held_out.labels, known, "test")
        if held_out.images.shape[1:] != everything.images.shape[1:]:
            shapes = f"{everything.images.shape[1:]} and {held_out.images.shape[1:]}"
            raise InputError(f"Training and test images differ in shape: {shapes}")
    else:
        rest, part = stratified(everything.labels, shares[2], seed, known, "test")
        held_out, everything = everything.take(part), everything.take(rest)
        share = shares[1] / (shares[0] + shares[1])
        rest, part = stratified(everything.labels, share, seed, known, "validation")
        train, validation = everything.take(rest), everything.take(part)
    data = ImageData(train, validation, held_out, known, name, pad=pad)
    return data if image_size is None else data.bind((*image_size, x.shape[3] if x.ndim == 4 else 1), pad or 0)


def _digits() -> tuple[Any, Any]:
    """1,797 handwritten digits of 43 people, 8x8 in 17 levels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype("uint8"), digits.target


NAMED: dict[str, Callable[[], Any]] = {"digits": _digits}


def _named(source: Any) -> Any:
    """Arrays from a name or a file."""
    path = Path(source)
    if str(source) in NAMED:
        return NAMED[str(source)]()
    if not path.exists():
        raise unknown("data source", str(source), [*NAMED, "a path to an .npz file"])
    if path.suffix != ".npz":
        raise InputError(
            f"Data is read from .npz files, arrays and the names {', '.join(NAMED)}. Received: {str(path)!r}"
        )
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys = set(file.files)
            if {"x_train", "y_train", "x_test", "y_test"} <= keys:
                return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
            if {"x", "y"} <= keys:
                return file["x"], file["y"]
    except Exception as error:  # numpy raises whatever the zip, the header or the pickle in it makes it raise
        raise InputError(f"Cannot read {str(path)!r} as .npz arrays: {error}") from None
    raise InputError(
        f"{path.name} holds neither x_train, y_train, x_test, y_test nor x, y. Received: {', '.join(sorted(keys))}"
    )


def _parts(arrays: Any) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """(x, y) or ((x, y), (x_test, y_test)) as arrays."""
    try:
        first, second = arrays
        nested = isinstance(first, (tuple, list)) and len(first) == 2 and len(second) == 2 and np.ndim(first[0]) > 1
    except (TypeError, ValueError):
        raise InputError(f"Data is a name, a path or arrays (x, y). Received: {type(arrays).__name__}") from None
    if nested:
        return (np.asarray(first[0]), np.asarray(first[1])), (np.asarray(second[0]), np.asarray(second[1]))
    return (np.asarray(first), np.asarray(second)), None


def _class_names(classes: Sequence[str] | None, *labels: np.ndarray) -> tuple[str, ...]:
    """The names given, or those of the labels: as they are, sorted, or 0 to the highest index."""
    if classes is not None:
        return tuple(map(str, classes))
    values = np.concatenate([np.ravel(part) for part in labels])
    if not len(values):
        raise InputError("The data has no images")
    if values.dtype.kind in "US":
        return tuple(np.unique(values.astype(str)))
    return tuple(map(str, range(int(values.max()) + 1)))


def _split(x: np.ndarray, y: np.ndarray, classes: Sequence[str], name: str) -> Split:
    """Images and labels, checked."""
    x = check_images(x)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # as keras.datasets.cifar10 gives them
    if y.ndim != 1 or len(y) != len(x):
        raise InputError(f"Labels are (N,), one for each of the {len(x)} images. Received: shape {y.shape}")
    if y.dtype.kind in "US":
        index = {name: i for i, name in enumerate(classes)}
        strangers = sorted(set(y.astype(str)) - index.keys())
        labels = np.array([index.get(label, 0) for label in y.astype(str)], "int64")
    else:
        strangers = sorted(
            {str(label) for label in np.unique(y) if label != int(label) or not 0 <= label < len(classes)}
        )
        labels = y.astype("int64")
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
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype == np.uint8:
        return x
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x).reshape(len(x), -1).all(1)).sum())
        raise InputError(f"{bad} of {len(x)} images hold NaN or infinite pixels")
    if x.dtype.kind == "f" and x.any() and x.max() <= 1:
        warnings.warn(
            f"Images of {x.dtype} between {x.min():.3g} and {x.max():.3g} look rescaled already; "
            "models here take 0 to 255 and normalise inside. Multiply by 255, or build with preprocessing='none'",
            stacklevel=2,
        )
    return x

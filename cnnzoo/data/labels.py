"""Read labels as text, in the same way for arrays, tables, data frames and streams."""

import math
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from os import PathLike, fspath
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.listing import Listing, natural_sort_key

MISSING_TYPES = {"NoneType", "NAType", "NaTType"}  # None, and pandas' markers of missing values
TAG_SEPARATORS = ("|", ";", ",", " ")
MISSING_LABELS = {"na", "n/a", "nan", "none", "null", "<na>", "?", "-", "nil", "unlabeled", "unlabelled"}
LABEL_KINDS = "class indices, names or one-hot rows"
ONE_LABEL = "An image can have one class only"
SEVERAL_REMEDY = "keep one label for each image, or only the images that have one"


class UnusableCellError(ValueError):
    """A value that is no text and no whole number; the message describes it."""


def cell_to_text(value: Any) -> str:
    """Return a value of a table as text: whole numbers without a point, and missing values as ''.

    Raises UnusableCellError for fractions, lists, and whatever else does not name anything.
    """
    if isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise UnusableCellError(f"{bytes(value)[:8]!r}, but bytes must be UTF-8 text") from None
    if isinstance(value, PathLike):
        return cell_to_text(fspath(value))
    if type(value).__name__ in MISSING_TYPES or (isinstance(value, float | Decimal) and value != value):
        return ""
    if isinstance(value, float | Decimal):
        if value in (float("inf"), -float("inf")) or value != int(value):
            raise UnusableCellError(f"a number that is not whole: {value}")
        return str(int(value))
    kind = "list" if isinstance(value, np.ndarray) else type(value).__name__
    raise UnusableCellError(f"of type {kind}: {str(value)[:60]}")


def read_labels(labels: Any, class_names: Sequence[str] | None = None) -> list[str]:
    """Return labels as text, one for each image.

    Args:
        labels: (N,) or (N, 1) class indices, names or booleans; (N, classes) one-hot rows; or lists of one name each.
        class_names: names for the indices, if the source has them.

    Raises:
        InputError: if an image has no label, several, or one that is neither a name nor a whole number.
    """
    rows = _to_array(labels)
    if rows.ndim == 2 and rows.shape[1] == 1:  # as in keras.datasets.cifar10
        rows = rows[:, 0]
    if rows.ndim == 2:
        rows = _one_hot_to_indices(rows)
    if rows.ndim != 1:
        raise InputError(f"Labels must be (N,), {LABEL_KINDS}. Received: shape {rows.shape}")
    if rows.dtype.kind not in "UOSbuif":
        raise InputError(f"Labels must be {LABEL_KINDS}. Received: dtype {rows.dtype}")
    # Convert each distinct value once
    if rows.dtype.kind == "O":
        return [_label_to_text(_unwrap_list(label, i), i, class_names) for i, label in enumerate(rows.tolist())]
    values, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    texts = [_label_to_text(value, i, class_names) for value, i in zip(values.tolist(), first.tolist(), strict=True)]
    return [texts[i] for i in inverse.ravel().tolist()]


def _to_array(labels: Any) -> np.ndarray:
    """Return labels as an array; lists of unequal lengths become an array of objects."""
    if hasattr(labels, "tolist") and not isinstance(labels, np.ndarray):
        labels = np.asarray(labels)  # tensors and columns of data frames
    if isinstance(labels, list | tuple) and not all(isinstance(label, int | float | np.ndarray) for label in labels):
        if labels and all(isinstance(label, list | tuple) for label in labels):
            lengths = {len(label) for label in labels}
            numbers = all(isinstance(value, int | float | np.generic) for label in labels for value in label)
            if len(lengths) == 1 and numbers:
                return np.asarray(labels)
        rows = np.empty(len(labels), object)
        rows[:] = list(labels) if not any(isinstance(label, np.ndarray) for label in labels) else [*map(list, labels)]
        return rows
    try:
        return np.asarray(labels)
    except ValueError:  # arrays of unequal lengths
        raise InputError(f"{ONE_LABEL}; the labels are lists of different lengths: {SEVERAL_REMEDY}") from None


def _one_hot_to_indices(rows: np.ndarray) -> np.ndarray:
    """Return the index of the only 1 in each row (N, classes)."""
    if rows.dtype.kind not in "buif":
        raise InputError(f"{ONE_LABEL}; the labels have the shape {rows.shape}: {SEVERAL_REMEDY}")
    ones = rows.sum(axis=1)
    if not ((rows == 0) | (rows == 1)).all():
        shares = np.isfinite(rows).all() and rows.min() >= 0 and np.allclose(ones, 1, atol=1e-3)
        hint = "; shares of classes become the largest by labels.argmax(axis=1)" if shares else ""
        raise InputError(f"Labels with several numbers must be one-hot: a single 1 in each row{hint}")
    if (ones > 1).any():
        i = int(np.argmax(ones > 1))
        raise InputError(
            f"{ONE_LABEL}; the label row {i} has {int(ones[i])} ones, so the image has several labels (multi-hot): "
            f"{SEVERAL_REMEDY}"
        )
    if (ones == 0).any():
        raise InputError(
            f"Labels with several numbers must be one-hot: a single 1 in each row. Received: the label row "
            f"{int(np.argmin(ones))} has none, so the image has no class"
        )
    return rows.argmax(axis=1)


def _unwrap_list(label: Any, i: int) -> Any:
    """Return the only entry of a list of labels."""
    if isinstance(label, list | tuple | set | frozenset | np.ndarray):
        if len(label) != 1:
            count = f"{len(label)} labels ({', '.join(map(str, list(label)[:4]))})" if len(label) else "no label"
            raise InputError(f"{ONE_LABEL}; image {i} has {count}: {SEVERAL_REMEDY}")
        return next(iter(label))
    return label


def _label_to_text(label: Any, i: int, class_names: Sequence[str] | None) -> str:
    try:
        text = cell_to_text(label)
    except UnusableCellError as error:
        raise InputError(f"Labels must be {LABEL_KINDS}. Received: the label of image {i} is {error}") from None
    if not text and not isinstance(label, str | bytes):
        raise InputError(f"Labels must be {LABEL_KINDS}. Received: image {i} has none ({label})")
    if class_names and not isinstance(label, str | bytes):
        if not 0 <= int(label) < len(class_names):
            hint = "; labels that begin at 1 become indices by labels - 1" if int(label) == len(class_names) else ""
            raise InputError(f"The data set has names for {len(class_names)} classes. Received: the label {text}{hint}")
        return str(class_names[int(label)])
    return text


# What the labels of a whole data set tell


def has_number_labels(labels: Any) -> bool:
    """Return whether labels are numbers or booleans, not text."""
    rows = _to_array(labels)
    return rows.dtype.kind in "buif" or (rows.dtype.kind == "O" and not any(isinstance(v, str | bytes) for v in rows))


def match_labels(labels: Collection[str], classes: Sequence[str], numbers: bool = False) -> dict[str, str]:
    """Return the class of each label: labels are names of classes, or indices of them; False and True are 0 and 1.

    Args:
        labels: the distinct labels.
        classes: the class names, in the order of the indices.
        numbers: whether the labels were numbers. Those that could be indices as well as names are refused then.

    Raises:
        InputError: if a label is neither, or if labels can be read in both ways with different results.
    """
    indices = {str(i): name for i, name in enumerate(classes)}
    if len(classes) == 2:
        indices |= dict(zip(("False", "True"), classes, strict=True))
    are_names, are_indices = set(labels) <= set(classes), set(labels) <= indices.keys()
    if are_names and are_indices and numbers and any(indices[label] != label for label in labels):
        label = next(label for label in labels if indices[label] != label)
        raise InputError(
            f"The label {label} can be the class {label!r} or the index of {indices[label]!r}. Pass text, "
            "labels.astype(str), if labels name their classes, or the class names in the order of the indices"
        )
    if not are_indices or (are_names and not numbers):
        names = {name: name for name in classes}
        indices = min((names, indices), key=lambda known: len(set(labels) - known.keys()))
    if unknown_labels := sorted(set(labels) - indices.keys()):
        raise InputError(
            f"Labels outside the {len(classes)} classes {', '.join(classes[:10])}: {', '.join(unknown_labels[:10])}"
            f"{hint_at_first_label(labels, classes)}"
        )
    return {label: indices[label] for label in labels}


def hint_at_first_label(labels: Collection[str], classes: Sequence[str]) -> str:
    """Return how to repair labels from 1 to N where the indices 0 to N - 1 of N classes are expected, or ''."""
    numbers = sorted(int(label) for label in labels if re.fullmatch("[0-9]{1,9}", label))
    if len(numbers) == len(labels) and numbers and numbers[0] >= 1 and numbers[-1] == len(classes):
        return f". Labels begin at 1; class indices begin at 0: subtract 1, so that 1 means {classes[0]!r}"
    return ""


def describe_number_labels(labels: Sequence[str]) -> list[str]:
    """Return a note if labels are numbers other than 0, 1, 2, ...; `labels` are in the order of the classes."""
    if not all(re.fullmatch("-?[0-9]{1,18}", label) for label in labels):
        return []
    numbers = sorted(map(int, labels))
    if numbers == list(range(len(numbers))):
        return []
    first = f"and class index 0 is {labels[0]!r}"
    if numbers == list(range(1, len(numbers) + 1)):
        return [f"Labels begin at 1: the classes are named 1 to {len(numbers)}, {first}."]
    listed = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    unlabeled = f" If {numbers[0]} marks images without a label, remove them." if numbers[0] < 0 else ""
    return [f"The labels are the numbers {listed}: they name {len(numbers)} classes, {first}.{unlabeled}"]


def examine_labels(listing: Listing, classes: Sequence[str] | None) -> Listing:
    """Check labels that people or programs wrote, and add notes on them; they are no names of folders.

    Labels that `classes` explains need neither.
    """
    if classes is not None:
        return listing
    labels = sorted({image.label for image in listing.images}, key=natural_sort_key)
    check_single_labels(labels)
    return listing._replace(notes=(*listing.notes, *describe_number_labels(labels), *describe_combined_labels(labels)))


def describe_like_labels(labels: Sequence[str]) -> list[str]:
    """Return notes on labels that differ in case, spaces or leading zeros only, and on those that may mean none."""
    like = dict[str, list[str]]()
    for label in labels:
        text = re.sub(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])", "", label.casefold().strip())
        like.setdefault(re.sub(r"(?<![\d.])0+(?=\d)", "", text), []).append(label)
    alike = [" and ".join(map(repr, same)) for same in like.values() if len(same) > 1]
    missing = [label for label in labels if label.casefold() in MISSING_LABELS]
    notes = [f"These labels are different classes, though nearly alike: {', '.join(alike[:5])}."] if alike else []
    if missing:
        listed = ", ".join(map(repr, missing))
        notes.append(f"The label {listed} is a class; if it marks images without a label, leave these out.")
    return notes


def describe_combined_labels(labels: Sequence[str]) -> list[str]:
    """Return a note if labels are all combinations of a few parts, such as "red big", "red small", "blue big", ...

    They may be classes, or two properties of an image in one text.
    """
    for separator in TAG_SEPARATORS:
        parts = [_split_tags(label, separator) for label in labels]
        if len({len(row) for row in parts}) != 1 or len(parts[0]) < 2:
            continue
        values = [sorted(set(column), key=natural_sort_key) for column in zip(*parts, strict=True)]
        if min(map(len, values)) > 1 and math.prod(map(len, values)) == len(labels):
            listed = " and ".join(f"{column[0]}, {column[1]}{', ...' if len(column) > 2 else ''}" for column in values)
            return [
                f"The {len(labels)} labels are all combinations of {listed}. Each is a class of its own, such as "
                f"{labels[0]!r}; if an image has two labels here, keep one of them."
            ]
    return []


def check_single_labels(labels: Collection[str]) -> None:
    """Raise InputError if labels are lists of tags in one text, such as 'cat dog' or 'cat|dog'.

    Names of several words are no tags. Tags show in labels whose parts are all labels by themselves, that hold the same
    parts in another order, or that combine few parts, in different numbers, to more labels than there are parts; and in
    labels that are all written as lists.
    """
    are_lists = bool(labels) and all(re.fullmatch(r"\[.*\]|\{.*\}|\(.*\)", label) for label in labels)
    if several := [label for label in labels if are_lists and "," in label]:
        raise InputError(
            f"{ONE_LABEL}; the label {min(several)!r} looks like a list of several: {SEVERAL_REMEDY}. If every list is "
            "meant as a class of its own, list them all: classes=[...] (--classes)"
        )
    for separator in TAG_SEPARATORS:
        parts_of = {label: _split_tags(label, separator) for label in labels}
        combined = {label: parts for label, parts in parts_of.items() if len(parts) > 1}
        atoms = {part for parts in parts_of.values() for part in parts}
        alone = {parts[0] for parts in parts_of.values() if len(parts) == 1}
        orders = {tuple(sorted(parts)) for parts in combined.values()}
        composed = [label for label, parts in combined.items() if set(parts) <= alone and len(set(parts)) > 1]
        reordered = len(orders) < len(combined)
        mixed = len({len(parts) for parts in parts_of.values()}) > 2 and len(labels) > len(atoms)
        if composed or reordered or mixed:
            example = min(composed or combined, key=lambda label: (-len(parts_of[label]), label))
            raise InputError(
                f"{ONE_LABEL}; the label {example!r} looks like {len(parts_of[example])} labels, separated by "
                f"{separator!r} (the labels have {len(atoms)} parts in {len(labels)} combinations): {SEVERAL_REMEDY}. "
                "If every combination is meant as a class of its own, list them all: classes=[...] (--classes)"
            )


def _split_tags(label: str, separator: str) -> list[str]:
    return [part.strip() for part in label.split(separator) if part.strip()]

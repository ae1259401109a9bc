"""Slices of the images of a comparison: groups by class, folder, size, brightness or a column of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.evaluation.compared_images import ComparedImages, measure_brightness, measure_size

CLASS, FOLDER, SIZE, BRIGHTNESS = "class", "folder", "size", "brightness"
BUILT_IN = {
    CLASS: "the true class",
    FOLDER: "the folder of the image",
    SIZE: "the shorter side of the image, in pixels",
    BRIGHTNESS: "the mean gray level of the image, from 0 to 255",
}
MAX_VALUES = 8  # of a column of numbers; more are grouped by quarters
MAX_WHOLE = 1e15  # larger whole numbers are not written with all digits
MAX_GROUPS = 50  # of a column; the images of rarer values are one group
MISSING, OTHERS = "(missing)", "(all others)"


def check_slices(slices: object) -> tuple[str, ...]:
    """Return the names of slices, of one name or several."""
    if slices is None:
        return ()
    names = [slices] if isinstance(slices, str) else slices
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise InputError(
            f"slices must be {', '.join(BUILT_IN)}, a column of the table of the images, or a list of these. Received: "
            f"{slices!r:.200}"
        )
    return tuple(dict.fromkeys(names))


def group_images(name: str, images: ComparedImages, labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the groups of a slice, and the index (N,) of the group of each image.

    Args:
        name: one of `BUILT_IN`, or a column of the table of the images.
        images: the images.
        labels: the true class (N,) of each image.

    Raises:
        InputError: if there is no such slice.
    """
    if name == CLASS:
        return group_values(labels)
    if name == FOLDER:
        return group_values([str(PurePosixPath(image).parent) for image in images.names])
    if name in (SIZE, BRIGHTNESS):
        values = images.measure(name, measure_size if name == SIZE else measure_brightness)
        if np.isnan(values).all():
            raise InputError(
                f"The slice {name!r} needs the images, and none of them was found, such as {images.names[0]!r:.200}"
                f"{f' ({images.problem})' if images.problem else ''}. data (--data) names their folder, their table or "
                "another source"
            )
        return group_values([None if np.isnan(value) else float(value) for value in values])
    if name not in images.columns:
        hint = ""
        if not images.columns:
            hint = ". The comparison knows no table of the images: data (--data) names it, for its columns"
        error = unknown_name("slice", name, [*BUILT_IN, *images.columns])
        raise InputError(f"{error}{hint}")
    return group_values(images.read_column(name))


def group_values(values: Sequence[Any]) -> tuple[list[str], np.ndarray]:
    """Return the groups of values, and the index (N,) of the group of each; many numbers are grouped by quarters.

    Example:
        >>> from cnnzoo.evaluation.slices import group_values
        >>> groups, indices = group_values(["day", "night", "day", None])
        >>> groups, indices.tolist()
        (['day', 'night', '(missing)'], [0, 1, 0, 2])
        >>> group_values(list(range(1, 101)))[0]
        ['1 to 25', '26 to 50', '51 to 75', '76 to 100']
    """
    numbers = _to_numbers(values)
    if numbers is not None and len(np.unique(numbers[~np.isnan(numbers)])) > MAX_VALUES:
        texts = _name_quarters(numbers)
        order = list(dict.fromkeys(texts[i] for i in np.argsort(numbers, kind="stable")))
    else:
        names = _name_numbers(value for value in values if isinstance(value, float) and not _is_missing(value))
        texts = [
            MISSING if _is_missing(value) else names[value] if isinstance(value, float) else str(value)
            for value in values
        ]
        counts = Counter(texts)
        if len(counts) > MAX_GROUPS:
            kept = set(sorted(counts, key=lambda text: -counts[text])[: MAX_GROUPS - 1])
            texts = [text if text in kept else OTHERS for text in texts]
        order = sorted(set(texts), key=lambda text: (text in (MISSING, OTHERS), _sort_key(text)))
    index = {name: i for i, name in enumerate(order)}
    return order, np.array([index[text] for text in texts], "int64")


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # those of pandas
        return True
    return value == "" if isinstance(value, str) else isinstance(value, float | np.floating) and bool(np.isnan(value))


def _to_numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Return values as numbers, NaN where there is none; None if one is text or a truth value."""
    if any(isinstance(value, bool) for value in values):
        return None
    try:
        return np.array([np.nan if _is_missing(value) else float(value) for value in values], "float64")
    except (ValueError, TypeError, OverflowError):
        return None


def _name_numbers(numbers: Iterable[float]) -> dict[float, str]:
    """Return a text for each number: of whole numbers all digits, of others as many as tell them apart, at least 4."""
    distinct = set(numbers)
    names: dict[float, str] = {}
    for digits in (4, 6, 9, 17):
        for number in distinct:
            is_whole = abs(number) < MAX_WHOLE and number == round(number)
            names[number] = f"{number:.0f}" if is_whole else f"{number:.{digits}g}"
        if len(set(names.values())) == len(distinct):
            break
    return names


def _name_quarters(numbers: np.ndarray) -> list[str]:
    """Return for each number (N,) the range of its quarter."""
    known = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[known], [0.25, 0.5, 0.75], method="lower"))
    quarters = np.searchsorted(edges, numbers, "left")
    ranges = {}
    for quarter in np.unique(quarters[known]):
        members = numbers[known & (quarters == quarter)]
        ranges[int(quarter)] = float(members.min()), float(members.max())
    texts = _name_numbers(bound for bounds in ranges.values() for bound in bounds)
    names = {
        quarter: texts[low] if low == high else f"{texts[low]} to {texts[high]}"
        for quarter, (low, high) in ranges.items()
    }
    return [names[int(quarter)] if is_known else MISSING for quarter, is_known in zip(quarters, known, strict=True)]


def _sort_key(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text

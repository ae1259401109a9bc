"""Recognize what Python programs pass as data: data frames, paths with labels, pairs, and parts by split."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.split_names import SPLIT_NAMES
from cnnzoo.data.table_files import Table, table_of_columns, table_of_frame, table_of_records

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}  # of a tuple of data sets


def split_parts(source: Any) -> dict[str, Any]:
    """Return the parts of a source by split; a source without parts is one of no split.

    Parts are the values of a dict with the keys train, validation and test, or a tuple of two (train, test) or three
    data sets, each of which could be a source by itself.
    """
    if isinstance(source, Mapping) and source and all(str(key).casefold() in SPLIT_NAMES for key in source):
        parts = {SPLIT_NAMES[str(key).casefold()]: part for key, part in source.items()}
        if len(parts) < len(source):
            raise InputError(
                f"A dict of data sets must have one key per split. Received: {', '.join(map(str, source))}"
            )
        return parts
    if isinstance(source, tuple | list) and len(source) in PARTS and all(map(_is_data_set, source)):
        return dict(zip(PARTS[len(source)], source, strict=True))
    return {"": source}


def find_tables(parts: Mapping[str, Any]) -> dict[str, Table]:
    """Return the table of each part; none if a part is another kind of source."""
    tables = {split: as_table(part) for split, part in parts.items()}
    return {split: table for split, table in tables.items() if table is not None} if all(tables.values()) else {}


def _is_data_set(part: Any) -> bool:
    """Return whether one entry of a tuple is a data set by itself: a pair of images and labels, a frame, a stream."""
    if isinstance(part, tuple | list):
        return len(part) in (2, 3) and (_is_stack(part[0]) or (_is_paths(part[0]) and not _is_text(part[1])))
    return not isinstance(part, np.ndarray) and (_is_frame(part) or is_stream(part))


def is_stream(source: Any) -> bool:
    """Return whether `source` yields images with labels: tf.data, PyDataset, a data loader, a generator."""
    if isinstance(source, str | bytes | os.PathLike | Mapping | np.ndarray | list | tuple | set | frozenset | type):
        return False
    if hasattr(source, "__array__") or hasattr(source, "dtype") or _is_frame(source):
        return False
    return hasattr(source, "__iter__") or (hasattr(source, "__getitem__") and hasattr(source, "__len__"))


def is_list_of_pairs(source: Any) -> bool:
    """Return whether `source` is a list of pairs (image, label)."""
    return (
        isinstance(source, list)
        and len(source) > 0
        and all(isinstance(row, tuple | list) and len(row) in (2, 3) and _is_image(row[0]) for row in source)
    )


def as_table(source: Any) -> Table | None:
    """Return the table of a data frame, of columns, of (paths, labels), or of a list of rows; None for other sources.

    A row is a pair (path, label), three values (path, label, split), or a dict of columns.
    """
    if isinstance(source, str | bytes | os.PathLike | np.ndarray):
        return None
    if (table := table_of_frame(source)) is not None:
        return table
    if isinstance(source, Mapping):
        columns = {str(name): values for name, values in source.items()}
        if columns and all(_is_column(values) for values in columns.values()) and any(map(_is_paths, columns.values())):
            return table_of_columns("dict", {name: list(values) for name, values in columns.items()})
        return None
    if not isinstance(source, list | tuple) or not len(source):
        return None

    # Rows
    rows = [f"row {i}" for i in range(len(source))]
    if all(isinstance(row, Mapping) for row in source):
        return table_of_records("list", [{str(k): v for k, v in row.items()} for row in source], rows, Path())
    if _is_list_of_rows(source):
        width = len(source[0])
        names = ("path", "label", "split")[:width]
        columns = {name: [row[i] for row in source] for i, name in enumerate(names)}
        return table_of_columns("list", columns)

    # Paths and labels, and perhaps splits
    if len(source) in (2, 3) and _is_paths(source[0]):
        for values, what in zip(source[1:], ("Labels", "Splits"), strict=False):
            if not _is_column(values) or len(values) != len(source[0]):
                received = f"{len(values):,} {what.casefold()}" if _is_column(values) else repr(values)[:80]
                raise InputError(
                    f"{what} must be (N,), one for each of the {len(source[0]):,} paths. Received: {received}"
                )
        columns = dict(zip(("path", "label", "split"), map(_to_list, source), strict=False))
        return table_of_columns("paths", columns)
    return None


def _is_list_of_rows(source: Sequence[Any]) -> bool:
    """Return whether all entries are rows (path, label) or (path, label, split)."""
    if not all(isinstance(row, tuple | list) and len(row) == len(source[0]) for row in source):
        return False
    if len(source[0]) not in (2, 3) or not all(_is_path(row[0]) and not _is_column(row[1]) for row in source):
        return False
    # Two lists of two texts each are the columns, not the rows
    return not (isinstance(source, tuple) or isinstance(source[0], list)) or len(source) > 2


def _to_list(values: Any) -> list[Any]:
    """Return a column as a list; one-hot rows become lists."""
    values = np.asarray(values).tolist() if hasattr(values, "__array__") else list(values)
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def _is_frame(source: Any) -> bool:
    # Looked up without calling properties, which compute the schema of frames that are lazy
    names = {*dir(type(source)), *getattr(source, "__dict__", ())}
    return ("columns" in names and "dtypes" in names) or "to_pylist" in names


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | bytes | os.PathLike)


def _is_column(values: Any) -> bool:
    return not _is_path(values) and hasattr(values, "__len__") and hasattr(values, "__iter__")


def _is_paths(values: Any) -> bool:
    """Return whether `values` is a sequence of paths."""
    if not _is_column(values) or isinstance(values, Mapping | set | frozenset) or not len(values):
        return False
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "UOS" or values.shape not in ((len(values),), (len(values), 1)):
            return False
        values = values.ravel()
    return all(_is_path(value) for value in values)


def _is_image(value: Any) -> bool:
    """Return whether `value` is the pixels of one image, or an image of Pillow."""
    return (hasattr(value, "getbands") and hasattr(value, "size")) or len(getattr(value, "shape", ())) in (2, 3)


def _is_stack(value: Any) -> bool:
    """Return whether `value` is an array of several images."""
    shape = getattr(value, "shape", None)
    return len(shape) > 1 if shape is not None else isinstance(value, list) and np.ndim(value) > 1

"""Recognize what people bring as images: paths, bytes, open files, Pillow images, arrays, tensors, tables of these."""

from __future__ import annotations

import inspect
import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.decode import MAX_BYTES
from cnnzoo.data.images import ImageData
from cnnzoo.data.pillow_images import hold_pillow_image, is_pillow_image
from cnnzoo.data.splits import Split
from cnnzoo.data.table_columns import PATH_COLUMNS

ALLOWED = (
    "a path, the bytes of a file, an open file, a Pillow image, an array or tensor (H, W) or (H, W, C), a table with a "
    "column of paths, or a list of these"
)
MAX_PATH_BYTES = 4096  # more bytes than a path may have are the content of a file
USUAL_NAMES = PATH_COLUMNS[:2]  # those after them, such as id, need a suffix
MIN_SIDE = 8  # of an image, where the shape of an array alone does not say what it holds


@dataclass(frozen=True)
class Unreadable:
    """Stands in the place of an image that cannot be had; the reason becomes the error of its prediction."""

    reason: str


# One image: a path, the bytes of a file, a Pillow image, or an array (H, W) or (H, W, C).
ImageSource = str | os.PathLike[str] | bytes | np.ndarray | Unreadable | Any


def unify_images(images: Any) -> Any:
    """Return what was given as images in one of four forms.

    Returns:
        A path; a source of one image, which is no path; an array (N, H, W) or (N, H, W, C); or an iterable.

    Raises:
        InputError: for anything else.
    """
    if isinstance(images, str | os.PathLike) or is_image(images):
        return images
    if isinstance(images, ImageData | Split):
        raise InputError(
            f"Images must be {ALLOWED}. Received: {images!r:.200}; pass the images of a split, such as "
            "data.test.images, or measure the model on it: cnnzoo.evaluate(model, data)"
        )
    if (columns := _column_names(images)) is not None:
        return _to_list(images[find_path_column(columns)])
    if (array := to_array(images)) is not None:
        if array.dtype.kind in "OSU":  # paths or bytes, such as a tensor of strings
            return (
                _decode_path(array[()])
                if array.ndim == 0
                else [_decode_path(value) for value in array.ravel().tolist()]
            )
        return _to_batch(array)
    if hasattr(images, "status_code") and hasattr(images, "content"):
        raise InputError("Images must be bytes. Received an HTTP response; pass response.content")
    if isinstance(images, Mapping):
        raise InputError(
            "Images must be a list. Received a dict, which may hold them as keys or as values; pass list(images) or "
            "list(images.values())"
        )
    if hasattr(images, "to_list") or hasattr(images, "to_pylist"):
        return _to_list(images)
    if isinstance(images, Iterable):
        return images
    raise InputError(f"Images must be {ALLOWED}. Received: {images!r:.200}")


def is_image(value: Any) -> bool:
    """Return whether `value` holds one image itself: bytes, an open file or a Pillow image, but no path or array."""
    return isinstance(value, bytes | bytearray | memoryview | mmap.mmap) or is_pillow_image(value) or _is_file(value)


def read_item(value: Any) -> tuple[str, list[ImageSource]]:
    """Return the name and the images of one item of a list.

    The name is "" if the item has none. What an iterator may change after this call is copied.

    Args:
        value: one image, but no path; or an array (N, H, W, C) of several.

    Raises:
        InputError: if it is none.
    """
    if _is_missing(value):
        return "", [Unreadable(f"There is no image in this place. Received: {value!r}")]
    if isinstance(value, Unreadable):
        return "", [value]
    if isinstance(value, bytes | bytearray | memoryview | mmap.mmap):
        return "", [bytes(value)]
    if is_pillow_image(value):
        return _name_of(value), [_hold_pillow(value)]
    if _is_file(value):
        return _name_of(value), [read_file(value)]
    if isinstance(value, Mapping) and value.keys() & {"bytes", "path"} and not value.keys() - {"bytes", "path"}:
        return str(value.get("path") or ""), [value.get("bytes") or value["path"]]  # as Hugging Face stores images
    if (array := to_array(value)) is not None and array.dtype.kind not in "OSU":
        if array.ndim in (2, 3):
            return "", [array.copy() if isinstance(value, np.ndarray) else array]
        if array.ndim == 4:
            return "", list(array.copy())
        raise InputError(f"An image must be an array (H, W) or (H, W, C). Received: shape {array.shape}")
    hint = ""
    if isinstance(value, tuple | list):
        hint = "; of pairs of images and labels, pass the images alone: (image for image, label in pairs)"
    elif isinstance(value, Mapping):
        hint = "; of rows, pass the images alone: (row['image'] for row in rows)"
    raise InputError(f"An image must be {ALLOWED.rpartition(', a table')[0]}. Received: {value!r:.200}{hint}")


# ---- Open files and Pillow images


def _is_file(value: Any) -> bool:
    """Return whether `value` is read like a file: an open file, BytesIO, an upload, an entry of a zip file."""
    return not isinstance(value, type) and any(callable(getattr(value, name, None)) for name in ("read", "read_bytes"))


def read_file(file: Any) -> bytes | Unreadable:
    """Return the bytes of an open file, from its beginning if it can be rewound, as Pillow reads it."""
    try:
        if not callable(getattr(file, "read", None)):
            content = file.read_bytes()
        elif not _is_seekable(file):
            content = file.read(MAX_BYTES + 1)
        else:
            position = file.tell()
            file.seek(0)
            content = file.read(MAX_BYTES + 1)
            file.seek(position)
    except Exception as error:  # files of archives, networks and uploads raise many types
        return Unreadable(f"Cannot read {describe_file(file)}: {error}")
    if inspect.isawaitable(content):
        getattr(content, "close", lambda: None)()
        return Unreadable(f"{describe_file(file)} is read asynchronously; pass `await file.read()`")
    if isinstance(content, str):
        return Unreadable(f"{describe_file(file)} is open as text; open it with mode 'rb'")
    if len(content) > MAX_BYTES:
        return Unreadable(f"{describe_file(file)} has more than the {MAX_BYTES:,} bytes that are allowed")
    return bytes(content) if content else Unreadable(f"{describe_file(file)} is empty, or was read to its end")


def is_rewindable(file: Any) -> bool:
    """Return whether an open file can be read more than once."""
    return not callable(getattr(file, "read", None)) or _is_seekable(file)


def _is_seekable(file: Any) -> bool:
    try:
        if hasattr(file, "seekable"):
            return bool(file.seekable())
        file.seek(file.tell())
    except Exception:  # no seek; or a file that is closed, and reading it gives the reason
        return False
    return True


def describe_file(file: Any) -> str:
    """Return a text for messages: the kind of an open file, and its name if it has one."""
    name = _name_of(file)
    return f"the {type(file).__name__} {name!r}" if name else f"the {type(file).__name__}"


def _name_of(value: Any) -> str:
    """Return the name of the file behind an open file or a Pillow image, or ""."""
    for attribute in ("filename", "name"):
        name = getattr(value, attribute, None)
        if isinstance(name, str | bytes | os.PathLike) and name:
            return os.fsdecode(name)
    return ""


def _hold_pillow(image: Any) -> Any:
    try:
        return hold_pillow_image(image)
    except InputError as error:
        return Unreadable(str(error))


# ---- Arrays and tensors


def to_array(value: Any) -> np.ndarray | None:
    """Return a NumPy array of an array or a tensor of any library, or None for anything else.

    Raises:
        InputError: if a tensor has no values yet, or an array hides some of them.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise InputError("Masked arrays have no value for masked pixels; pass array.filled(value)")
    if isinstance(value, np.ndarray):
        return value
    library = type(value).__module__.partition(".")[0]
    if library in ("pandas", "polars", "pyarrow", "PIL") or not hasattr(value, "__array__"):
        return None
    try:
        if library == "torch":
            return _channels_last(_torch_to_numpy(value))
        array = np.asarray(value.get() if library == "cupy" else value)
    except Exception as error:  # each library has types of its own, such as for symbolic tensors and deleted buffers
        raise InputError(
            f"Cannot read the pixels of this {type(value).__name__}: {str(error).partition('.')[0]:.200}"
        ) from None
    # NumPy has no bfloat16 or float8 of its own.
    return array.astype("float32") if array.dtype.kind == "V" and array.dtype.names is None else array


def _torch_to_numpy(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if "bfloat16" in str(tensor.dtype):
        tensor = tensor.float()
    return np.asarray(tensor.numpy())


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Return the images of a torch tensor, which has its channels first, with channels last.

    Raises:
        InputError: if the shape can be read both ways.
    """
    if array.ndim not in (3, 4):
        return array
    is_first, is_last = array.shape[-3] in (1, 3), array.shape[-1] in (1, 3)
    if is_first and is_last:
        raise InputError(
            f"A tensor of shape {array.shape} may have its channels first or last; pass an array with channels last"
        )
    return np.moveaxis(array, -3, -1) if is_first else array


def _to_batch(array: np.ndarray) -> np.ndarray:
    """Return an array as a batch of images: one image (H, W) or (H, W, 3) becomes a batch of one.

    Raises:
        InputError: if the shape can be read as one image and as several.
    """
    if array.ndim == 2:
        return array[None]
    if array.ndim == 3 and array.shape[2] == 3:
        return array[None]
    if array.ndim == 3 and array.shape[2] in (1, 4) and min(array.shape[:2]) >= MIN_SIDE:
        n, height, channels = array.shape
        raise InputError(
            f"An array of shape {array.shape} may be one image of {n}x{height} pixels with {channels} channels, or {n} "
            f"gray images of {height}x{channels}; pass images[None] for one, or images[..., None] for several"
        )
    return array


# ---- Tables and columns


def _column_names(table: Any) -> list[Any] | None:
    """Return the column names of a table of pandas, polars, pyarrow or Hugging Face, or None for anything else."""
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    if names is None or callable(names) or not hasattr(table, "__getitem__"):
        return None
    return list(names)


def find_path_column(columns: list[Any]) -> Any:
    """Return the only column with a usual name for paths, or the only column at all."""
    for names in USUAL_NAMES:
        matches = [column for column in columns if str(column).casefold() in names]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(
                f"The table has several columns for paths: {', '.join(map(str, matches))}. Pass the column itself, "
                f"table[{matches[0]!r}]"
            )
    if len(columns) == 1:
        return columns[0]
    raise InputError(
        f"The table has no column for paths. Pass the column itself, table['...']. Usual names: "
        f"{', '.join(USUAL_NAMES[0])}. Received: {', '.join(map(str, columns)) or 'nothing'}"
    )


def _to_list(column: Any) -> list[Any]:
    """Return the values of a column of a table."""
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return [_decode_path(value) for value in getattr(column, method)()]
    return [_decode_path(value) for value in column]


def _decode_path(value: Any) -> Any:
    """Return bytes that are the path of a file as text; the bytes of a file stay as they are."""
    is_path = isinstance(value, bytes) and len(value) <= MAX_PATH_BYTES and b"\0" not in value
    return os.fsdecode(value) if is_path and os.path.lexists(value) else value


def _is_missing(value: Any) -> bool:
    """Return whether a value stands for a missing one: None, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))

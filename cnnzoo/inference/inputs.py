"""Iterate over the images to classify: files, folders, patterns, bytes, arrays, or lists of these."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import printable_name
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.listing import iter_files, natural_sort_key

ImageSource = str | os.PathLike[str] | bytes | np.ndarray  # one image: a path, bytes, or an array (H, W) or (H, W, C)
NamedImage = tuple[str, ImageSource]
MAX_DESCRIPTION = 300  # characters

Item = TypeVar("Item")
Result = TypeVar("Result")


def iter_images(images: Any) -> Iterator[NamedImage]:
    """Yield the name and the source of every image, without opening any.

    A folder stands for all files in it and below, in the natural order of their names; a pattern for the files that
    match. No more than the names of one folder are held in memory at a time.

    Args:
        images: a path, a folder, a pattern such as "photos/*.jpg", bytes, or an iterable of these and of arrays.

    Raises:
        InputError: for anything else, and for a pattern or folder without files.
    """
    if isinstance(images, str | os.PathLike):
        yield from _iter_paths(images)
    elif isinstance(images, bytes):
        yield "0", images
    elif isinstance(images, Iterable):
        count = itertools.count()
        for image in images:
            if isinstance(image, str | os.PathLike):
                yield from _iter_paths(image)
            elif isinstance(image, bytes) or (isinstance(image, np.ndarray) and image.ndim in (2, 3)):
                yield str(next(count)), image
            else:
                raise InputError(
                    f"An image must be a path, bytes, or an array (H, W) or (H, W, C). Received: {image!r:.200}"
                )
    else:
        raise InputError(f"Images must be paths, bytes or arrays. Received: {images!r:.200}")


def _iter_paths(path: str | os.PathLike[str]) -> Iterator[NamedImage]:
    """Yield the files that a path, a folder or a pattern stands for."""
    name = os.fspath(path)
    files: Iterable[Path]
    if os.path.isdir(name):  # noqa: PTH112  # called for millions of paths
        files = iter_files(Path(name))
    elif glob.has_magic(name) and not os.path.lexists(name):
        matches = glob.iglob(name, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
        files = map(Path, sorted(itertools.filterfalse(os.path.isdir, matches), key=natural_sort_key))
    else:
        yield printable_name(name), path
        return
    is_empty = True
    for file in files:
        is_empty = False
        yield printable_name(str(file)), file
    if is_empty:
        raise InputError(f"There are no files at {name!r}")


def is_single_image(images: Any) -> bool:
    """Return whether `images` is one image rather than a list, folder or pattern."""
    return isinstance(images, bytes) or (
        isinstance(images, str | os.PathLike) and not Path(images).is_dir() and not glob.has_magic(os.fspath(images))
    )


def prefetch(function: Callable[[Item], Result], items: Iterable[Item], depth: int) -> Iterator[Result]:
    """Yield `function(item)` for each item in order, computed by threads up to `depth` items ahead."""
    pending: deque[Any] = deque()
    for item in items:
        pending.append(thread_pool().submit(function, item))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def describe_images(images: Any) -> str:
    """Return a text that identifies this choice of images.

    A long list is cut and completed by a digest of all its names and contents.
    """
    if isinstance(images, str | os.PathLike):
        return os.fspath(images)
    images = [images] if isinstance(images, bytes) else images
    names = [os.fspath(x) if isinstance(x, str | os.PathLike) else hashlib.sha256(bytes(x)).hexdigest() for x in images]
    text = ", ".join(names)
    if len(text) < MAX_DESCRIPTION:
        return text
    return f"{text[:100]}... ({len(names):,}, {hashlib.sha256(text.encode()).hexdigest()})"


def track_progress(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the items while showing a progress bar with the remaining time."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, "predict", count, console=Console(stderr=True), transient=True))

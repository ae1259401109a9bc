"""Which images are asked about, one after the other: files, folders, globs, bytes, arrays, or lists of these."""

import glob
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.listing import iter_files, natural_sort_key, printable_name


def iter_images(images: Any) -> Iterator[tuple[str, Any]]:
    """(name, source) of every image; a source is a path, bytes, or an array (H, W) or (H, W, C).

    A folder gives all files in it, also below, in the order of their names, and a pattern those that match. Nothing is
    opened yet, and no more than one folder's names are held at a time.

    Raises:
        InputError: for what is none of these, and a pattern or folder without files.
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
                    f"An image is a path, bytes, or an array (H, W) or (H, W, C). Received: {image!r:.200}"
                )
    else:
        raise InputError(f"Images are paths, bytes or arrays. Received: {images!r:.200}")


def _iter_paths(path: Any) -> Iterator[tuple[str, Any]]:
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112  # millions of them
        found: Iterable[Path] = iter_files(Path(name))
    elif glob.has_magic(name) and not os.path.lexists(name):
        names = glob.iglob(name, recursive=True)  # noqa: PTH207  # of absolute patterns too
        found = map(Path, sorted(itertools.filterfalse(os.path.isdir, names), key=natural_sort_key))
    else:
        yield printable_name(name), path
        return
    empty = True
    for file in found:
        empty = False
        yield printable_name(str(file)), file
    if empty:
        raise InputError(f"There are no files at {name!r}")


def is_single_image(images: Any) -> bool:
    """Whether one image is asked about, and no list of them."""
    return isinstance(images, bytes) or (
        isinstance(images, str | os.PathLike) and not Path(images).is_dir() and not glob.has_magic(os.fspath(images))
    )


def prefetch(do: Callable[[Any], Any], items: Iterable[Any], depth: int) -> Iterator[Any]:
    """What `do` gives for each item, in order, worked out by threads up to `depth` items ahead."""
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(thread_pool().submit(do, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def describe_images(images: Any) -> str:
    """What tells one choice of images from another: its beginning, and a digest of all of it if there is more."""
    if isinstance(images, str | os.PathLike):
        return os.fspath(images)
    images = [images] if isinstance(images, bytes) else images
    few = [os.fspath(x) if isinstance(x, str | os.PathLike) else hashlib.sha256(bytes(x)).hexdigest() for x in images]
    text = ", ".join(few)
    return text if len(text) < 300 else f"{text[:100]}... ({len(few):,}, {hashlib.sha256(text.encode()).hexdigest()})"


def track_progress(items: Iterable[Any], count: int) -> Iterator[Any]:
    """The items, with a bar and an estimate."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, "predict", count, console=Console(stderr=True), transient=True))

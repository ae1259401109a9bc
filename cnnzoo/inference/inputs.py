"""Iterate over the images to classify: files, folders, patterns, and whatever `sources` recognizes."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.paths import check_working_dir, expand_home, path_exists
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import escape_controls, format_count, printable_name
from cnnzoo.core.threads import thread_pool
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.listing import iter_file_names
from cnnzoo.data.litter import is_note
from cnnzoo.data.packed import iter_images as iter_packed_images
from cnnzoo.data.packed import read_manifest
from cnnzoo.data.packed_folder import is_packed
from cnnzoo.inference.path_lists import is_path_list, iter_listed_paths
from cnnzoo.inference.patterns import is_pattern, iter_matches
from cnnzoo.inference.sources import (
    ImageSource,
    Unreadable,
    is_image,
    is_rewindable,
    read_file,
    read_item,
    unify_images,
)

NamedImage = tuple[str, ImageSource]
MAX_DESCRIPTION = 300  # characters
BASE64_STARTS = ("/9j/", "iVBORw0K", "R0lGOD", "UklGR")  # of JPEG, PNG, GIF and WebP

Item = TypeVar("Item")
Result = TypeVar("Result")


class LeftOutNames:
    """The documents and tables that were left out among the images: the first of them, and how many there are."""

    def __init__(self, is_own: Callable[[str], bool] = lambda name: False) -> None:
        """Begin with none; names for which `is_own` is true do not count."""
        self.first, self.count, self._is_own = "", 0, is_own

    def add(self, name: str) -> None:
        """Count a name."""
        if not self._is_own(name):
            self.first, self.count = self.first or name, self.count + 1


def iter_images(images: Any, notes: LeftOutNames | None = None) -> Iterator[NamedImage]:
    """Yield the name and the source of every image, without opening any file.

    A folder stands for all files in it and below, in the natural order of their names; a pattern for the files that
    match; a text file or a table for the files that it lists; packed data for its images, by their names in the
    source. Documents and tables in folders are left out, unless a pattern asks for their suffix. However many files
    there are, few of their names are in memory at a time.

    Args:
        images: what `unify_images` returns, or takes.
        notes: counts the documents and tables that are left out.

    Raises:
        InputError: for anything else, and for a pattern or folder without files.
    """
    images, notes = unify_images(images), notes or LeftOutNames()
    is_list = not (isinstance(images, str | os.PathLike) or is_image(images))
    count = itertools.count()
    is_alone = not is_list or (isinstance(images, list | tuple) and len(images) == 1)
    for item in images if is_list else (images,):
        if isinstance(item, str | os.PathLike):
            yield from _iter_paths(os.fsdecode(item), notes, is_alone)
            continue
        name, sources = read_item(item)
        for source in sources:
            if isinstance(source, str | os.PathLike):
                yield from _iter_paths(os.fsdecode(source), notes, is_alone)
            else:
                yield printable_name(name) or str(next(count)), source


def _iter_paths(path: str, notes: LeftOutNames, is_alone: bool) -> Iterator[NamedImage]:
    """Yield the files that a path, a folder, a pattern or a list stands for; add documents among them to `notes`.

    A list that cannot be read raises an error if it `is_alone`; otherwise it has an error in its place.
    """
    files: Iterable[str]
    takes_notes = False
    if reason := find_path_fault(path):
        yield (
            printable_name(path),
            Unreadable(f"Cannot read {shorten_repr(path, MAX_DESCRIPTION)} as an image: {reason}"),
        )
        return
    if path.startswith("~") and not path_exists(path.partition("/")[0]):
        path = str(expand_home(path))
    if os.path.isdir(path):  # noqa: PTH112  # called for millions of paths
        if is_packed(Path(path)):
            yield from ((image.name, image.source) for image in iter_packed_images(read_manifest(Path(path))))
            return
        files = iter_file_names(Path(path))
    elif is_pattern(path):
        files, takes_notes = map(str, iter_matches(path)), is_note(path)
    elif is_path_list(path):
        try:
            yield from ((printable_name(listed), listed) for listed in iter_listed_paths(path))
        except InputError as error:
            if is_alone:
                raise
            yield printable_name(path), Unreadable(str(error))
        return
    else:
        yield printable_name(path), path
        return
    is_empty, first_note = True, ""
    for file in files:
        if not takes_notes and is_note(file):
            notes.add(printable_name(file))
            first_note = first_note or printable_name(file)
            continue
        is_empty = False
        yield printable_name(file), file
    if is_empty and first_note:
        raise InputError(f"There are no images at {path!r}, but documents or tables, such as {first_note}")
    if is_empty:
        raise InputError(f"There are no files at {path!r}")


def warn_of_notes(notes: LeftOutNames) -> None:
    """Warn that documents and tables were left out, if there are any."""
    if notes.count:
        others = f" and {format_count(notes.count - 1, 'other file')} were" if notes.count > 1 else " was"
        warn_caller(
            f"{escape_controls(notes.first)}{others} left out: by name a document, a table or the like, not an image"
        )


def find_path_fault(path: str) -> str:
    """Return why `path` cannot be the path of an image, or "" if nothing is wrong with it."""
    if not path:
        return "it is empty; '.' is the current folder"
    if path.startswith(("http://", "https://", "ftp://", "s3://", "gs://")):
        return "addresses are not downloaded; download the file, or pass its bytes"
    if path.startswith("data:"):
        return "this is a data URI; pass its bytes, base64.b64decode(uri.partition(',')[2])"
    if len(path) > MAX_DESCRIPTION and path.startswith(BASE64_STARTS):
        return "this is an image in base64; pass its bytes, base64.b64decode(text)"
    if path.startswith("file://"):
        return "this is a file URI; pass the path alone"
    try:
        check_working_dir(path)
        if path.startswith("~") and not path_exists(path.partition("/")[0]):
            expand_home(path)
    except InputError as error:
        return str(error)
    return ""


def count_images(images: Any, verbose: bool, notes: LeftOutNames | None = None) -> int:
    """Return the number of images; if that takes long, tell how many there are so far. `notes` as in `iter_images`."""
    with show_progress("Counting the images", unit="images", verbose=verbose) as progress:
        return sum(1 for _ in progress.track(iter_images(images, notes)))


def iter_images_and_warn(images: Any) -> Iterator[NamedImage]:
    """Yield what `iter_images` yields, and warn at the end of what it has left out."""
    notes = LeftOutNames()
    yield from iter_images(images, notes)
    warn_of_notes(notes)


def find_count(images: Any) -> int | None:
    """Return the number of images in an array, a folder or a list of paths; None for anything else."""
    if isinstance(images, np.ndarray):
        return len(images)
    items = images if isinstance(images, list | tuple) else [images]
    is_path = [isinstance(item, str | os.PathLike) and not is_pattern(os.fsdecode(item)) for item in items]
    return count_images(images, verbose=False) if all(is_path) else None


def is_single_image(images: Any) -> bool:
    """Return whether `images` is one image rather than a list, folder or pattern."""
    if isinstance(images, str | os.PathLike):
        path = os.fsdecode(images)
        return not os.path.isdir(path) and not is_pattern(path) and not is_path_list(path)  # noqa: PTH112
    return is_image(images)


def keep_images(images: Any) -> Any:
    """Return images that can be iterated more than once: iterators become lists, pipes and sockets become bytes."""
    if isinstance(images, Iterator) and not is_image(images):
        return [keep_images(image) for image in images]
    if isinstance(images, list | tuple):
        return [keep_images(image) for image in images]
    return read_file(images) if is_image(images) and hasattr(images, "read") and not is_rewindable(images) else images


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
    images = unify_images(images)
    if isinstance(images, str | os.PathLike):
        return os.fsdecode(images)
    items = [images] if is_image(images) else images
    names = [os.fsdecode(x) if isinstance(x, str | os.PathLike) else _digest_item(x) for x in items]
    text = ", ".join(names)
    if len(text) < MAX_DESCRIPTION:
        return text
    return f"{text[:100]}... ({len(names):,}, {hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()})"


def _digest_item(item: Any) -> str:
    """Return a digest of the content of an item that is no path."""
    digest = hashlib.sha256()
    for source in read_item(item)[1]:
        if isinstance(source, str | os.PathLike | Unreadable):
            digest.update(repr(source).encode(errors="surrogatepass"))
        else:
            pixels = source if isinstance(source, bytes) else np.ascontiguousarray(source)
            digest.update(pixels if isinstance(pixels, bytes) else pixels.tobytes())
    return digest.hexdigest()

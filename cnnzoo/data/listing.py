"""What a source lists before any file is opened: its images with their labels and splits, and the files of folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.data.litter import is_litter
from cnnzoo.data.packed_folder import PACKED_FOLDER, is_packed
from cnnzoo.data.sorted_entries import Entry, sort_entries
from cnnzoo.data.sorted_entries import is_dir as is_dir
from cnnzoo.data.sorted_entries import natural_sort_key as natural_sort_key
from cnnzoo.data.split_names import SPLIT_NAMES as SPLIT_NAMES  # for the readers of other sources


@dataclass(frozen=True)
class ListedImage:
    """One image that a source names, and what the source says about it."""

    source: Any  # a path, or an object with `read() -> bytes`
    name: str  # for people, relative to the source
    label: str
    split: str = ""  # train, validation or test; empty if the source does not say
    group: str = ""  # images of one group stay in one split
    weight: float | None = None  # in the loss; None if the source gives none
    facts: Any = None  # the `ImageFacts`, if the source has scanned the image before


REPEATED_FOLDER = "a link to a folder that was listed already"


class LeftOutFile(NamedTuple):
    """A file that is not an image of a class."""

    name: str  # for people, relative to the source
    reason: str
    path: Path | None = None


LeftOut = list[LeftOutFile]


class Listing(NamedTuple):
    """What a source holds: its images, the files that are left out, and how it was read."""

    images: list[ListedImage]
    left_out: LeftOut
    notes: tuple[str, ...] = ()  # sentences for people: which reading was taken, and what is not used
    has_written_labels: bool = False  # whether people or programs wrote the labels; they are no names of folders


# Files of folders


def iter_files(root: Path) -> Iterator[Path]:
    """Yield all files under a folder in natural order; each folder once, no litter.

    A folder below it that cannot be opened is yielded in the place of its files. Raises InputError if `root` cannot.
    """
    return map(Path, iter_file_names(root))


def iter_file_names(root: Path) -> Iterator[str]:
    """Yield what `iter_files` yields, as text: a Path takes as long to make as the rest of listing a file."""
    start, own_prefix = os.fspath(root), "./" if root == Path() else ""
    for path, problem in _walk(start, set(), ordered=True):
        if problem and path == start:
            raise InputError(f"{start!r} is {problem}")
        if problem != REPEATED_FOLDER:
            yield path.removeprefix(own_prefix)


def walk_files(
    root: Path, seen: set[tuple[int, int]] | None = None, ordered: bool = False
) -> Iterator[tuple[Path, str]]:
    """Yield every file under a folder with "", and every folder that is not entered with the reason.

    Each folder is entered once, so links to folders end. Folders may be nested at any depth.

    Args:
        root: the folder.
        seen: identities of folders that are not entered; those that are entered are added.
        ordered: whether files and folders come in natural order.
    """
    for path, problem in _walk(os.fspath(root), set() if seen is None else seen, ordered):
        yield Path(path), problem


def _walk(root: str, seen: set[tuple[int, int]], ordered: bool) -> Iterator[tuple[str, str]]:
    """Yield what `walk_files` yields, with paths as text."""
    pending: list[Iterator[tuple[str, bool]]] = [iter([(root, True)])]
    while pending:
        path, is_folder = next(pending[-1], ("", False))
        if not path:
            pending.pop()
        elif not is_folder:
            yield path, ""
        else:
            try:
                identity = folder_identity(path)
                entries = iter(()) if identity in seen else _iter_entries(path, ordered)
            except OSError as error:  # no permission, a path that is too long, a disk that fails
                yield path, f"a folder that cannot be opened: {error.strerror}"
                continue
            if identity in seen:
                yield path, REPEATED_FOLDER
            elif is_packed(path):
                yield path, PACKED_FOLDER
                entries = iter(())
            seen.add(identity)
            pending.append(_iter_paths(path, entries))


def _iter_entries(folder: str, ordered: bool) -> Iterator[Entry]:
    """Return an iterator over the entries of a folder without litter; raises OSError at once if it cannot be opened."""
    if ordered:
        return sort_entries(folder, lambda name, is_folder: not is_litter(name, is_folder))
    return iter([(entry.name, is_dir(entry)) for entry in scan_entries(folder)])


def _iter_paths(folder: str, entries: Iterator[Entry]) -> Iterator[tuple[str, bool]]:
    """Yield the path of each entry, and whether it is a folder."""
    for name, is_folder in entries:
        yield os.path.join(folder, name), is_folder  # noqa: PTH118  # a Path would split it at every depth


def scan_entries(folder: str | Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder without litter; raises OSError if it cannot be opened."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not is_litter(entry.name, is_dir(entry))]


def is_file(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a regular file, or a link to one."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def folder_identity(folder: str | Path) -> tuple[int, int]:
    """Return what two paths to the same folder share; raises OSError if there is none."""
    status = os.stat(folder)  # noqa: PTH116  # takes text
    return status.st_dev, status.st_ino

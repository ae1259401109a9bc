"""What a source lists before any file is opened: its images with their labels and splits, and the files of folders."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.data.litter import is_litter
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


def natural_sort_key(name: str) -> list[Any]:
    """Return a key that sorts class_2 before class_10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [(part.lstrip("0"), part) for part in parts]  # compared by length first, so any length works
    key = [(1, len(n), n) if part.isdecimal() else (0, 0, part.casefold()) for n, part in numbers]
    return [*key, (-1, 0, name)]  # so that the order of Cat and cat, or of 1 and 01, is always the same


# Files of folders


def iter_files(root: Path) -> Iterator[Path]:
    """Yield all files under a folder in natural order; each folder once, no litter.

    A folder below it that cannot be opened is yielded in the place of its files. Raises InputError if `root` cannot.
    """
    for path, problem in walk_files(root, ordered=True):
        if problem and path == root:
            raise InputError(f"{str(root)!r} is {problem}")
        if problem != REPEATED_FOLDER:
            yield path


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
    seen = set() if seen is None else seen
    pending: list[Iterator[tuple[str, bool]]] = [iter([(os.fspath(root), True)])]
    while pending:
        path, is_folder = next(pending[-1], ("", False))
        if not path:
            pending.pop()
        elif not is_folder:
            yield Path(path), ""
        else:
            try:
                identity = folder_identity(path)
                entries = [] if identity in seen else scan_entries(path)
            except OSError as error:  # no permission, a path that is too long, a disk that fails
                yield Path(path), f"a folder that cannot be opened: {error.strerror}"
                continue
            if identity in seen:
                yield Path(path), REPEATED_FOLDER
            seen.add(identity)
            pending.append(_iter_paths(path, entries, ordered))


def _iter_paths(folder: str, entries: list["os.DirEntry[str]"], ordered: bool) -> Iterator[tuple[str, bool]]:
    """Yield the path of each entry, and whether it is a folder."""
    if ordered:
        entries.sort(key=lambda entry: natural_sort_key(entry.name))
    for entry in entries:
        yield os.path.join(folder, entry.name), is_dir(entry)  # noqa: PTH118  # a Path would split it at every depth


def scan_entries(folder: str | Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder without litter; raises OSError if it cannot be opened."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not is_litter(entry.name, is_dir(entry))]


def is_dir(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


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

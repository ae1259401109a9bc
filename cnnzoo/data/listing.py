"""List the images of folders, with their labels and splits, before any file is opened."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import printable_name

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # ignored, like all names that begin with a dot


@dataclass(frozen=True)
class ListedImage:
    """One image that a source names, and what the source says about it."""

    source: Any  # a path, or an object with `read() -> bytes`
    name: str  # for people, relative to the source
    label: str
    split: str = ""  # train, validation or test; empty if the source does not say
    group: str = ""  # images of one group stay in one split
    weight: float | None = None  # in the loss; None if the source gives none


LeftOut = list[tuple[str, str]]  # names and reasons of files that are not images of a class


class Listing(NamedTuple):
    """What a source holds: its images, the files that are left out, and how it was read."""

    images: list[ListedImage]
    left_out: LeftOut
    notes: tuple[str, ...] = ()  # sentences for people: which reading was taken, and what is not used


def natural_sort_key(name: str) -> list[Any]:
    """Return a key that sorts class_2 before class_10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [(part.lstrip("0"), part) for part in parts]  # compared by length first, so any length works
    return [(1, len(n), n) if part.isdecimal() else (0, 0, part.casefold()) for n, part in numbers]


# Folders


def list_folder(root: Path) -> Listing:
    """List a folder with one sub-folder per class, or with train, validation and test folders that contain these.

    Returns the images and what is left out; raises InputError if there are no classes.
    """
    folders = sorted(filter(_is_dir, _list_entries(root)), key=lambda entry: natural_sort_key(entry.name))
    split_folders = {e.name: SPLIT_NAMES[e.name.casefold()] for e in folders if e.name.casefold() in SPLIT_NAMES}
    # A lone folder "train" beside other classes is a class
    if split_folders and (len(split_folders) == len(folders) or {"train"} < set(split_folders.values())):
        images, left_out = list[ListedImage](), _find_stray_files(root, "outside train, validation and test")
        left_out += [
            (printable_name(entry.name), "a folder beside train, validation and test")
            for entry in folders
            if entry.name not in split_folders
        ]
        for name, split in split_folders.items():
            if list(split_folders.values()).count(split) > 1:
                raise InputError(f"{root} has two folders for the {split} split: {', '.join(split_folders)}")
            split_images, split_left_out, _ = _list_class_folders(root / name, root, split)
            images, left_out = images + split_images, left_out + split_left_out
    else:
        images, left_out, _ = _list_class_folders(root, root, "")
    if not images:
        hint = f"; {len(left_out)} files are outside such folders" if left_out else ""
        raise InputError(f"{str(root)!r} has no images in sub-folders named after their classes{hint}")
    return Listing(images, left_out)


def iter_files(root: Path) -> Iterator[Path]:
    """Yield all files under a folder in natural order; each folder once, no system files."""
    return (path for path in _walk_files(root, set(), ordered=True) if not path.is_dir())


def _list_class_folders(root: Path, base: Path, split: str) -> Listing:
    """List the sub-folders of `root` as classes; names are relative to `base`."""
    images, left_out = list[ListedImage](), _find_stray_files(root, "not in the folder of a class", base)
    for entry in sorted(filter(_is_dir, _list_entries(root)), key=lambda entry: natural_sort_key(entry.name)):
        seen = {_folder_identity(base), _folder_identity(root)}
        for path in sorted(_walk_files(Path(entry.path), seen), key=lambda path: natural_sort_key(str(path))):
            if path.is_dir():
                left_out.append((_relative_name(path, base), "a link to a folder that was listed already"))
            else:
                images.append(ListedImage(path, _relative_name(path, base), printable_name(entry.name), split))
    return Listing(images, left_out)


def _list_entries(root: Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, without hidden and system files."""
    try:
        with os.scandir(root) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in SYSTEM_FILES]
    except OSError as error:
        raise InputError(f"Cannot open the folder {str(root)!r}: {error.strerror}") from None


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _find_stray_files(root: Path, reason: str, base: Path | None = None) -> LeftOut:
    return [(_relative_name(Path(e.path), base or root), reason) for e in _list_entries(root) if not _is_dir(e)]


def _walk_files(root: Path, seen: set[tuple[int, int]], ordered: bool = False) -> Iterator[Path]:
    """Yield all files under a folder, entering each folder once, and the folders that are links to `seen` ones."""
    if _folder_identity(root) in seen:
        yield root
        return
    seen.add(_folder_identity(root))
    entries = _list_entries(root)
    for entry in sorted(entries, key=lambda entry: natural_sort_key(entry.name)) if ordered else entries:
        if _is_dir(entry):
            yield from _walk_files(Path(entry.path), seen, ordered)
        else:
            yield Path(entry.path)


def _folder_identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _relative_name(path: Path, base: Path) -> str:
    return printable_name(path.relative_to(base).as_posix())

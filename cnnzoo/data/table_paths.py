"""Find the image files that a table names, as other machines and tools write them."""

import ntpath
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import resolve_path, shorten
from cnnzoo.core.text import format_count, printable_name

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
    ".pnm", ".avif", ".jp2", ".ico", ".tga",
})
# fmt: on
MAX_SUBFOLDERS = 1_000  # beside a table that are searched for its images


class ImageFinder:
    """Finds the file of each path in a table.

    A path that exists is taken as it is. Otherwise it is read as a Windows path or URL-encoded, and completed by the
    suffix of an image. If most paths are not found so, they are searched in the folders beside the table, and without
    the leading folders of another machine.

    Args:
        folder: the folder of the table.
        image_dir: the folder of the images, if the user names it; then only this one is searched.
    """

    def __init__(self, folder: Path, image_dir: Path | None) -> None:
        self.folder, self.image_dir = folder, image_dir
        self.base = image_dir if image_dir is not None else folder
        self.readings: Counter[str] = Counter()  # how many paths needed which reading
        self.examples: dict[str, str] = {}
        self.missing: list[str] = []
        self._contents = cache(_list_contents)

    @cached_property
    def _home(self) -> tuple[str, ...]:
        """The folders that lead to the images' folder."""
        return resolve_path(self.base).parts

    def find_all(self, texts: Sequence[str], rows: Sequence[str]) -> list[Path]:
        """Return the file of each path; if there is none, the path as it was written.

        Paths are searched in other folders only if most are not where they say: of a few that are missing, a mask or a
        thumbnail of the same name would be taken. `rows` names the row of each path in messages. Raises InputError if
        several files fit.
        """
        files = [self._find(text, row, elsewhere=False) for text, row in zip(texts, rows, strict=True)]
        if 2 * files.count(None) >= len(files):
            files = [
                file or self._find(text, row, elsewhere=True)
                for file, text, row in zip(files, texts, rows, strict=True)
            ]
        self.missing = [text for file, text in zip(files, texts, strict=True) if file is None]
        return [self.base / text if file is None else file for file, text in zip(files, texts, strict=True)]

    def _find(self, text: str, row: str, *, elsewhere: bool) -> Path | None:
        """Return the file of a path, or None; `elsewhere` searches other folders too."""
        literal = self.base / text
        try:
            if literal.is_file():
                return literal
            for name, reading in _readings(text):
                match = self._search_elsewhere(name, row) if elsewhere else self._search(name, row)
                if match:
                    file, found_by = match
                    self._count(", ".join(filter(None, (reading, found_by))), text, file)
                    return file
        except InputError:
            raise
        except (OSError, ValueError):  # too long, or with a NUL
            pass
        return None

    def describe(self) -> list[str]:
        """Return a note for each reading of paths that was needed."""
        return [
            f"{format_count(count, 'path')}: {reading}, as in {self.examples[reading]}."
            for reading, count in self.readings.items()
        ]

    def explain_missing(self, rows: int) -> str:
        """Return what lies where the first missing image should be, and how to name another folder."""
        first = self.missing[0]
        parent = (self.base / first.replace("\\", "/")).parent
        while parent != parent.parent and not parent.is_dir():
            parent = parent.parent
        held = self._contents(parent)
        names = [*(f"{name}/" for name in sorted(held.folders)), *sorted(held.files)]
        listed = ", ".join(map(printable_name, names[:8])) + (", ..." if len(names) > 8 else "")
        beside = f"{str(parent)!r} holds {listed or 'nothing'}"
        kind = ""
        if re.match("[a-z]+://", first, re.I) and not first.casefold().startswith("file:"):
            kind = "; addresses are not downloaded"
        elif "\\" in first:
            kind = ", which was read as a Windows path too"
        count = format_count(rows, "row")
        return (
            f"no image of its {count} is found: there is no such file as {shorten(first)}{kind}, in "
            f"{str(self.base)!r} ({beside}). image_dir (--image-dir) names the folder of the images, path_column "
            "(--path-column) the column of their paths"
        )

    def _search(self, name: str, where: str) -> tuple[Path, str] | None:
        """Return the file where a name says, perhaps with a suffix, and the reading that it needed."""
        file = self._complete(self.base / name, where)
        return None if file is None else (file, "" if file == self.base / name else "the suffix was completed")

    def _search_elsewhere(self, name: str, where: str) -> tuple[Path, str] | None:
        """Return the file of a name in another folder, and the reading that it needed.

        The name is taken as it is, or without leading folders that name this folder, or one of another machine.
        """
        parts = PurePosixPath(name.lstrip("/")).parts
        foreign = name.startswith("/") or self.image_dir is not None or ".." in parts
        home = self._home
        for i in range(len(parts)):
            if ".." in parts[i:] or not (foreign or i == 0 or home[-i:] == parts[:i]):
                continue
            left_out = [f"{'/'.join(parts[:i])}/ is not here and was left out"] if i else []
            relative = PurePosixPath(*parts[i:])
            if (i or foreign) and (file := self._complete(self.base / relative, where)):
                return file, ", ".join(left_out or ["read as relative"])
            if self.image_dir is None and (file := self._find_beside(relative, where)):
                completed = [] if file.name == relative.name else ["the suffix was completed"]
                inside = file.relative_to(self.folder).parts[0]
                return file, ", ".join([*left_out, *completed, f"the images are in {inside}/"])
        if not foreign and self._complete(Path(name), where) == Path(name):
            return Path(name), "read as relative to the current folder"
        return None

    def _find_beside(self, relative: PurePosixPath, where: str) -> Path | None:
        """Return a file in one of the folders beside the table."""
        name = relative.name.casefold()
        if len(relative.parts) > 1:
            folders = self._folders_beside.get(relative.parts[0], [])
        else:
            folders = self._folders_beside.get(f"/{name}") or self._folders_beside.get(f"/{name}.*", [])
        files = [file for folder in folders if (file := self._complete(folder / relative, where))]
        if len(files) > 1:
            raise InputError(
                f"{where}: {str(relative)!r} can be {str(files[0])!r} or {str(files[1])!r}. image_dir (--image-dir) "
                "names the folder of the images"
            )
        return files[0] if files else None

    @cached_property
    def _folders_beside(self) -> dict[str, list[Path]]:
        """The folders beside the table that hold a folder of this name, or a file of this name after a slash."""
        folders: dict[str, list[Path]] = {}
        names = sorted(self._contents(self.folder).folders)
        for folder in (self.folder / name for name in names[:MAX_SUBFOLDERS] if not name.startswith(".")):
            contents = self._contents(folder)
            for name in (*contents.folders, *(f"/{key}" for key in contents.images)):
                folders.setdefault(name, []).append(folder)
        return folders

    def _complete(self, path: Path, where: str) -> Path | None:
        """Return an existing file: the path itself, or an image in another case or with a suffix."""
        contents, key = self._contents(path.parent), path.name.casefold()
        if path.name in contents.files:
            return path
        matches = contents.images.get(key) or []
        if not matches and path.suffix.casefold() not in IMAGE_SUFFIXES:
            matches = contents.images.get(f"{key}.*") or []
        if len(matches) > 1:
            exact = [name for name in matches if Path(name).stem == path.name]
            if len(exact) != 1:
                raise InputError(
                    f"{where}: {path.name!r} can be {matches[0]!r} or {matches[1]!r}; write the suffix into the table"
                )
            matches = exact
        return path.with_name(matches[0]) if matches else None

    def _count(self, reading: str, text: str, file: Path) -> None:
        if reading:
            self.readings[reading] += 1
            self.examples.setdefault(reading, f"{text!r} for {printable_name(str(file))!r}")


def _readings(text: str) -> list[tuple[str, str]]:
    """Return what a path may mean, with the name of each reading."""
    readings = [(text, "")]
    if text.strip() != text:
        readings.append((text.strip(), "spaces around them were left out"))
    if "\\" in text:
        readings.append((text.replace("\\", "/"), "read as Windows paths"))
    for name, reading in readings[:]:
        if name.casefold().startswith("file:"):
            name, reading = "/" + name[5:].lstrip("/").removeprefix("localhost/"), "read as file: addresses"
        if "%" in name or reading.startswith("read as file"):
            readings.append((unquote(name), reading or "read as URL-encoded"))
    # The root of a Windows drive is an absolute path
    return [("/" + name[2:].lstrip("/") if ntpath.splitdrive(name)[0][1:] == ":" else name, r) for name, r in readings]


class Contents(NamedTuple):
    """What a folder holds: names of files and folders, and its images by name in lower case and by stem with .*"""

    files: frozenset[str]
    folders: frozenset[str]
    images: dict[str, list[str]]


def _list_contents(folder: Path) -> Contents:
    """Return what a folder holds; nothing if it cannot be opened."""
    files, folders, images = list[str](), list[str](), dict[str, list[str]]()
    with suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir() else files).append(entry.name)
    for name in sorted(files):
        suffix = Path(name).suffix.casefold()
        if suffix in IMAGE_SUFFIXES and not name.startswith("."):
            images.setdefault(name.casefold(), []).append(name)
            images.setdefault(name.casefold().removesuffix(suffix) + ".*", []).append(name)
    return Contents(frozenset(files), frozenset(folders), images)

"""Find the image files that a table names, as other machines and tools write them."""

import ntpath
import os
from collections import Counter
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import resolve_path
from cnnzoo.core.text import printable_name

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".bmp",
        ".dib",
        ".webp",
        ".tif",
        ".tiff",
        ".pgm",
        ".ppm",
        ".pbm",
        ".pnm",
        ".avif",
        ".jp2",
        ".ico",
        ".tga",
    ]
)
MAX_SUBFOLDERS = 50  # beside a table that are searched for its images


class ImageFinder:
    """Finds the file of each path in a table.

    A path that exists is taken as it is. Otherwise it is read as a Windows path or URL-encoded, completed by the suffix
    of an image, searched in a folder beside the table, and freed of leading folders of another machine, in this order.

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
        self._files = cache(_list_images)
        self._subfolders = cache(lambda: _list_subfolders(folder))

    @cached_property
    def _home(self) -> tuple[str, ...]:
        """The folders that lead to the images' folder."""
        return resolve_path(self.base).parts

    def find(self, text: str, where: str) -> Path:
        """Return the file of a path; if there is none, the path as it was written.

        Raises InputError if several files fit. `where` names the row for it.
        """
        literal = self.base / text
        try:
            if literal.is_file():
                return literal
            for name, reading in _readings(text):
                if match := self._search(name, where):
                    file, found_by = match
                    self._count(", ".join(filter(None, (reading, found_by))), text, file)
                    return file
        except InputError:
            raise
        except (OSError, ValueError):  # too long, or with a NUL
            pass
        self.missing.append(text)
        return literal

    def describe(self) -> list[str]:
        """Return a note for each reading of paths that was needed."""
        return [
            f"{count:,} paths: {reading}, as in {self.examples[reading]}." for reading, count in self.readings.items()
        ]

    def explain_missing(self, rows: int) -> str:
        """Return what lies where the first missing image should be, and how to name another folder."""
        first = self.missing[0]
        parent = (self.base / first.replace("\\", "/")).parent
        while parent != parent.parent and not parent.is_dir():
            parent = parent.parent
        names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(parent))[:8] if parent.is_dir() else []
        beside = f"{str(parent)!r} holds {', '.join(map(printable_name, names)) or 'nothing'}"
        return (
            f"no image of its {rows:,} rows is found: there is no such file as {first!r} in {str(self.base)!r} "
            f"({beside}). image_dir (--image-dir) names the folder of the images, path_column (--path-column) the "
            "column of their paths"
        )

    def _search(self, name: str, where: str) -> tuple[Path, str] | None:
        """Return the file of a name, and the reading that it needed."""
        # Where the name says, with the suffix completed
        if file := self._complete(self.base / name, where):
            return file, "" if file == self.base / name else "the suffix was completed"

        # In another folder: as it is, or without the leading folders that name this one or one of another machine
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
        files = [file for folder in self._subfolders() if (file := self._complete(folder / relative, where))]
        if len(files) > 1:
            raise InputError(
                f"{where}: {str(relative)!r} can be {str(files[0])!r} or {str(files[1])!r}. image_dir (--image-dir) "
                "names the folder of the images"
            )
        return files[0] if files else None

    def _complete(self, path: Path, where: str) -> Path | None:
        """Return an existing image file: the path itself, in another case, or with the suffix of an image."""
        if path.is_file():
            return path
        files = self._files(path.parent)
        matches = files.get(path.name.casefold()) or []
        if not matches and path.suffix.casefold() not in IMAGE_SUFFIXES:
            matches = files.get(path.name.casefold() + ".*") or []
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


def _list_images(folder: Path) -> dict[str, list[str]]:
    """Return the image files of a folder, by their names in lower case, and by their stems followed by .*"""
    files: dict[str, list[str]] = {}
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except (OSError, ValueError):
        return files
    for name in names:
        if (suffix := Path(name).suffix.casefold()) in IMAGE_SUFFIXES:
            files.setdefault(name.casefold(), []).append(name)
            files.setdefault(name.casefold().removesuffix(suffix) + ".*", []).append(name)
    return files


def _list_subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones; none if there are too many to search."""
    try:
        names = sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []
    return [folder / name for name in names] if len(names) <= MAX_SUBFOLDERS else []

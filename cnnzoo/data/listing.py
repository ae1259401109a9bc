"""List the images of folders and tables, with their labels and splits, before any file is opened."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "partition", "set")
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # ignored, like all names that begin with a dot


@dataclass(frozen=True)
class ListedImage:
    """One image that a source names, and what the source says about it."""

    source: Any  # a path, or an object with `read() -> bytes`
    name: str  # for people, relative to the source
    label: str
    split: str = ""  # train, validation or test; empty if the source does not say
    group: str = ""  # images of one group stay in one split


LeftOut = list[tuple[str, str]]  # names and reasons of files that are not images of a class
Listing = tuple[list[ListedImage], LeftOut]


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
            split_images, split_left_out = _list_class_folders(root / name, root, split)
            images, left_out = images + split_images, left_out + split_left_out
    else:
        images, left_out = _list_class_folders(root, root, "")
    if not images:
        hint = f"; {len(left_out)} files are outside such folders" if left_out else ""
        raise InputError(f"{str(root)!r} has no images in sub-folders named after their classes{hint}")
    return images, left_out


def iter_files(root: Path) -> Iterator[Path]:
    """Yield all files under a folder in natural order; each folder once, no system files."""
    return (path for path in _walk_files(root, set(), ordered=True) if not path.is_dir())


def printable_name(name: str) -> str:
    """Return a file name as text that can be written: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


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
    return images, left_out


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


# Tables


def list_table(file: Path, label_column: str | None, group_column: str | None) -> list[ListedImage]:
    """List the images of a CSV or Parquet file, with paths relative to it.

    Raises InputError that names the column or the line.
    """
    rows, columns = _read_parquet(file) if file.suffix.casefold() == ".parquet" else _read_csv(file)
    path_column = _find_column(file, columns, None, PATH_COLUMNS, "path")
    label_column = _find_column(file, columns, label_column, LABEL_COLUMNS, "label")
    split_column = next((name for name in columns if name.casefold() in SPLIT_COLUMNS), "")
    if group_column is not None and group_column not in columns:
        raise unknown_name(f"column of {file.name}", group_column, columns)
    images: list[ListedImage] = []
    line_of: dict[Path, int] = {}
    for line, row in rows:
        where = f"{file.name}, line {line}"
        name, split = row[path_column], (row[split_column] if split_column else "").casefold()
        if not name or not row[label_column]:
            raise InputError(f"{where} has no {label_column if name else path_column}")
        if split and split not in SPLIT_NAMES:
            raise InputError(
                f"{where}: the split must be one of {', '.join(SPLIT_NAMES)}. Received: {row[split_column]!r}"
            )
        if split_column and not split:
            raise InputError(f"{where} has no {split_column}; either all lines have one or none")
        source = file.parent / name
        if source in line_of:
            raise InputError(f"{where} repeats {name!r} of line {line_of[source]}")
        line_of[source] = line
        group = row[group_column] if group_column else ""
        images.append(ListedImage(source, name, row[label_column], SPLIT_NAMES.get(split, ""), group))
    if not images:
        raise InputError(f"{str(file)!r} has no rows")
    return images


TableRows = tuple[list[tuple[int, dict[str, str]]], list[str]]  # (line, values by column) of each row; the columns


def _read_csv(file: Path) -> TableRows:
    """Read a text table; the separator is the most frequent of , ; tab and | in the first line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {str(file)!r} as a table in UTF-8: {error}") from None
    head = text.partition("\n")[0]
    separator = max(",;\t|", key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        rows = []
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise InputError(
                    f"{file.name}, line {reader.line_num} has {len(values)} values for {len(columns)} columns, which "
                    f"the first line separates by {separator!r}"
                )
            rows.append((reader.line_num, dict(zip(columns, map(str.strip, values), strict=True))))
    except csv.Error as error:
        raise InputError(f"Cannot read {str(file)!r} as a table: line {reader.line_num}: {error}") from None
    return rows, columns


def _read_parquet(file: Path) -> TableRows:
    """Read the text and integer columns of a Parquet file; others may be large and are not needed."""
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError:
        raise ImportError("Parquet files are read with pyarrow: pip install 'cnnzoo[parquet]'") from None
    plain_types = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean)
    try:
        schema = parquet.read_schema(file)
        columns = [field.name for field in schema if any(is_type(field.type) for is_type in plain_types)]
        values = parquet.read_table(file, columns=columns).to_pydict()
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"Cannot read {str(file)!r} as Parquet: {str(error)[:300]}") from None
    lines = zip(*values.values(), strict=True)
    rows = ({k: "" if v is None else str(v) for k, v in zip(columns, line, strict=True)} for line in lines)
    return [(i + 1, row) for i, row in enumerate(rows)], columns


def _find_column(file: Path, columns: Sequence[str], requested: str | None, known: Sequence[str], what: str) -> str:
    """Return the requested column, or the only one with a known name."""
    if requested is not None:
        if requested not in columns:
            raise unknown_name(f"column of {file.name}", requested, columns)
        return requested
    matches = [name for name in columns if name.casefold() in known]
    if len(matches) != 1:
        problem = f"several columns for the {what}: {', '.join(matches)}" if matches else f"no column for the {what}"
        raise InputError(
            f"{file.name} has {problem}. Allowed names: {', '.join(known)}. "
            f"Received: {', '.join(columns) or 'nothing'}"
            + ("; label_column (--label-column) names another" if what == "label" else "")
        )
    return matches[0]

"""Which images there are and what they are called: folders and tables, before any is opened."""

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
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # and all that begins with a dot: systems leave it in folders


@dataclass(frozen=True)
class ListedImage:
    """An image that is named, and what is said of it."""

    source: Any  # a path, or a record with `read()`
    name: str  # for people, relative to the source
    label: str
    split: str = ""  # train, validation, test or none
    group: str = ""  # of images that stay together


def natural_sort_key(name: str) -> list[Any]:
    """A key that sorts class_2 before class_10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [(part.lstrip("0"), part) for part in parts]  # shorter ones are smaller, however long they get
    return [(1, len(n), n) if part.isdecimal() else (0, 0, part.casefold()) for n, part in numbers]


def list_folder(root: Path) -> tuple[list[ListedImage], list[tuple[str, str]]]:
    """The images of a folder with a sub-folder a class, or with train, validation and test folders of such.

    Also what is left out, each with its reason. Raises InputError where there are no classes.
    """
    there = sorted(filter(_is_dir, _list_entries(root)), key=lambda e: natural_sort_key(e.name))
    parts = {e.name: SPLIT_NAMES[e.name.casefold()] for e in there if e.name.casefold() in SPLIT_NAMES}
    if parts and (len(parts) == len(there) or {"train"} < set(parts.values())):
        items, out = list[ListedImage](), _find_stray_files(root, "outside train, validation and test")
        out += [
            (printable_name(e.name), "a folder beside train, validation and test") for e in there if e.name not in parts
        ]
        for name, split in parts.items():
            if list(parts.values()).count(split) > 1:
                raise InputError(f"{root} has two folders for the {split} split: {', '.join(parts)}")
            inside, left = _list_class_folders(root / name, root, split)
            items, out = items + inside, out + left
    else:
        items, out = _list_class_folders(root, root, "")
    if not items:
        what = f"; {len(out)} files lie in it outside such" if out else ""
        raise InputError(f"{str(root)!r} has no images in sub-folders named by their classes{what}")
    return items, out


def _list_class_folders(root: Path, base: Path, split: str) -> tuple[list[ListedImage], list[tuple[str, str]]]:
    items, out = list[ListedImage](), _find_stray_files(root, "in no class's folder", base)
    for entry in sorted(filter(_is_dir, _list_entries(root)), key=lambda e: natural_sort_key(e.name)):
        seen = {_folder_identity(base), _folder_identity(root)}
        for path in sorted(_walk_files(Path(entry.path), seen), key=lambda path: natural_sort_key(str(path))):
            if path.is_dir():
                out.append((_relative_name(path, base), "a link to a folder that was looked into already"))
            else:
                items.append(ListedImage(path, _relative_name(path, base), printable_name(entry.name), split))
    return items, out


def _list_entries(root: Path) -> list[Any]:
    """What lies in a folder, but for litter."""
    try:
        with os.scandir(root) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in SYSTEM_FILES]
    except OSError as error:
        raise InputError(f"Cannot look into {str(root)!r}: {error.strerror}") from None


def _is_dir(entry: Any) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _find_stray_files(root: Path, why: str, base: Path | None = None) -> list[tuple[str, str]]:
    return [(_relative_name(Path(e.path), base or root), why) for e in _list_entries(root) if not _is_dir(e)]


def iter_files(root: Path) -> Iterator[Path]:
    """All files under a folder, each folder once, in the order of their names; no litter."""
    return (path for path in _walk_files(root, set(), ordered=True) if not path.is_dir())


def _walk_files(root: Path, seen: set[tuple[int, int]], ordered: bool = False) -> Iterator[Path]:
    """All files under a folder, each folder once, and the folders that are links to those in `seen`."""
    if _folder_identity(root) in seen:
        yield root
        return
    seen.add(_folder_identity(root))
    entries = _list_entries(root)
    for entry in sorted(entries, key=lambda e: natural_sort_key(e.name)) if ordered else entries:
        if _is_dir(entry):
            yield from _walk_files(Path(entry.path), seen, ordered)
        else:
            yield Path(entry.path)


def _folder_identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def _relative_name(path: Path, base: Path) -> str:
    return printable_name(path.relative_to(base).as_posix())


def printable_name(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def list_table(file: Path, label: str | None, group: str | None) -> list[ListedImage]:
    """The images of a CSV or Parquet file; paths are relative to it.

    Raises InputError that names the column or the row.
    """
    rows, columns = _read_parquet(file) if file.suffix.casefold() == ".parquet" else _read_csv(file)
    path = _find_column(file, columns, None, PATH_COLUMNS, "path")
    target = _find_column(file, columns, label, LABEL_COLUMNS, "label")
    split = next((name for name in columns if name.casefold() in SPLIT_COLUMNS), "")
    if group is not None and group not in columns:
        raise unknown_name(f"column of {file.name}", group, columns)
    items: list[ListedImage] = []
    seen: dict[Path, int] = {}
    for line, row in rows:
        where = f"{file.name}, line {line}"
        name, told = row[path], (row[split] if split else "").casefold()
        if not name or not row[target]:
            raise InputError(f"{where} has no {path if not name else target}")
        if told and told not in SPLIT_NAMES:
            raise InputError(f"{where}: the split is one of {', '.join(SPLIT_NAMES)}. Received: {row[split]!r}")
        if split and not told:
            raise InputError(f"{where} has no {split}, which other lines have")
        source = file.parent / name
        if source in seen:
            raise InputError(f"{where} names {name!r}, as line {seen[source]} does")
        seen[source] = line
        items.append(ListedImage(source, name, row[target], SPLIT_NAMES.get(told, ""), row[group] if group else ""))
    if not items:
        raise InputError(f"{str(file)!r} has no rows")
    return items


TableRows = tuple[list[tuple[int, dict[str, str]]], list[str]]


def _read_csv(file: Path) -> TableRows:
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
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ImportError("Parquet files are read with pyarrow: pip install 'cnnzoo[parquet]'") from None
    try:
        schema = parquet.read_schema(file)
        plain = [f.name for f in schema if any(kind(f.type) for kind in _plain_type_checks())]
        content = parquet.read_table(file, columns=plain).to_pydict()
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"Cannot read {str(file)!r} as Parquet: {str(error)[:300]}") from None
    lines = zip(*content.values(), strict=True)
    texts = ({k: "" if v is None else str(v) for k, v in zip(plain, line, strict=True)} for line in lines)
    return [(i + 1, row) for i, row in enumerate(texts)], plain


def _plain_type_checks() -> list[Any]:
    """Tests for the types of columns that paths and labels can be: text and whole numbers."""
    from pyarrow import types

    return [types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean]


def _find_column(file: Path, columns: Sequence[str], asked: str | None, known: Sequence[str], what: str) -> str:
    """The name of a column: as asked for, or the one that is called so."""
    if asked is not None:
        if asked not in columns:
            raise unknown_name(f"column of {file.name}", asked, columns)
        return asked
    found = [name for name in columns if name.casefold() in known]
    if len(found) != 1:
        one = f"several columns for the {what}: {', '.join(found)}" if found else f"no column for the {what}"
        raise InputError(
            f"{file.name} has {one}. Allowed names: {', '.join(known)}. Received: {', '.join(columns) or 'nothing'}"
            + ("; label_column (--label-column) names another" if what == "label" else "")
        )
    return found[0]

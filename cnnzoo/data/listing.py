"""Which images there are and what they are called: folders and tables, before any is opened."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError, unknown

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABELS = ("label", "class", "category", "target")
PARTS = ("split", "subset", "partition", "set")
LITTER = {"thumbs.db", "desktop.ini"}  # and all that begins with a dot: systems leave it in folders


@dataclass(frozen=True)
class Item:
    """An image that is named, and what is said of it."""

    source: Any  # a path, or a record with `read()`
    name: str  # for people, relative to the source
    label: str
    split: str = ""  # train, validation, test or none
    group: str = ""  # of images that stay together


def natural(name: str) -> list[Any]:
    """A key that sorts class_2 before class_10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [(part.lstrip("0"), part) for part in parts]  # shorter ones are smaller, however long they get
    return [(1, len(n), n) if part.isdecimal() else (0, 0, part.casefold()) for n, part in numbers]


def folder(root: Path) -> tuple[list[Item], list[tuple[str, str]]]:
    """The images of a folder with a sub-folder a class, or with train, validation and test folders of such.

    Also what is left out, each with its reason. Raises InputError where there are no classes.
    """
    there = sorted(filter(_is_dir, _entries(root)), key=lambda e: natural(e.name))
    parts = {e.name: SPLITS[e.name.casefold()] for e in there if e.name.casefold() in SPLITS}
    if parts and (len(parts) == len(there) or {"train"} < set(parts.values())):
        items, out = list[Item](), _strays(root, "outside train, validation and test")
        out += [(text(e.name), "a folder beside train, validation and test") for e in there if e.name not in parts]
        for name, split in parts.items():
            if list(parts.values()).count(split) > 1:
                raise InputError(f"{root} has two folders for the {split} split: {', '.join(parts)}")
            inside, left = _classes(root / name, root, split)
            items, out = items + inside, out + left
    else:
        items, out = _classes(root, root, "")
    if not items:
        what = f"; {len(out)} files lie in it outside such" if out else ""
        raise InputError(f"{str(root)!r} has no images in sub-folders named by their classes{what}")
    return items, out


def _classes(root: Path, base: Path, split: str) -> tuple[list[Item], list[tuple[str, str]]]:
    items, out = list[Item](), _strays(root, "in no class's folder", base)
    for entry in sorted(filter(_is_dir, _entries(root)), key=lambda e: natural(e.name)):
        seen = {_identity(base), _identity(root)}
        for path in sorted(_files(Path(entry.path), seen), key=lambda path: natural(str(path))):
            if path.is_dir():
                out.append((_name(path, base), "a link to a folder that was looked into already"))
            else:
                items.append(Item(path, _name(path, base), text(entry.name), split))
    return items, out


def _entries(root: Path) -> list[Any]:
    """What lies in a folder, but for litter."""
    try:
        with os.scandir(root) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in LITTER]
    except OSError as error:
        raise InputError(f"Cannot look into {str(root)!r}: {error.strerror}") from None


def _is_dir(entry: Any) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _strays(root: Path, why: str, base: Path | None = None) -> list[tuple[str, str]]:
    return [(_name(Path(e.path), base or root), why) for e in _entries(root) if not _is_dir(e)]


def files(root: Path) -> Iterator[Path]:
    """All files under a folder, each folder once, in the order of their names; no litter."""
    return (path for path in _files(root, set(), ordered=True) if not path.is_dir())


def _files(root: Path, seen: set[tuple[int, int]], ordered: bool = False) -> Iterator[Path]:
    """All files under a folder, each folder once, and the folders that are links to those in `seen`."""
    if _identity(root) in seen:
        yield root
        return
    seen.add(_identity(root))
    entries = _entries(root)
    for entry in sorted(entries, key=lambda e: natural(e.name)) if ordered else entries:
        if _is_dir(entry):
            yield from _files(Path(entry.path), seen, ordered)
        else:
            yield Path(entry.path)


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def _name(path: Path, base: Path) -> str:
    return text(path.relative_to(base).as_posix())


def text(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def table(file: Path, label: str | None, group: str | None) -> list[Item]:
    """The images of a CSV or Parquet file; paths are relative to it.

    Raises InputError that names the column or the row.
    """
    rows, columns = _parquet(file) if file.suffix.casefold() == ".parquet" else _csv(file)
    path = _column(file, columns, None, PATHS, "path")
    target = _column(file, columns, label, LABELS, "label")
    split = next((name for name in columns if name.casefold() in PARTS), "")
    if group is not None and group not in columns:
        raise unknown(f"column of {file.name}", group, columns)
    items: list[Item] = []
    seen: dict[Path, int] = {}
    for line, row in rows:
        where = f"{file.name}, line {line}"
        name, told = row[path], (row[split] if split else "").casefold()
        if not name or not row[target]:
            raise InputError(f"{where} has no {path if not name else target}")
        if told and told not in SPLITS:
            raise InputError(f"{where}: the split is one of {', '.join(SPLITS)}. Received: {row[split]!r}")
        if split and not told:
            raise InputError(f"{where} has no {split}, which other lines have")
        source = file.parent / name
        if source in seen:
            raise InputError(f"{where} names {name!r}, as line {seen[source]} does")
        seen[source] = line
        items.append(Item(source, name, row[target], SPLITS.get(told, ""), row[group] if group else ""))
    if not items:
        raise InputError(f"{str(file)!r} has no rows")
    return items


Rows = tuple[list[tuple[int, dict[str, str]]], list[str]]


def _csv(file: Path) -> Rows:
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


def _parquet(file: Path) -> Rows:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ImportError("Parquet files are read with pyarrow: pip install 'cnnzoo[parquet]'") from None
    try:
        schema = parquet.read_schema(file)
        plain = [f.name for f in schema if any(kind(f.type) for kind in _plain())]
        content = parquet.read_table(file, columns=plain).to_pydict()
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"Cannot read {str(file)!r} as Parquet: {str(error)[:300]}") from None
    lines = zip(*content.values(), strict=True)
    texts = ({k: "" if v is None else str(v) for k, v in zip(plain, line, strict=True)} for line in lines)
    return [(i + 1, row) for i, row in enumerate(texts)], plain


def _plain() -> list[Any]:
    """Tests for the types of columns that paths and labels can be: text and whole numbers."""
    from pyarrow import types

    return [types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean]


def _column(file: Path, columns: Sequence[str], asked: str | None, known: Sequence[str], what: str) -> str:
    """The name of a column: as asked for, or the one that is called so."""
    if asked is not None:
        if asked not in columns:
            raise unknown(f"column of {file.name}", asked, columns)
        return asked
    found = [name for name in columns if name.casefold() in known]
    if len(found) != 1:
        one = f"several columns for the {what}: {', '.join(found)}" if found else f"no column for the {what}"
        raise InputError(
            f"{file.name} has {one}. Allowed names: {', '.join(known)}. Received: {', '.join(columns) or 'nothing'}"
            + ("; label_column (--label-column) names another" if what == "label" else "")
        )
    return found[0]

"""Tables inside a folder of images, as Hugging Face's image folders have them: metadata.jsonl beside the images."""

import os
from dataclasses import replace
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import printable_name
from cnnzoo.data.listing import LeftOutFile, Listing, iter_files
from cnnzoo.data.split_names import SPLIT_NAMES
from cnnzoo.data.table_files import read_table_file
from cnnzoo.data.table_paths import IMAGE_SUFFIXES
from cnnzoo.data.tables import TableOptions, list_table

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def find_metadata(folder: Path, asked: bool = False) -> list[Path]:
    """Return the tables in a folder of images, or in its folders train, validation and test.

    Folders of classes beside a table are read as such, unless columns of the table are `asked` for.
    """
    if table := _find_table(folder, asked):
        return [table]
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []
    tables = [_find_table(folder / name, asked) for name in names if name.casefold() in SPLIT_NAMES]
    return [table for table in tables if table]


def list_metadata(root: Path, files: list[Path], options: TableOptions) -> Listing:
    """List the images that the tables name; the other files below `root` are left out."""
    images, notes, split_of = [], list[str](), dict[str, Path]()
    for file in files:
        inside = file.parent != root
        split = SPLIT_NAMES[file.parent.name.casefold()] if inside else ""
        if split_of.setdefault(split, file) != file:
            raise InputError(f"{str(root)!r} has two tables for the split {split}: {split_of[split]} and {file}")
        listing = list_table(read_table_file(file), options, split)
        prefix = f"{printable_name(file.parent.name)}/" if inside else ""
        images += [replace(image, name=prefix + image.name) for image in listing.images]
        notes += [prefix + note for note in listing.notes]
    used = {os.path.normpath(path) for path in (*files, *(image.source for image in images))}
    names = " or ".join(dict.fromkeys(file.name for file in files))
    left_out = [
        LeftOutFile(printable_name(path.relative_to(root).as_posix()), f"not in {names}", path)
        for path in iter_files(root)
        if os.path.normpath(path) not in used
    ]
    return Listing(images, left_out, tuple(notes), has_written_labels=True)


def _find_table(folder: Path, asked: bool) -> Path | None:
    table = next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)
    return table if table and (asked or not _holds_classes(folder)) else None


def _holds_classes(folder: Path) -> bool:
    """Return whether a folder has folders of classes, and no images beside them."""
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    folders = [e for e in entries if e.is_dir() and e.name.casefold() not in SPLIT_NAMES]
    has_images = any(Path(entry.name).suffix.casefold() in IMAGE_SUFFIXES for entry in entries)
    return len(folders) > 1 and not has_images

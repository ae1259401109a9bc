"""List the images of a table, with their labels and splits, before any image is opened."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path
from cnnzoo.core.text import choose_form, format_count, printable_name
from cnnzoo.data.labels import UnusableCellError, cell_to_text, read_labels
from cnnzoo.data.listing import ListedImage, Listing
from cnnzoo.data.table_columns import (
    PATH_COLUMNS,
    check_column,
    describe_columns,
    describe_merged_splits,
    find_column,
    find_label_columns,
    find_splits,
    is_one,
    join_names,
    read_texts,
)
from cnnzoo.data.table_files import Table
from cnnzoo.data.table_paths import IMAGE_SUFFIXES, ImageFinder


@dataclass(frozen=True)
class TableOptions:
    """The columns and the folder that the user names; see `load_data`."""

    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    image_dir: str | os.PathLike[str] | None = None

    def named(self) -> list[str]:
        """Return the names of the options that are set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


NO_OPTIONS = TableOptions()


def list_tables(tables: Mapping[str, Table], options: TableOptions = NO_OPTIONS) -> Listing:
    """List the images of several tables by split, or of one with the key ''."""
    listings = [list_table(table, options, split) for split, table in tables.items()]
    images = [image for listing in listings for image in listing.images]
    notes = dict.fromkeys(note for listing in listings for note in listing.notes)
    names = " and ".join(dict.fromkeys(table.name for table in tables.values()))
    return Listing(images, [], (*notes, *_describe_unlisted_files(names, images)), has_written_labels=True)


def list_table(table: Table, options: TableOptions = NO_OPTIONS, given_split: str = "") -> Listing:
    """List the images of a table, all of `given_split` if it is one.

    Raises InputError that names the column or the row.
    """
    if not table.rows and table.columns:
        raise InputError(f"{table.name!r} has no rows")
    notes = list[str]()

    # Find the columns
    path_column = find_column(table, options.path_column, PATH_COLUMNS, "path")
    label_columns = find_label_columns(table, options.label_column, path_column)
    used = {path_column, *label_columns}
    group_column = options.group_column
    if group_column is not None:
        check_column(table, group_column)
        used.add(group_column)
    split_column, splits, split_note = "", [given_split] * len(table.rows), f"all images are for {given_split}"
    if not given_split:
        split_column, splits, split_note = find_splits(table, options.split_column, used)
    used |= {split_column} if split_column else set()

    # Read the values
    paths = read_texts(table, path_column, "paths must be text or numbers of files")
    labels = _read_label_columns(table, label_columns, notes)
    groups = _read_group(table, group_column) if group_column is not None else [""] * len(table.rows)
    notes.insert(0, describe_columns(table, path_column, label_columns, split_column, group_column, split_note))
    if split_column:
        notes += describe_merged_splits(read_texts(table, split_column, ""), splits)

    # Find the files
    image_dir = None if options.image_dir is None else _check_image_dir(options.image_dir)
    finder = ImageFinder(table.folder, image_dir)
    first_of, repeated = dict[str, tuple[str, ListedImage]](), list[str]()
    rows = [f"{table.name}, {row}" for row in table.rows]
    for where, name, label in zip(rows, paths, labels, strict=True):
        if not name or not label:
            raise InputError(f"{where} has no {join_names(label_columns, 3) if name else path_column}")
    sources = finder.find_all(paths, rows)
    for i, (where, source, name) in enumerate(zip(rows, sources, paths, strict=True)):
        row, label, split, group = table.rows[i], labels[i], splits[i], groups[i]
        image = ListedImage(source, _name_image(name, source, table.folder), label, split, group)
        at, first = first_of.setdefault(os.path.normpath(source), (row, image))
        if first is not image:
            if (label, split, group) != (first.label, first.split, first.group):
                differs = "label" if label != first.label else "split" if split != first.split else "group"
                raise InputError(
                    f"{where} repeats {name!r} of {at} with another {differs}. An image can have one class and one "
                    "split only; keep one of the rows"
                )
            repeated.append(f"{row} ({at})")
    images = [image for _, image in first_of.values()]

    # Say what was read in another way
    if len(finder.missing) == len(table.rows):
        raise InputError(f"{table.name}: {finder.explain_missing(len(table.rows))}")
    if repeated:
        listed = join_names(repeated)
        one = len(repeated) == 1
        repeat = "repeats an earlier one and counts once" if one else "repeat earlier ones and count once"
        notes.append(f"{format_count(len(repeated), 'row')} of {table.name} {repeat}: {listed}.")
    return Listing(images, [], (*notes, *finder.describe()), has_written_labels=True)


def _describe_unlisted_files(name: str, images: Sequence[ListedImage]) -> list[str]:
    """Return a note on image files beside the listed ones that the table called `name` does not list."""
    listed = {os.path.normpath(image.source) for image in images}
    folders = sorted({Path(path).parent for path in listed})
    unlisted = list[str]()
    for folder in folders:
        with suppress(OSError, ValueError), os.scandir(folder) as entries:
            unlisted += sorted(
                entry.name
                for entry in entries
                if Path(entry.name).suffix.casefold() in IMAGE_SUFFIXES
                and not entry.name.startswith(".")
                and str(folder / entry.name) not in listed
            )
    if not unlisted:
        return []
    names = join_names([printable_name(file) for file in unlisted])
    are = choose_form(len(unlisted), "is", "are")
    files = format_count(len(unlisted), "image file")
    return [f"{files} beside those of {name} {are} not in it and {are} not used: {names}."]


def _name_image(name: str, source: Path, folder: Path) -> str:
    """Return the name of an image as the table has it, or that of its file if that is another one."""
    if source == folder / name or source.name == Path(name).name:
        return name
    return source.relative_to(folder).as_posix() if source.is_relative_to(folder) else str(source)


def _check_image_dir(image_dir: str | os.PathLike[str]) -> Path:
    path = check_path(image_dir, "image_dir")
    if not path.is_dir():
        raise InputError(f"image_dir must be the folder of the table's images. Received: {str(image_dir)!r}")
    return path


# Values


def _read_group(table: Table, column: str) -> list[str]:
    """Return the values of a column that groups images; whatever can be compared will do."""
    groups = list[str]()
    for value in table.read(column):
        try:
            groups.append(cell_to_text(value).strip())
        except UnusableCellError:
            groups.append(str(value))
    return groups


def _read_label_columns(table: Table, columns: Sequence[str], notes: list[str]) -> list[str]:
    """Return the label of each row."""
    if len(columns) > 1:
        return _read_one_hot_columns(table, columns, notes)
    values = table.read(columns[0])
    if any(hasattr(value, "__len__") and not isinstance(value, str | bytes) for value in values):  # lists
        try:
            return read_labels(values)
        except InputError as error:
            raise InputError(
                f"{table.name}: the column {columns[0]!r} ({table.type_of(columns[0])}): {error}"
            ) from None
    rule = "labels must be text, whole numbers or booleans; convert it with astype(str) if its values are classes"
    labels = [text.strip() for text in read_texts(table, columns[0], rule)]
    if table.untyped and all(re.fullmatch(r"[+-]?[0-9]+(\.0*)?", label) for label in labels if label):
        whole = [label.partition(".")[0] for label in labels]
        if whole != labels:  # numbers of a spreadsheet, or of pandas after a missing value
            example = next(label for label in labels if "." in label)
            notes.append(f"Labels such as {example!r} are read as whole numbers.")
        labels = whole
    return labels


def _read_one_hot_columns(table: Table, columns: Sequence[str], notes: list[str]) -> list[str]:
    """Return the name of the column with a 1 in each row."""
    labels = list[str]()
    for row, values in zip(
        table.rows, zip(*(map(is_one, table.read(column)) for column in columns), strict=True), strict=True
    ):
        names = [column for column, one in zip(columns, values, strict=True) if one]
        if len(names) != 1:
            what = f"several labels: {', '.join(names[:4])}" if names else "no label"
            raise InputError(
                f"{table.name}, {row} has {what}. Its columns {', '.join(columns[:4])}, ... are read as one-hot, and "
                "an image can have one class only. label_column (--label-column) names a column of labels instead"
            )
        labels.append(names[0])
    if unused := [column for column in columns if column not in set(labels)]:
        notes.append(f"No row has the class {', '.join(unused)}.")
    return labels

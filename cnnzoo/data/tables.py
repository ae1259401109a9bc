"""List the images of tables (CSV and Parquet files), with their labels and splits, before any file is opened."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.listing import SPLIT_NAMES, ListedImage, Listing

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "partition", "set")


def list_table(file: Path, label_column: str | None, group_column: str | None) -> Listing:
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
    return Listing(images, [])


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

"""Tables of any origin as columns of Python values: CSV, JSON lines, Parquet, data frames, and lists of rows."""

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.extras import install_command

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, *JSON_SUFFIXES, ".parquet")
GZIP_SUFFIX = ".gz"
MAX_TABLE_BYTES = 2**31  # of a table when it is unpacked
MAX_EXPANSION = 200  # times its own size that a compressed table may unpack to; text of few values packs well
ALWAYS_ALLOWED_BYTES = 2**24
MAX_ROWS_PER_BYTE = 4  # of a Parquet file: its paths differ, so that each takes some bits
ALWAYS_ALLOWED_ROWS = 100_000

# Tables that are not read, and what to do instead
TO_CSV = "save it as CSV, or pass the pandas.DataFrame"
OTHER_TABLES = {
    ".xlsx": f"an Excel workbook; {TO_CSV}: cnnzoo.load_data(pandas.read_excel(FILE))",
    ".xls": f"an Excel workbook; {TO_CSV}: cnnzoo.load_data(pandas.read_excel(FILE))",
    ".xlsm": f"an Excel workbook; {TO_CSV}: cnnzoo.load_data(pandas.read_excel(FILE))",
    ".xlsb": f"an Excel workbook; {TO_CSV}: cnnzoo.load_data(pandas.read_excel(FILE))",
    ".ods": f"a spreadsheet; {TO_CSV}: cnnzoo.load_data(pandas.read_excel(FILE))",
    ".numbers": "a spreadsheet; export it as CSV",
    ".feather": f"an Arrow file; {TO_CSV}: cnnzoo.load_data(pandas.read_feather(FILE))",
    ".arrow": f"an Arrow file; {TO_CSV}: cnnzoo.load_data(pandas.read_feather(FILE))",
    ".pkl": "a pickle, which can run code when it is read; pass the object that it holds: cnnzoo.load_data(DATA_FRAME)",
    ".pickle": "a pickle, which can run code when it is read; pass the object: cnnzoo.load_data(DATA_FRAME)",
    ".npy": "a single array; pass both: cnnzoo.load_data((numpy.load(IMAGES), numpy.load(LABELS)))",
    ".mat": "a MATLAB file; pass its arrays: cnnzoo.load_data((images, labels))",
    ".h5": "an HDF5 file; pass its arrays: cnnzoo.load_data((images, labels))",
    ".hdf5": "an HDF5 file; pass its arrays: cnnzoo.load_data((images, labels))",
    ".tfrecord": "a TFRecord file; pass the tf.data.Dataset that parses it",
    ".zip": "an archive; unpack it and pass the folder",
    ".tar": "an archive; unpack it and pass the folder",
    ".tgz": "an archive; unpack it and pass the folder",
    ".7z": "an archive; unpack it and pass the folder",
    ".rar": "an archive; unpack it and pass the folder",
    ".xml": "an XML file; write a CSV with the columns path and label",
    ".yaml": "a YAML file; write a CSV with the columns path and label",
    ".sqlite": f"a database; {TO_CSV}: cnnzoo.load_data(pandas.read_sql(...))",
    ".db": f"a database; {TO_CSV}: cnnzoo.load_data(pandas.read_sql(...))",
}


@dataclass(frozen=True)
class Table:
    """Named columns of values.

    Attributes:
        name: what messages call it.
        columns: the names of the columns, in order; a name may occur twice.
        read: returns the values of a column.
        types: the type of each column, as its source calls it; empty if values tell it.
        rows: what messages call each row: "line 2".
        folder: the folder that relative paths refer to.
        untyped: whether all values are text, as in CSV.
    """

    name: str
    columns: Sequence[str]
    read: Callable[[str], Sequence[Any]]
    rows: Sequence[str]
    folder: Path = Path()
    types: dict[str, str] | None = None
    untyped: bool = False

    def type_of(self, column: str) -> str:
        """Return the type of a column, for messages."""
        if self.types is not None and self.types[column] != "object":
            return self.types[column]
        first = next((value for value in self.read(column) if value is not None), None)
        return "empty" if first is None else type(first).__name__


def has_table_suffix(path: Path) -> bool:
    """Return whether a file is a table that can be read, by its name."""
    return table_suffix(path) in TABLE_SUFFIXES


def table_suffix(path: Path) -> str:
    """Return the suffix of a file in lower case, without the .gz of a compressed one."""
    name = path.name.casefold()
    if name.endswith(GZIP_SUFFIX) and not name.endswith(".tar.gz"):
        name = name.removesuffix(GZIP_SUFFIX)
        return Path(name).suffix if Path(name).suffix != ".parquet" else ".parquet.gz"
    return Path(name).suffix


def read_table_file(file: Path) -> Table:
    """Read a table from a file, by its suffix.

    Raises InputError if the content is not what the suffix says.
    """
    suffix = table_suffix(file)
    if suffix == ".parquet":
        return _read_parquet(file)
    text = _read_text(file)
    return _read_json(file, text, suffix) if suffix in JSON_SUFFIXES else _read_csv(file, text)


def table_of_columns(name: str, columns: dict[str, Sequence[Any]]) -> Table:
    """Return a table of columns; raises InputError if they differ in length."""
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{column} {length:,}" for column, length in lengths.items())
        raise InputError(f"{name}: all columns must have one value for each image. Received: {listed}")
    count = next(iter(lengths.values()), 0)
    return Table(name, list(columns), lambda column: columns[column], [f"row {i}" for i in range(count)])


def table_of_records(name: str, records: Sequence[dict[str, Any]], rows: Sequence[str], folder: Path) -> Table:
    """Return a table of records; a column that a record lacks has no value there."""
    columns = list(dict.fromkeys(str(key) for record in records for key in record))
    return Table(name, columns, lambda column: [record.get(column) for record in records], rows, folder)


# Text


def _read_text(file: Path) -> str:
    """Return the content of a text file in UTF-8, or in UTF-16 with a byte order mark; .gz is unpacked."""
    try:
        content = file.read_bytes()
        if file.name.casefold().endswith(GZIP_SUFFIX):
            limit = min(MAX_TABLE_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * len(content)))
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(limit + 1)
            if len(content) > limit:
                raise InputError(f"Cannot read {str(file)!r}: it unpacks to more than {limit:,} bytes")
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"Cannot read {str(file)!r} as a table in UTF-8: {error}. Save it as UTF-8, or pass "
            'pandas.read_csv(FILE, encoding="cp1252")'
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"Cannot read {str(file)!r} as a table in UTF-8: {error}") from None


def _read_csv(file: Path, text: str) -> Table:
    """Read a text table; the separator is the most frequent of , ; tab and | in the first line, or after sep=."""
    lines, skipped = text.splitlines(keepends=True), 0
    separator = ""
    if lines and lines[0].casefold().startswith("sep=") and len(lines[0].rstrip("\r\n")) == 5:  # written by Excel
        separator, lines, skipped = lines[0][4], lines[1:], 1
    head = lines[0] if lines else ""
    separator = separator or max(",;\t|", key=head.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    names, rows = list[str](), list[list[str]]()
    try:
        columns = [name.strip() for name in next(reader, [])]
        for values in reader:
            if not values:
                continue
            line = f"line {reader.line_num + skipped}"
            if len(values) != len(columns):
                raise InputError(
                    f"{file.name}, {line} has {len(values)} values for {len(columns)} columns, which the first line "
                    f"separates by {separator!r}"
                )
            names.append(line)
            rows.append([value.strip() for value in values])
    except csv.Error as error:
        raise InputError(f"Cannot read {str(file)!r} as a table: line {reader.line_num}: {error}") from None
    types = dict.fromkeys(columns, "text")
    position = {column: i for i, column in reversed(list(enumerate(columns)))}

    def read(column: str) -> list[str]:
        return [row[position[column]] for row in rows]

    return Table(file.name, columns, read, names, file.parent, types, untyped=True)


def _read_json(file: Path, text: str, suffix: str) -> Table:
    """Read JSON lines, or a JSON list of records."""
    records, names = list[Any](), list[str]()
    line = 1
    try:
        if text.lstrip().startswith("["):
            records = json.loads(text)
            names = [f"record {i}" for i in range(len(records))]
        else:
            for line, row in enumerate(text.splitlines(), 1):
                if row.strip():
                    records.append(json.loads(row))
                    names.append(f"line {line}")
    except (ValueError, RecursionError) as error:
        if suffix == ".json":
            raise InputError(
                f"Cannot read {str(file)!r} as a table: JSON must be a list of records, as in "
                f'[{{"path": "a.jpg", "label": "cat"}}], or one record per line'
            ) from None
        raise InputError(f"Cannot read {str(file)!r} as JSON lines: line {line}: {str(error)[:200]}") from None
    wrong = next((i for i, record in enumerate(records) if not isinstance(record, dict)), None)
    nested = len(records) == 1 and any(isinstance(value, list | dict) for value in records[0].values())
    if wrong is not None or nested:
        where = names[wrong or 0]
        hint = (
            '. Data frames write such records by to_json(orient="records", lines=True); annotations, as those of COCO, '
            "have to become a table with one image and one label per row"
            if nested
            else ""
        )
        raise InputError(f'{file.name}, {where} must be a record such as {{"path": "a.jpg", "label": "cat"}}{hint}')
    return table_of_records(file.name, records, names, file.parent)


# Parquet and data frames


def check_parquet() -> None:
    """Raise ImportError if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise ImportError(f"Parquet files are read with pyarrow: {install_command('parquet')}")


def _read_parquet(file: Path) -> Table:
    """Open a Parquet file; its columns are read when they are needed, because others may be large."""
    check_parquet()
    from pyarrow import ArrowException, parquet

    def read(column: str) -> list[Any]:
        # As a dictionary, because a long text in many rows takes little space in the file only
        is_text = types[column] in ("string", "large_string", "binary", "large_binary")
        dictionaries = [column] if is_text else []
        values: list[Any] = _try(
            lambda: _to_list(
                parquet.read_table(
                    file, columns=[column], read_dictionary=dictionaries, page_checksum_verification=True
                )
            )
        )
        if len(values) != count:
            raise InputError(
                f"Cannot read {str(file)!r} as Parquet: {column!r} has {len(values):,} of {count:,} values"
            )
        return values

    def _try(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (ArrowException, OSError, ValueError) as error:
            raise InputError(f"Cannot read {str(file)!r} as Parquet: {str(error)[:300]}") from None

    schema = _try(lambda: parquet.read_schema(file))
    count = _try(lambda: parquet.read_metadata(file).num_rows)
    if count > max(ALWAYS_ALLOWED_ROWS, MAX_ROWS_PER_BYTE * file.stat().st_size):
        raise InputError(
            f"Cannot read {str(file)!r} as Parquet: {count:,} rows in {file.stat().st_size:,} bytes cannot all name "
            "another image"
        )
    types = {field.name: str(field.type) for field in schema}
    names = [f"line {i + 1}" for i in range(count)]
    return Table(file.name, list(schema.names), read, names, file.parent, types)


def _to_list(table: Any) -> list[Any]:
    """Return the only column of a pyarrow.Table as a list; equal texts of a dictionary are one object."""
    table.validate(full=True)  # indices of a damaged dictionary, and text that is not UTF-8
    values = list[Any]()
    for chunk in table.column(0).chunks:
        if hasattr(chunk, "dictionary"):
            texts = [*chunk.dictionary.to_pylist(), None]
            values += [texts[-1 if i is None else i] for i in chunk.indices.to_pylist()]
        else:
            values += chunk.to_pylist()
    return values


def table_of_frame(frame: Any) -> Table | None:
    """Return the table of a data frame of pandas or polars, or of a table of pyarrow; None for anything else."""
    # Frames that are computed when they are needed
    if hasattr(frame, "collect_schema") and hasattr(frame, "collect") and not hasattr(frame, "__len__"):  # polars
        frame = frame.collect()
    elif hasattr(frame, "npartitions") and hasattr(frame, "compute"):  # dask
        frame = frame.compute()

    # pyarrow
    if hasattr(frame, "column_names") and hasattr(frame, "to_pylist") and hasattr(frame, "schema"):
        types = {field.name: str(field.type) for field in frame.schema}
        rows = [f"row {i}" for i in range(frame.num_rows)]
        return Table("Table", list(frame.column_names), lambda name: frame.column(name).to_pylist(), rows, types=types)

    # pandas and polars
    if not (hasattr(frame, "columns") and hasattr(frame, "dtypes") and hasattr(frame, "__getitem__")):
        return None
    index = getattr(frame, "index", None)
    if index is not None and getattr(index, "name", None) is not None and index.name not in list(frame.columns):
        frame = frame.reset_index()  # a named index, as after set_index("path"), is a column
    labels = {str(column): column for column in frame.columns}
    types = {str(column): str(kind) for column, kind in zip(frame.columns, frame.dtypes, strict=True)}
    numbers: Iterable[Any] = range(len(frame)) if index is None or len(index) != len(frame) else index.tolist()
    rows = [f"row {number}" for number in numbers]

    def read(column: str) -> list[Any]:
        values: list[Any] = frame[labels[column]].to_list()
        return values

    return Table("DataFrame", [str(column) for column in frame.columns], read, rows, types=types)


def check_file_kind(path: Path) -> None:
    """Raise InputError that names the remedy for a file of a kind that is known but not read."""
    name = path.name.casefold()
    suffix = ".tar" if name.endswith((".tar.gz", ".tar.bz2", ".tar.xz")) else Path(name).suffix
    if suffix in OTHER_TABLES:
        raise InputError(f"{os.fspath(path)!r} is {OTHER_TABLES[suffix]}")

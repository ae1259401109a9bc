"""Sources of image files by name: which kind a source is, and what it lists."""

import os
from collections.abc import Sequence
from pathlib import Path

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.paths import check_path, nearest_path, resolve_path
from cnnzoo.core.text import printable_name
from cnnzoo.data.checks import ARRAY_NAMES, holds_arrays, is_file_or_folder
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.folders import list_folder
from cnnzoo.data.labels import examine_labels
from cnnzoo.data.listing import Listing
from cnnzoo.data.metadata import find_metadata, list_metadata
from cnnzoo.data.packed import list_packed
from cnnzoo.data.packed_folder import is_packed
from cnnzoo.data.table_files import TABLE_SUFFIXES, check_file_kind, check_parquet, has_table_suffix, read_table_file
from cnnzoo.data.tables import NO_OPTIONS, TableOptions, list_tables
from cnnzoo.data.tfds import check_tfds, is_tfds_folder, read_tfds


def list_source(
    source: str | os.PathLike[str],
    options: TableOptions = NO_OPTIONS,
    classes: Sequence[str] | None = None,
    folder_options: FolderOptions | None = None,
    *,
    check_labels: bool = False,
) -> tuple[str, Listing]:
    """Return the name of a source of image files, and what it holds; see `load_data`.

    With `check_labels`, labels of tables that cannot be classes are an error.
    """
    path = check_path(source, "the data source")

    # Packed data, which knows how its source was read
    folder_options = folder_options or FolderOptions()
    if is_packed(path):
        _check_nothing_given(options, folder_options, source)
        name, listing = list_packed(path)
        return name, examine_labels(listing, classes) if check_labels and listing.has_written_labels else listing

    # Sources that have no columns, or no files
    metadata = list[Path]()
    if path.is_dir() and not folder_options.are_given:
        metadata = find_metadata(path, bool(options.named()))
    if not has_table_suffix(path) and not metadata:
        check_no_columns(options, str(source))
    if holds_arrays(source):
        raise InputError(f"Image files are needed, in a folder or a table; {str(source)!r} holds arrays")

    # TensorFlow Datasets, folders and tables
    if folder_options.are_given and (not path.is_dir() or is_tfds_folder(path)):
        raise InputError(f"class_folders and split_folders apply only to folders of images. Received: {str(source)!r}")
    if str(source).startswith("tfds:"):
        return str(source), read_tfds(str(source).removeprefix("tfds:"))
    check_source_exists(source)
    if metadata:
        listing = list_metadata(path, metadata, options)
        return printable_name(resolve_path(path).name), examine_labels(listing, classes) if check_labels else listing
    if path.is_dir():
        name = printable_name(resolve_path(path).name)  # not the whole path, which means nothing on other machines
        return name, read_tfds(str(path)) if is_tfds_folder(path) else list_folder(path, folder_options)
    if not has_table_suffix(path):
        check_file_kind(path)
        raise InputError(
            f"Data must be a folder of images, a table ({', '.join(TABLE_SUFFIXES)}), an .npz file, arrays, or one of "
            f"{', '.join(ARRAY_NAMES)}, tfds:NAME. Received: {str(path)!r}"
        )
    listing = list_tables({"": read_table_file(path)}, options)
    return path.name, examine_labels(listing, classes) if check_labels else listing


def check_source_exists(source: str | os.PathLike[str]) -> None:
    """Check that a path or a name is a source of data, without reading it.

    Raises:
        InputError: if there is nothing of this name; the message suggests the nearest one.
        ImportError: if a package that reads the source is not installed.
    """
    path = check_path(source, "the data source")
    if str(source).startswith("tfds:"):
        check_tfds()
    elif path.suffix.casefold() == ".parquet" and not path.is_dir():
        check_parquet()
    if str(source) in ARRAY_NAMES or str(source).startswith("tfds:") or is_file_or_folder(path):
        return
    if near := nearest_path(path):
        raise InputError(f"There is no file or folder {str(source)!r}. Did you mean {near}?")
    raise unknown_name(
        "data source, and no such file or folder",
        str(source),
        [*ARRAY_NAMES, "tfds:NAME", "a path to a folder, a table or an .npz file"],
    )


def check_no_columns(options: TableOptions, source: object) -> None:
    """Raise InputError if options for tables are set for another source."""
    if options.named():
        raise InputError(
            f"{', '.join(options.named())} apply only to tables ({', '.join(TABLE_SUFFIXES)}, data frames, paths with "
            f"labels). Received: {source!r}"
        )


def _check_nothing_given(options: TableOptions, folder_options: FolderOptions, source: object) -> None:
    """Raise InputError if packed data is read with options that say how its source is read."""
    given = options.named()
    given += ["class_folders"] if folder_options.class_folders != "auto" else []
    given += ["split_folders"] if folder_options.split_folders is not None else []
    if given:
        raise InputError(
            f"{', '.join(given)} cannot change packed data, which keeps what they said when it was packed. Pass them "
            f"to cnnzoo pack. Received: {str(source)!r}"
        )

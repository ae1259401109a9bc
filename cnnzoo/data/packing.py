"""pack: write the images of a folder or a table into a few large files, which `load_data` reads by index."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, Interrupted, check_integer
from cnnzoo.core.json_files import write_json
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import Progress, show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.threads import thread_pool
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.listing import Listing, natural_sort_key
from cnnzoo.data.packed import PackedData
from cnnzoo.data.packed_folder import FORMAT, MANIFEST_FILE, PLAN_FILE, VERSION
from cnnzoo.data.packed_index import ShardEntry
from cnnzoo.data.packed_records import import_array_record
from cnnzoo.data.packed_shards import ShardWriter, find_complete_shard, source_bytes
from cnnzoo.data.packing_folder import (
    Place,
    begin_packing,
    check_outside,
    end_packing,
    find_place,
    lock_folder,
    replace_packed,
)
from cnnzoo.data.python_sources import find_tables, split_parts
from cnnzoo.data.sources import list_source
from cnnzoo.data.tables import TableOptions, list_tables

MAX_SHARDS = 9999
MAX_SHARD_IMAGES = 50_000  # whose names and facts fit into one index
AUTO_SHARD_BYTES = 2**28
MIN_SIZE, MAX_SIZE = 16, 8192  # pixels


@check_arguments()
def pack(
    source: Any,
    folder: str | os.PathLike[str],
    *,
    shards: int | str = "auto",
    size: int | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    class_folders: str = "auto",
    split_folders: Mapping[str, str] | None = None,
    strict: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
) -> PackedData:
    """Write images with their labels into a few large ArrayRecord files, for fast loading from any disk.

    `load_data(folder)` then loads them as it loads the source: with the same splits, batches, findings of the doctor
    and fingerprints, unless `size` changes the images. Every image is decoded once, so that loading does not check it
    again. What the options say about the source is kept, so loading does not need them. A call that was interrupted
    goes on with the shards that are missing when it is made again. Needs the package array_record; loading does not.

    Args:
        source: a folder or a table of images, "tfds:NAME", a data frame, or (paths, labels), as for `load_data`.
        folder: the folder to write. It must be new or empty, or hold packed data that was interrupted.
        shards: number of files. "auto" is one for every 256 MiB.
        size: the shorter side in pixels that larger images are resized to, upright, as JPEG files of quality 95.
            Smaller images, and images of more than 8 bits, stay as they are. By default all do.
        path_column, label_column, split_column, group_column, image_dir: of a table; see `load_data`.
        class_folders, split_folders: of a folder; see `load_data`.
        strict: raise an error if an image cannot be decoded, instead of listing it with the reason.
        overwrite: replace the packed data in `folder`, once the new one is complete; the disk must have room for both.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        The number of images, shards and bytes. Printing it shows them.

    Raises:
        InputError: if the source or an option is not usable, or `folder` holds something else.
        ImportError: if array_record is not installed.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for i in range(20):
        ...     path = Path("shades", "dark" if i < 10 else "light", f"{i}.png")
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (8 + i, 8), (12 * i, 0, 0)).save(path)
        >>> print(cnnzoo.pack("shades", "packed", shards=2))
        packed: 20 images of shades in 2 shards, 0.3 MB
        >>> cnnzoo.load_data("packed")
        <ImageData shades: 2 classes, 16 train, 2 validation, 2 test>
    """
    # Check the options and the folder
    if shards != "auto":
        check_integer("shards", shards, 1, MAX_SHARDS)
    if size is not None:
        check_integer("size", size, MIN_SIZE, MAX_SIZE)
    import_array_record()
    path = check_path(folder, "the folder to write")
    check_outside(source, path)
    place = find_place(path, shards, size, overwrite)

    # List the source
    columns = TableOptions(path_column, label_column, split_column, group_column, image_dir)
    with show_progress("Listing the images", verbose=verbose):
        name, listing = _list_any(source, columns, FolderOptions(None, class_folders, split_folders))
        sizes = list(thread_pool().map(source_bytes, [image.source for image in listing.images]))
    count = _count_shards(place, shards, sum(sizes), len(listing.images))

    # Begin, or go on
    with lock_folder(path):
        replace_packed(path)
        place = find_place(path, shards, size, overwrite, name)
        count = _count_shards(place, shards, sum(sizes), len(listing.images))
        show = show_progress("Packing", len(listing.images), "images", verbose=verbose)
        with show as progress, _writing_errors(place, path, progress):
            begin_packing(place, count, size, name)
            if place.plan:
                progress.say(f"Going on with the packed data in {path}, which was interrupted")
            entries = _write_shards(place.folder, listing, count, size, strict, progress)

            # End with the manifest
            packed = _summarize(path, name, listing, entries, size)
            write_json(place.folder / MANIFEST_FILE, _to_dict(packed), indent=1, add_sum=True)
            end_packing(place, path)
    if problems := [problem for _, found in entries for problem in found]:
        images = format_count(len(problems), "image")
        warn_caller(f"{name}: {images} cannot be decoded and not packed: {_list_problems(problems)}")
    return packed


@contextmanager
def _writing_errors(place: Place, folder: Path, progress: Progress) -> Iterator[None]:
    """Say what is left of packed data if Ctrl-C or a full disk ends the block."""
    rest = "the same command goes on with the shards that are missing"
    if place.folder != folder:
        rest += f". Until then, {str(folder)!r} holds the packed data from before"
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped after {progress.done:,.0f} of {progress.total:,} images; {rest}") from None
    except OSError as error:
        raise InputError(f"Cannot write to {str(place.folder)!r}: {error.strerror or error}; {rest}") from None


# What is packed


def _list_any(source: Any, columns: TableOptions, layout: FolderOptions) -> tuple[str, Listing]:
    """Return the name and the listing of a path, or of a table of a Python program."""
    if isinstance(source, str | os.PathLike):
        name, listing = list_source(source, columns, folder_options=layout)
    elif tables := find_tables(split_parts(source)):
        if layout.are_given:
            raise InputError("class_folders and split_folders apply only to folders; this is a table")
        name = " and ".join(dict.fromkeys(table.name for table in tables.values()))
        listing = list_tables(tables, columns)
    else:
        raise InputError(
            "pack takes image files: a folder, a table of paths, 'tfds:NAME', a data frame, or (paths, labels). Save "
            f"arrays and streams as image files first. Received: {type(source).__name__}"
        )
    if not listing.images:
        raise InputError(f"{name} has no images")
    return name, listing


def _count_shards(place: Place, shards: int | str, total_bytes: int, images: int) -> int:
    """Return the number of shards, each with at least one image: that of the call that goes on, or as `shards` says."""
    if place.plan:
        shards = check_integer(f"shards in {place.folder / PLAN_FILE}", place.plan["shards"], 1, MAX_SHARDS)
    fewest = -(-images // MAX_SHARD_IMAGES)
    if isinstance(shards, str):
        return min(max(-(-total_bytes // AUTO_SHARD_BYTES), fewest, 1), images, MAX_SHARDS)
    if shards > images:
        raise InputError(f"shards must be at most the number of images, {images:,}. Received: {shards:,}")
    if shards < fewest:
        raise InputError(
            f"A shard holds at most {MAX_SHARD_IMAGES:,} images, so {images:,} images need {fewest:,} shards or more. "
            f"Received: shards={shards}"
        )
    return shards


def _write_shards(
    folder: Path, listing: Listing, count: int, size: int | None, strict: bool, progress: Progress
) -> list[tuple[ShardEntry, list[tuple[str, str]]]]:
    """Write the shards that are missing; return all, with the names and the problems of images that are not in them."""
    names = sorted({image.label for image in listing.images}, key=natural_sort_key)
    class_of = {name: i for i, name in enumerate(names)}
    entries, position, kept = [], 0, 0
    for number in range(count):
        start, end = (len(listing.images) * i // count for i in (number, number + 1))
        writer = ShardWriter(folder, number, count, listing.images[start:end], size, class_of, position, strict)
        found = find_complete_shard(writer)
        kept += found is not None
        if found is None:
            found = writer.write(progress)
        else:
            progress.restart(progress.total, end)
        entries.append(found)
        position += found[0].images
    if kept:
        progress.say(f"Kept {format_count(kept, 'shard')} of {count:,} that {'was' if kept == 1 else 'were'} complete")
    return entries


# The manifest


def _summarize(
    folder: Path,
    name: str,
    listing: Listing,
    entries: Sequence[tuple[ShardEntry, list[tuple[str, str]]]],
    size: int | None,
) -> PackedData:
    """Return what was packed; raise InputError if no image could be decoded."""
    problems = [problem for _, found in entries for problem in found]
    if len(problems) == len(listing.images):
        raise InputError(f"None of the images of {name} can be decoded: {_list_problems(problems)}")
    classes = dict.fromkeys(sorted({image.label for image in listing.images}, key=natural_sort_key), 0)
    for image in listing.images:
        classes[image.label] += 1
    return PackedData(
        folder=folder,
        source=name,
        images=len(listing.images) - len(problems),
        unusable=len(problems),
        classes=classes,
        size=size,
        shards=tuple(entry for entry, _ in entries),
        notes=listing.notes,
        left_out=tuple((file.name, file.reason) for file in listing.left_out),
        has_written_labels=listing.has_written_labels,
    )


def _list_problems(problems: Sequence[tuple[str, str]]) -> str:
    """Return the first images that cannot be decoded, with the reasons."""
    examples = ", ".join(f"{image!r} ({reason})" for image, reason in problems[:3])
    return f"{examples}, ..." if len(problems) > 3 else examples


def _to_dict(packed: PackedData) -> dict[str, Any]:
    """Return the content of the manifest file."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": packed.source,
        "images": packed.images,
        "unusable": packed.unusable,
        "classes": packed.classes,
        "size": packed.size,
        "scan_version": packed.scan_version,
        "has_written_labels": packed.has_written_labels,
        "notes": list(packed.notes),
        "left_out": [list(file) for file in packed.left_out],
        "shards": [shard._asdict() for shard in packed.shards],
    }

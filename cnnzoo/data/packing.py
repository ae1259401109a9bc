"""pack: write the images of a folder or a table into a few large files, which `load_data` reads by index."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, Interrupted, check_integer
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import Progress, show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.threads import thread_pool
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.listing import Listing, natural_sort_key
from cnnzoo.data.packed import FORMAT, MANIFEST_FILE, PLAN_FILE, VERSION, PackedData, ShardEntry
from cnnzoo.data.packed_records import import_array_record
from cnnzoo.data.packed_shards import ShardWriter, find_complete_shard, source_bytes
from cnnzoo.data.python_sources import find_tables, split_parts
from cnnzoo.data.sources import check_source_exists, list_source
from cnnzoo.data.tables import TableOptions, list_tables

MAX_SHARDS = 9999
MAX_SHARD_IMAGES = 50_000  # whose names and facts fit into one index
AUTO_SHARD_BYTES = 2**28
MIN_SIZE, MAX_SIZE = 16, 8192  # pixels
PLAN_FIELDS = {"shards": int, "size": int | None, "source": str}


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
        overwrite: replace the packed data in `folder`.
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
    _check_outside(source, path)
    plan = _check_folder(path, shards, size, overwrite)

    # List the source
    columns = TableOptions(path_column, label_column, split_column, group_column, image_dir)
    with show_progress("Listing the images", verbose=verbose):
        name, listing = _list_any(source, columns, FolderOptions(None, class_folders, split_folders))
        sizes = list(thread_pool().map(source_bytes, [image.source for image in listing.images]))
    count = plan["shards"] if plan else _count_shards(shards, sum(sizes), len(listing.images))

    # Begin: from here on, the folder holds packed data that is not complete
    if overwrite:
        _delete_packed(path)
    write_json(path / PLAN_FILE, {"shards": count, "size": size, "source": name})
    total = len(listing.images)
    with show_progress("Packing", total, "images", verbose=verbose) as progress:
        if plan:
            progress.say(f"Going on with the packed data in {path}, which was interrupted")
        try:
            entries = _write_shards(path, listing, count, size, strict, progress)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped after {progress.done:,.0f} of {total:,} images; the same command goes on with the shards "
                "that are missing"
            ) from None

    # End with the manifest
    packed = _summarize(path, name, listing, entries, size)
    write_json(path / MANIFEST_FILE, _to_dict(packed), indent=1, add_sum=True)
    (path / PLAN_FILE).unlink(missing_ok=True)
    if problems := [problem for _, found in entries for problem in found]:
        images = format_count(len(problems), "image")
        warn_caller(f"{name}: {images} cannot be decoded and not packed: {_list_problems(problems)}")
    return packed


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


def _count_shards(shards: int | str, total_bytes: int, images: int) -> int:
    """Return the number of shards, each with at least one image."""
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


# The folder


def _check_outside(source: Any, folder: Path) -> None:
    """Raise InputError if the folder to write is the source, or lies in it."""
    if not isinstance(source, str | os.PathLike) or os.fsdecode(source).startswith("tfds:"):
        return
    check_source_exists(source)
    root = Path(os.fsdecode(source)).resolve()
    if root.is_dir() and folder.resolve().is_relative_to(root):
        raise InputError(
            f"The folder to write, {str(folder)!r}, lies in the source {str(source)!r}, where its files would count as "
            "part of the images; choose one outside"
        )


def _check_folder(folder: Path, shards: int | str, size: int | None, overwrite: bool) -> dict[str, Any] | None:
    """Return the plan of the interrupted call that this call continues, or None if it begins anew.

    Raises:
        InputError: if the folder is a file, or holds packed data that is complete or of another plan, or other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The folder to write, {str(folder)!r}, is a file")
    if not folder.exists():
        return None
    if (folder / MANIFEST_FILE).is_file():
        if not overwrite:
            raise InputError(
                f"{str(folder)!r} holds packed data already; overwrite=True (--overwrite) replaces it, or choose "
                "another folder"
            )
        return None
    if not (folder / PLAN_FILE).is_file():
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise InputError(f"{str(folder)!r} is not empty and holds no packed data; choose another folder")
        return None
    if overwrite:
        return None
    plan = read_json(folder / PLAN_FILE, PLAN_FIELDS, remedy="overwrite=True (--overwrite) begins anew")
    given = {"size": size, "shards": plan["shards"] if shards == "auto" else shards}
    if changed := [name for name, value in given.items() if plan[name] != value]:
        was = ", ".join(f"{name}={plan[name]}" for name in changed)
        raise InputError(
            f"{str(folder)!r} holds packed data of {plan['source']} that was interrupted, with {was}. The same options "
            "go on with it; overwrite=True (--overwrite) begins anew"
        )
    return plan


def _delete_packed(folder: Path) -> None:
    """Delete packed data, the manifest first, so that what is left never looks complete."""
    if not folder.is_dir():
        return
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    (folder / PLAN_FILE).unlink(missing_ok=True)
    for path in folder.glob("images-[0-9]*-of-[0-9]*.*"):
        path.unlink()


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

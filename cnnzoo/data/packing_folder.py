"""The folder that `cnnzoo.pack` writes: what it may hold before, and how new packed data takes the place of old."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from cnnzoo.core.errors import BusyError, InputError
from cnnzoo.core.files import SCRATCH_SUFFIX
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.data.packed import read_manifest
from cnnzoo.data.packed_folder import FORMAT, MANIFEST_FILE, PLAN_FILE, SHARD_FILES, has_manifest, has_plan, shard_name
from cnnzoo.data.sources import check_source_exists

NEW_FOLDER = ".packing"  # in packed data that is being replaced: the new files, until all of them are complete
LOCK_FILE = ".packing.lock"
PLAN_FIELDS = {"shards": int, "size": int | None, "source": str}


class Place(NamedTuple):
    """Where the shards are written to, and the plan of the interrupted call that goes on there, if there is one."""

    folder: Path
    plan: dict[str, Any] | None


def check_outside(source: Any, folder: Path) -> None:
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


def find_place(folder: Path, shards: int | str, size: int | None, overwrite: bool, source: str | None = None) -> Place:
    """Return where the shards are written to: into `folder`, or beside the packed data that they will replace.

    Args:
        folder: the folder to write.
        shards, size, overwrite: the options of `cnnzoo.pack`.
        source: the name of the source, once it was listed.

    Raises:
        InputError: if the folder is a file, or holds packed data that is complete or of another plan, or other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The folder to write, {str(folder)!r}, is a file")
    if has_manifest(folder):
        if not overwrite:
            raise InputError(
                f"{str(folder)!r} holds packed data already; overwrite=True (--overwrite) replaces it, or choose "
                "another folder"
            )
        new = folder / NEW_FOLDER
        with suppress(InputError):  # a plan that cannot be read any more: the replacement begins anew
            if has_plan(new) and not _list_changes(plan := _read_plan(new), shards, size, source):
                return Place(new, plan)
        return Place(new, None)
    if not has_plan(folder):
        if folder.exists() and (others := [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]):
            raise InputError(
                f"{str(folder)!r} is not empty and holds no packed data, but {min(others)!r}; choose another folder"
            )
        return Place(folder, None)
    if overwrite:
        return Place(folder, None)
    plan = _read_plan(folder)
    if changed := _list_changes(plan, shards, size, source):
        was = ", ".join(f"{name}={plan[name]}" for name in changed)
        raise InputError(
            f"{str(folder)!r} holds packed data of {plan['source']} that was interrupted, with {was}. The same options "
            "go on with it; overwrite=True (--overwrite) begins anew"
        )
    return Place(folder, plan)


def _read_plan(folder: Path) -> dict[str, Any]:
    return read_json(folder / PLAN_FILE, PLAN_FIELDS, remedy="overwrite=True (--overwrite) begins anew")


def _list_changes(plan: dict[str, Any], shards: int | str, size: int | None, source: str | None) -> list[str]:
    """Return the names of the options that are not those of an interrupted call."""
    given = {
        "source": plan["source"] if source is None else source,
        "size": size,
        "shards": plan["shards"] if shards == "auto" else shards,
    }
    return [name for name, value in given.items() if plan[name] != value]


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other calls of `cnnzoo.pack` out of it while the block runs.

    Raises:
        BusyError: if another process is packing into it.
        InputError: if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        with suppress(NotImplementedError):  # a file system without locks, as of some networks
            lock.acquire()
    except Timeout:
        raise BusyError(f"Another process is packing into {str(folder)!r}") from None
    except OSError as error:
        raise InputError(f"Cannot write to {str(folder)!r}: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows, where it is still open
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def begin_packing(place: Place, count: int, size: int | None, source: str) -> None:
    """Write the plan into the folder of the shards, which holds packed data that is not complete from here on.

    What another call has left there is deleted, unless this one goes on with it.
    """
    write_json(place.folder / PLAN_FILE, {"format": FORMAT, "shards": count, "size": size, "source": source})
    if place.plan is None:
        _delete_shards(place.folder)


def end_packing(place: Place, folder: Path) -> None:
    """Let the shards, whose manifest is written, count as complete; they take the place of those before."""
    if place.folder == folder:
        (folder / PLAN_FILE).unlink(missing_ok=True)
    else:
        replace_packed(folder)


def replace_packed(folder: Path) -> None:
    """Replace the packed data in a folder by that in its `NEW_FOLDER`, if this is complete.

    The new files are moved one by one, which takes no time. If that is interrupted, the next call goes on.
    """
    new = folder / NEW_FOLDER
    if not has_manifest(new):
        return
    count = len(read_manifest(new).shards)
    stems = {Path(shard_name(number, count)).stem for number in range(count)}

    # While it holds files of both, the folder counts as incomplete.
    if (new / PLAN_FILE).exists():
        move_file(new / PLAN_FILE, folder)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    for path in [*new.glob(SHARD_FILES)]:
        move_file(path, folder)
    for path in [*folder.glob(SHARD_FILES)]:
        if path.stem not in stems:
            path.unlink()
    move_file(new / MANIFEST_FILE, folder)
    (folder / PLAN_FILE).unlink(missing_ok=True)
    with suppress(OSError):  # it holds something else, too
        new.rmdir()


def move_file(path: Path, folder: Path) -> None:
    """Move a file into another folder of the same file system, where it replaces one of its name."""
    os.replace(path, folder / path.name)


def _delete_shards(folder: Path) -> None:
    """Delete shards, and what processes that were killed have left of them."""
    if has_manifest(folder):
        (folder / MANIFEST_FILE).unlink()
    for path in [*folder.glob(SHARD_FILES)]:
        path.unlink()
    for path in [*folder.glob(f".{SHARD_FILES}{SCRATCH_SUFFIX}")]:
        shutil.rmtree(path, ignore_errors=True)

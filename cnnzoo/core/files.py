"""Write files completely or not at all, read them within bounds, and find the folder of the cache."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCRATCH_SUFFIX = ".scratch"  # of the temporary folders of `atomic_write`
TOKEN_LENGTH = 8  # of the random part of their names, from `tempfile`
MAX_SCRATCH_NAME = 200  # bytes of a file's name that the name of its temporary folder repeats
MAX_TOML_BYTES = 2**20  # of a recipe or a search space
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Provide a temporary path for a file or folder; it is renamed to `path` if the block ends without an error.

    What was at `path` before stays intact until then, also if the process is killed or the power fails: the bytes are
    on the disk before the name is. A folder takes the place of another one by an exchange of the two, where the system
    offers it. What a process that was killed has left is removed by the next call.

    Raises:
        InputError: if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean_up_after_killed_process(path)
        scratch, lock = _make_scratch(path)
    except OSError as error:
        raise InputError(f"Cannot write to {str(path.parent)!r}: {error.strerror}") from None
    try:
        new = scratch / path.name  # keeps the suffix, which determines Keras' format
        yield new
        _flush_to_disk(new)
        if path.is_dir():
            if not new.is_dir():
                raise InputError(f"Cannot replace the folder {str(path)!r} by a file")
            _replace_folder(new, path, scratch / f"{path.name}.old")
        else:
            os.replace(new, path)
        _flush_names(path.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _scratch_prefix(path: Path) -> str:
    """Return what the name of each temporary folder for `path` begins with."""
    name = path.name
    while len(os.fsencode(name)) > MAX_SCRATCH_NAME:
        name = name[:-1]
    return f".{name}."


def _make_scratch(path: Path) -> tuple[Path, int | None]:
    """Return a new, locked temporary folder for `path`, and its lock."""
    unlocked = Path(tempfile.mkdtemp(prefix=_scratch_prefix(path), dir=path.parent))
    lock = _lock(unlocked)
    # It gets its name once it is locked, so that no other process takes it for one without an owner.
    scratch = unlocked.with_name(unlocked.name + SCRATCH_SUFFIX)
    try:
        unlocked.rename(scratch)
    except OSError:
        unlocked.rmdir()
        if lock is not None:
            os.close(lock)
        raise
    return scratch, lock


def _lock(path: Path, shared: bool = False) -> int | None:
    """Lock a file or a folder until the descriptor that is returned is closed, or this process ends.

    Return None if it is locked already, or cannot be locked here. Several may hold a `shared` lock.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Return whether a process of this machine holds the lock of a file; True where that cannot be known.

    The lock is taken for a moment, so whoever wants to lock the file tries for longer than a moment.
    """
    if not path.exists():
        return False
    descriptor = _lock(path, shared=True)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _clean_up_after_killed_process(path: Path) -> None:
    """Remove the temporary folders for `path` whose process has ended; restore a folder that it had set aside."""
    prefix = _scratch_prefix(path)
    with os.scandir(path.parent) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix) and e.name.endswith(SCRATCH_SUFFIX)]
    for scratch in (path.parent / name for name in names):
        if len(scratch.name) != len(prefix) + TOKEN_LENGTH + len(SCRATCH_SUFFIX):  # belongs to a longer name
            continue
        lock = _lock(scratch)
        if lock is None:
            continue
        old = scratch / f"{path.name}.old"
        with suppress(OSError):
            if old.exists() and not path.exists():
                os.replace(old, path)
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _replace_folder(new: Path, path: Path, old: Path) -> None:
    """Put the folder `new` in the place of the folder `path`, at once where the system can."""
    if exchange_paths(new, path):
        return
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise


def exchange_paths(first: Path, second: Path) -> bool:
    """Exchange two files or folders of one file system in one step; return False if this system cannot.

    Raises:
        OSError: if one of them does not exist, or may not be renamed.
    """
    rename = _find_renameat2()
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    # Old kernels, file systems without it (NFS, some FUSE), containers whose filter does not know the call
    if code in (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


@cache
def _find_renameat2() -> Any:
    """Return the C library's renameat2, or None: other systems than Linux and old C libraries have none."""
    if sys.platform != "linux":
        return None
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return rename


def _flush_to_disk(path: Path) -> None:
    """Write a file, or all files of a folder, from the system's memory to the disk.

    Raises:
        OSError: if the disk is full or fails.
    """
    if not path.is_dir():
        _flush_file(path)
        return
    for folder, _, names in os.walk(path):
        for name in names:
            _flush_file(Path(folder, name))
        _flush_names(Path(folder))


def _flush_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    # Windows only flushes what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that cannot
            raise
    finally:
        os.close(descriptor)


def _flush_names(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: if it cannot be read, is a folder, a pipe or a device, or has more than `max_bytes` bytes.
    """
    status = path.stat()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.is_file():
        raise OSError(errno.EINVAL, "It is not a regular file", str(path))
    if status.st_size > max_bytes:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes are too many; at most {max_bytes:,} are read", str(path))
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:  # it has grown, or is one of the system's files without a size
        raise OSError(errno.EFBIG, f"more than {max_bytes:,} bytes are too many", str(path))
    return content


def cache_dir() -> Path:
    """Return the folder of the cache: CNNZOO_HOME, or cnnzoo in XDG_CACHE_HOME, or ~/.cache/cnnzoo.

    Raises:
        InputError: if it begins with a home that is unknown, or cannot be a path.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = os.environ.get("CNNZOO_HOME") or Path(cache, "cnnzoo")
    try:
        return check_path(path, "the folder of the cache")
    except InputError as error:
        raise InputError(f"Cannot use the cache: {error}; set CNNZOO_HOME to a folder") from None

"""Files in a folder that others may write to too: opened only if they are plain files, never through a link."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cnnzoo.core.errors import InputError

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe must not block either
BINARY = getattr(os, "O_BINARY", 0)
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | BINARY
APPEND_FLAGS = os.O_WRONLY | os.O_APPEND | NO_FOLLOW | BINARY
READ_FLAGS = os.O_RDONLY | NO_FOLLOW | BINARY


def is_plain_file(path: Path) -> bool:
    """Return whether there is a file at `path` itself, which has no other name either; links and pipes are not."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def remove_file(path: Path) -> None:
    """Delete the file, link or pipe at `path`, if there is one; raise InputError if it is a folder."""
    if path.is_dir() and not path.is_symlink():
        raise InputError(f"{path} is a folder, and a file of the cache belongs there; remove it")
    path.unlink(missing_ok=True)


def open_plain_file(path: Path, append: bool) -> BinaryIO:
    """Open a plain file for writing at its end, or create a new one in the place of whatever is at `path`.

    Raises InputError if a folder is there, or something was put there in the meantime.
    """
    if not append:
        remove_file(path)
    try:
        file = os.fdopen(os.open(path, APPEND_FLAGS if append else CREATE_FLAGS, 0o666), "ab" if append else "wb")
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"Cannot write {path}: it is not a file")
    return file


def read_plain_text(path: Path, size: int) -> str:
    """Return at most `size` bytes of a small text file, or "" if there is none, or no plain file."""
    if not is_plain_file(path):
        return ""
    with os.fdopen(os.open(path, READ_FLAGS), "rb") as file:
        return file.read(size).decode("utf-8", "replace")

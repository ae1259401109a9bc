"""Files that are there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnzoo.core.errors import InputError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to, file or folder, that takes the name `path` when the block ends without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"Cannot write to {str(path.parent)!r}: {error.strerror}") from None
    try:
        new = scratch / path.name  # the suffix stays, which Keras goes by
        yield new
        if path.is_dir():
            if not new.is_dir():
                raise InputError(f"{str(path)!r} is a folder, which a file does not replace")
            os.replace(path, scratch / f"{path.name}.old")
        os.replace(new, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def cache_dir() -> Path:
    """The folder of the cache: CNNZOO_HOME, or cnnzoo in XDG_CACHE_HOME, or ~/.cache/cnnzoo."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("CNNZOO_HOME") or Path(cache, "cnnzoo")).expanduser()

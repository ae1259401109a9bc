"""Write files completely or not at all, and find the folder of the cache."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Provide a temporary path for a file or folder; it is renamed to `path` if the block ends without an error.

    What was at `path` before stays intact until then. Raises InputError if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"Cannot write to {str(path.parent)!r}: {error.strerror}") from None
    try:
        new = scratch / path.name  # keeps the suffix, which determines Keras' format
        yield new
        if path.is_dir():
            if not new.is_dir():
                raise InputError(f"Cannot replace the folder {str(path)!r} by a file")
            os.replace(path, scratch / f"{path.name}.old")
        os.replace(new, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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

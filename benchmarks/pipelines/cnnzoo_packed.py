"""The batches of cnnzoo from packed data, which is written to the temporary folder of the system when it is missing."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cnnzoo_batches import _iter_cached
from common import Options


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    yield from _iter_cached(replace(options, folder=str(find_packed(options.folder))), "none")


def find_packed(folder: str) -> Path:
    """Return the packed data of a folder of photos."""
    import cnnzoo

    key = hashlib.sha256(os.fsencode(Path(folder).resolve())).hexdigest()[:12]
    packed = Path(tempfile.gettempdir()) / f"cnnzoo-packed-{key}"
    if not (packed / "packed.json").is_file():
        cnnzoo.pack(folder, packed, verbose=False)
    return packed

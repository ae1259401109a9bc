"""What every image file is, found by reading all of it once; kept by path, size and time of change."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.decode import open_image, read_image_bytes, to_upright, upright_size

SCAN_VERSION = 1  # of Facts and of what is refused: a new one forgets what was kept
MAX_PALETTE_COLORS = 64  # colours of a palette: a photo has more
FILES_PER_COMMIT = 512  # files between two writes to what is kept
FORMAT_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


@dataclass(frozen=True)
class ImageFacts:
    """One file: what it holds, or the problem with it."""

    digest: str = ""  # SHA-256 of the bytes
    format: str = ""
    mode: str = ""  # Pillow's
    height: int = 0  # upright
    width: int = 0
    phash: int | None = None  # 64 bits that similar pictures share; None without decoding, and for a single colour
    constant: bool = False  # all pixels are alike
    colours: int = 0  # of an image with a palette, where they are few
    problem: str = ""  # why it cannot be used


def examine_image(source: Any, pixels: bool = True) -> ImageFacts:
    """The facts of a path or a record with `read()`; `pixels` decodes it, else its header is trusted."""
    facts: dict[str, Any] = {}
    try:
        encoded = source.read() if hasattr(source, "read") else read_image_bytes(source)
        facts["digest"] = hashlib.sha256(encoded).hexdigest()
        with open_image(encoded) as image:
            facts |= {"format": image.format, "mode": image.mode}
            facts |= dict(zip(("height", "width"), upright_size(image), strict=True))
            if pixels:
                facts |= _inspect_pixels(image)
    except InputError as error:
        facts["problem"] = str(error)
    return ImageFacts(**facts)


def _inspect_pixels(image: Any) -> dict[str, Any]:
    import imagehash

    colours = image.getcolors(MAX_PALETTE_COLORS) if image.mode in ("P", "PA", "1") else None
    whole = to_upright(image)
    if all(low == high for low, high in whole.getextrema()):
        return {"constant": True, "colours": 1}
    small = whole.convert("L").resize((256, 256), reducing_gap=2.0)
    bits = imagehash.phash(small).hash.ravel()
    return {"phash": int("".join("01"[int(bit)] for bit in bits), 2), "colours": len(colours or ())}


def scan_images(sources: Sequence[Any], pixels: bool = True) -> Iterator[ImageFacts]:
    """The facts of each source, in order; those of files that have not changed come from what is kept."""
    with _open_scan_cache() as kept:
        for start in range(0, len(sources), FILES_PER_COMMIT):
            chunk = sources[start : start + FILES_PER_COMMIT]
            keys = [_file_key(source) for source in chunk]
            known = [kept.get(key, pixels) if key else None for key in keys]
            missing = [i for i, facts in enumerate(known) if facts is None]
            new = dict(
                zip(
                    missing,
                    thread_pool().map(examine_image, [chunk[i] for i in missing], [pixels] * len(missing)),
                    strict=True,
                )
            )
            # a problem may be mended without a trace: it is looked at again
            kept.put([(keys[i], facts, pixels) for i, facts in new.items() if keys[i] and not facts.problem])
            yield from (facts or new[i] for i, facts in enumerate(known))


def _file_key(source: Any) -> tuple[bytes, int, int] | None:
    """Path, size and time of change; None for what has none."""
    try:
        facts = Path(source).stat()
        return os.fsencode(Path(source).absolute()), facts.st_size, facts.st_mtime_ns
    except (OSError, TypeError, ValueError):
        return None


class _ScanCache:
    def __init__(self, database: sqlite3.Connection | None) -> None:
        self.database = database

    def get(self, key: tuple[bytes, int, int], pixels: bool) -> ImageFacts | None:
        if self.database is None:
            return None
        query = "select facts from facts where path = ? and size = ? and changed = ? and pixels >= ?"
        try:
            row = self.database.execute(query, (*key, pixels)).fetchone()
            facts = ImageFacts(**json.loads(row[0])) if row else None
        except (sqlite3.Error, TypeError, ValueError):
            return None
        kinds = (str, str, str, int, int, int | None, bool, int, str)
        sound = facts and all(isinstance(v, kind) for v, kind in zip(asdict(facts).values(), kinds, strict=True))
        if not facts or not sound or facts.format not in FORMAT_SUFFIXES:
            return None
        return facts if pixels else replace(facts, phash=None, constant=False, colours=0)  # as headers alone tell it

    def put(self, rows: list[tuple[Any, Any, bool]]) -> None:
        if self.database is None:
            return
        lines = [(*key, pixels, json.dumps(asdict(facts))) for key, facts, pixels in rows]
        try:
            with self.database:
                self.database.executemany("insert or replace into facts values (?, ?, ?, ?, ?)", lines)
        except sqlite3.Error:  # a full disk, another process: the next scan looks again
            pass


@contextmanager
def _open_scan_cache() -> Iterator[_ScanCache]:
    """What earlier scans found, in the cache folder; where that cannot be had, nothing."""
    path = cache_dir() / f"scans-{SCAN_VERSION}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=30)
        database.execute(
            "create table if not exists facts (path blob primary key, size int, changed int, pixels int, facts text)"
        )
    except (sqlite3.Error, OSError):
        yield _ScanCache(None)
        return
    with closing(database):
        yield _ScanCache(database)

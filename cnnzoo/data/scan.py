"""Scan image files: decode each one once and remember what it holds, by path, size and modification time."""

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir
from cnnzoo.core.json_files import parse_json
from cnnzoo.core.progress import show_progress
from cnnzoo.core.threads import thread_pool
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.bit_depth import FULL_RANGE, Levels, explain_levels, guess_bit_depth, has_deep_levels, read_levels
from cnnzoo.data.decode import open_image, read_image_bytes, to_upright, upright_size
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.repair import repair_content

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SCAN_VERSION = 5  # of ImageFacts and of the checks; a new version discards all earlier scans
MAX_PALETTE_COLORS = 64  # a photo has more
MAX_FAINT_LEVEL = 8  # of 255: numbers of classes or a mask, hardly a picture
FILES_PER_COMMIT = 512
MAX_PAGES = 1000  # of a TIFF file that are counted
SUBFILE_TAG, PREVIEW_OR_MASK = 254, 1 | 4  # of TIFF, and bits of its value
FORMAT_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "ICO": (".ico",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}


@dataclass(frozen=True)
class ImageFacts:
    """The facts that the scan of one image file found."""

    digest: str = ""  # SHA-256 of the bytes
    format: str = ""
    mode: str = ""  # as Pillow calls it
    height: int = 0  # upright
    width: int = 0
    phash: int | None = None  # 64-bit perceptual hash; None without decoding, and for images of one color
    constant: bool = False  # whether all pixels are equal
    colors: int = 0  # of an image with a palette, if it has few
    levels: tuple[float, float] | None = None  # lowest and highest, of images of more than 8 bits
    faint: int = 0  # highest level of an 8-bit image, if that is at most MAX_FAINT_LEVEL
    repairs: str = ""  # faults of the file that were mended, in words
    unused: str = ""  # pages and frames beside the first one, in words
    problem: str = ""  # why the file cannot be used; empty if it can


FACT_TYPES: dict[str, Any] = {  # in JSON, where the levels are a list
    "digest": str,
    "format": str,
    "mode": str,
    "height": int,
    "width": int,
    "phash": int | None,
    "constant": bool,
    "colors": int,
    "levels": list | None,
    "faint": int,
    "repairs": str,
    "unused": str,
    "problem": str,
}
FileKey = tuple[bytes, int, int]  # absolute path, size in bytes, modification time in nanoseconds


def scan_images(
    images: Sequence[ListedImage], decode: bool = True, levels: Levels | None = None
) -> Iterator[ImageFacts]:
    """Yield the facts of each image, in order; unchanged files are taken from the cache of earlier scans.

    With `decode`, every image is decoded; otherwise only the headers are read. Images that need `levels` have a problem
    if these are None.
    """
    return (_check_levels(facts, levels) for facts in find_facts(images, decode))


def find_facts(images: Sequence[ListedImage], decode: bool = True) -> Iterator[ImageFacts]:
    """Yield the facts of each image as `scan_images` does, without asking for the levels of deep images."""
    with _open_scan_cache() as cache:
        for start in range(0, len(images), FILES_PER_COMMIT):
            chunk = images[start : start + FILES_PER_COMMIT]
            keys = [_file_key(image.source) for image in chunk]
            known = [
                image.facts or (cache.get(key, decode) if key else None) for image, key in zip(chunk, keys, strict=True)
            ]
            missing = [i for i, facts in enumerate(known) if facts is None]
            examined = thread_pool().map(examine_image, [chunk[i].source for i in missing], [decode] * len(missing))
            new = dict(zip(missing, examined, strict=True))
            # Problems are not stored: a missing permission, say, can be repaired without changing the file
            cache.put((key, facts, decode) for i, facts in new.items() if (key := keys[i]) and not facts.problem)
            for i, facts in enumerate(known):
                yield new[i] if facts is None else facts if decode else _without_pixels(facts)


def scan_with_progress(
    images: Sequence[ListedImage], decode: bool = True, levels: Levels | None = None, verbose: bool = True
) -> list[ImageFacts]:
    """Scan all images and show the progress; see `scan_images`."""
    with show_progress("Checking the images", len(images), "files", verbose) as progress:
        return list(progress.track(scan_images(images, decode, levels)))


def examine_image(source: Any, decode: bool = True) -> ImageFacts:
    """Return the facts of a path or an object with `read()`; without `decode`, the header is trusted."""
    facts: dict[str, Any] = {}
    try:
        encoded = source.read() if hasattr(source, "read") else read_image_bytes(source)
        facts["digest"] = hashlib.sha256(encoded).hexdigest()
        content, facts["repairs"], _ = repair_content(encoded)
        limits = None
        if decode:
            with open_image(content) as image:
                if has_deep_levels(image):
                    facts["levels"], limits = _inspect_levels(image)
        with open_image(content) as image:
            facts |= {"format": image.format, "mode": image.mode}
            facts |= dict(zip(("height", "width"), upright_size(image), strict=True))
            if decode:
                facts |= _inspect_pixels(image, limits)
        if decode and facts["format"] in ("TIFF", "GIF", "WEBP", "PNG"):
            facts["unused"] = _describe_other_pages(content)
    except InputError as error:
        facts["problem"] = str(error)
    return ImageFacts(**facts)


def _inspect_levels(image: "PillowImage") -> tuple[tuple[float, float], Levels | None]:
    """Return the lowest and the highest level of a deep image, and the levels to look at it with.

    An image that uses few bits is stretched to see its picture, which is nearly black otherwise.
    """
    levels = read_levels(image)
    low, high = levels.min().item(), levels.max().item()
    if not math.isfinite(low) or not math.isfinite(high):
        raise InputError("some pixels are NaN or infinite")
    if levels.dtype.kind == "f" or low < 0 or high > FULL_RANGE:
        return (low, high), (low, high if low < high else low + 1)
    bits = guess_bit_depth(high)
    return (low, high), (0, 2**bits - 1) if bits else None


def _without_pixels(facts: ImageFacts) -> ImageFacts:
    """Return what the header of an image tells."""
    return replace(facts, phash=None, constant=False, colors=0, levels=None, faint=0, unused="")


def _check_levels(facts: ImageFacts, levels: Levels | None) -> ImageFacts:
    """Return the facts with a problem if the image cannot be scaled to 8 bits without `levels`."""
    low, high = facts.levels or (0, 0)
    is_plain = facts.mode != "F" and low >= 0 and high <= FULL_RANGE
    if facts.problem or levels is not None or is_plain:
        return facts
    return replace(facts, problem=explain_levels(facts.mode == "F", low, high))


def _inspect_pixels(image: "PillowImage", limits: Levels | None = None) -> dict[str, Any]:
    """Return the facts that need the pixels: perceptual hash, palette size, and whether all are equal."""
    import imagehash

    colors = image.getcolors(MAX_PALETTE_COLORS) if image.mode in ("P", "PA", "1") else None
    upright = to_upright(image, levels=limits)
    extrema: Any = upright.getextrema()  # of each channel
    if all(low == high for low, high in extrema):
        return {"constant": True, "colors": 1}
    small = upright.convert("L").resize((256, 256), reducing_gap=2.0)
    bits = imagehash.phash(small).hash.ravel()
    return {
        "phash": int("".join("01"[int(bit)] for bit in bits), 2),
        "colors": len(colors or ()),
        "faint": _highest_faint_level(image, extrema),
    }


def _describe_other_pages(content: bytes) -> str:
    """Return what an image file holds beside the page or frame that is used, or ""; previews and masks do not count."""
    pages = 1
    with open_image(content) as image:
        if not getattr(image, "is_animated", False):
            return ""
        if image.format != "TIFF":
            return "an animation, of which the first frame is used"
        try:
            for page in range(1, MAX_PAGES):
                image.seek(page)
                pages += not image.tag_v2.get(SUBFILE_TAG, 0) & PREVIEW_OR_MASK  # type: ignore[attr-defined]
        except Exception:  # the end, or a page that is damaged; Pillow raises many types
            pass
    more = " or more" if pages == MAX_PAGES else ""
    return f"{pages:,}{more} pages, of which the first is used" if pages > 1 else ""


def _highest_faint_level(image: "PillowImage", extrema: Sequence[tuple[int, int]]) -> int:
    """Return the highest level of an 8-bit image that is nearly black, as masks of 0 and 1 are, else 0."""
    highest = max(high for _, high in extrema)
    return highest if highest <= MAX_FAINT_LEVEL and image.mode in ("L", "LA", "RGB", "RGBA") else 0


def _file_key(source: Any) -> FileKey | None:
    """Return path, size and modification time; None if the source is not a file."""
    try:
        status = Path(source).stat()
        return os.fsencode(Path(source).absolute()), status.st_size, status.st_mtime_ns
    except (OSError, TypeError, ValueError):
        return None


def parse_levels(pair: Any) -> tuple[float, float] | None:
    """Return the levels of `ImageFacts` from JSON; raise ValueError if they are no pair of numbers."""
    if pair is None:
        return None
    if len(pair) != 2 or not all(isinstance(level, int | float) for level in pair):
        raise ValueError(f"levels must be two numbers. Received: {pair!r:.100}")
    return pair[0], pair[1]


class _ScanCache:
    """The facts of earlier scans in a database; without a database, nothing is stored."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self.database = database

    def get(self, key: FileKey, decoded: bool) -> ImageFacts | None:
        """Return the facts of a file, if it was scanned as thoroughly and is stored correctly."""
        if self.database is None:
            return None
        query = "select facts from facts where path = ? and size = ? and changed = ? and pixels >= ?"
        try:
            row = self.database.execute(query, (*key, decoded)).fetchone()
            facts = ImageFacts(**parse_json(row[0], "the facts of a file")) if row else None
        except (sqlite3.Error, TypeError, ValueError):
            return None
        if not facts or facts.format not in FORMAT_SUFFIXES:
            return None
        if not all(isinstance(value, FACT_TYPES[name]) for name, value in asdict(facts).items()):
            return None
        try:
            return replace(facts, levels=parse_levels(facts.levels))
        except ValueError:
            return None

    def put(self, rows: Iterable[tuple[FileKey, ImageFacts, bool]]) -> None:
        """Store the facts of files."""
        if self.database is None:
            return
        lines = [(*key, decoded, json.dumps(asdict(facts))) for key, facts, decoded in rows]
        try:
            with self.database:
                self.database.executemany("insert or replace into facts values (?, ?, ?, ?, ?)", lines)
        except sqlite3.Error:  # a full disk, another process: the next scan examines the files again
            pass


@contextmanager
def _open_scan_cache() -> Iterator[_ScanCache]:
    """Open the cache of earlier scans in the cache folder, or an empty one if that is not possible."""
    try:
        path = cache_dir() / f"scans-{SCAN_VERSION}.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=30)
    except InputError as error:
        warn_caller(f"The results of this scan are not kept for the next one. {error}")
        yield _ScanCache(None)
        return
    except (sqlite3.Error, OSError):
        yield _ScanCache(None)
        return
    with closing(database):
        try:
            database.execute(
                "create table if not exists facts "
                "(path blob primary key, size int, changed int, pixels int, facts text)"
            )
        except sqlite3.Error:  # the file is damaged, or cannot be written
            yield _ScanCache(None)
        else:
            yield _ScanCache(database)

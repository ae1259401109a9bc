"""Resized images kept for the next epoch: uint8, one after the other, in memory or in a file."""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import cache_dir
from cnnzoo.data.transform import Transform

CACHE_MODES = ("auto", "memory", "disk", "none")
MAX_AUTO_BYTES = 2 * 2**30  # the most that "auto" keeps in memory; what is larger is decoded again
MAX_DISK_BYTES = 50 * 2**30  # the most that all files of "disk" take; the longest unused go first


class ImageCache:
    """Room for images of known shapes, and a mark for each that is there."""

    def __init__(self, shapes: Sequence[tuple[int, int, int]], path: Path | None, crops: bool) -> None:
        self.shapes, self.crops = shapes, crops  # whether training crops are taken from these
        self.begins = np.concatenate([[0], np.cumsum([math.prod(shape) for shape in shapes])])
        self.bytes = int(self.begins[-1])
        total = self.bytes + len(shapes)  # the marks are at the end
        if path is None:
            self.buffer: np.ndarray = np.zeros(total, "uint8")  # the system gives pages as they are written
        else:
            evict_for(path, total)
            self.buffer = np.memmap(path, "uint8", "r+" if path.exists() else "w+", shape=(total,))
            os.utime(path)
        self.marks = self.buffer[self.bytes :]

    def get(self, i: int) -> np.ndarray | None:
        """The image, or None where it has not been kept yet."""
        return self.buffer[self.begins[i] : self.begins[i + 1]].reshape(self.shapes[i]) if self.marks[i] else None

    def put(self, i: int, pixels: np.ndarray) -> None:
        """Keep an image; its mark comes after it, so that a stop in between loses no more than the work."""
        if pixels.shape != self.shapes[i]:
            raise InputError(
                f"An image is {pixels.shape} and was {self.shapes[i]} when it was scanned: it was replaced"
            )
        self.buffer[self.begins[i] : self.begins[i + 1]] = pixels.ravel()
        self.marks[i] = 1


def open_cache(
    sides: Sequence[tuple[int, int]], transform: Transform, where: str, key: str, training: bool
) -> ImageCache | None:
    """Room for images of these sides in memory, in a file of the cache folder named by `key`, or None.

    "auto" takes memory for transformed images, where that is 2 GiB at most, and never changes a pixel. With "memory"
    and "disk", what is kept for `training` is resized and not cropped yet: random crops are taken from that, which is
    faster and a little softer.
    """
    if where not in CACHE_MODES:
        raise unknown_name("cache", where, CACHE_MODES)
    crops = training and where in ("memory", "disk")
    shapes = [(*transform.sides(size), transform.channels) if crops else transform.shape for size in sides]
    total = sum(map(math.prod, shapes))
    if where == "none" or (where == "auto" and total > MAX_AUTO_BYTES):
        return None
    try:
        return ImageCache(shapes, cache_dir() / "images" / f"{key}.u8" if where == "disk" else None, crops)
    except (OSError, MemoryError) as error:
        why = getattr(error, "strerror", None) or error or "there is not enough memory"
        raise InputError(f"Resized images of {total / 2**30:.1f} GiB cannot be kept ({where}): {why}") from None


def evict_for(path: Path, total: int) -> None:
    """Make room for a file of `total` bytes: those not used for longest go. Raises InputError where it cannot be."""
    if path.exists() and path.stat().st_size == total:
        return
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if total > min(MAX_DISK_BYTES, free):
        raise InputError(
            f"The resized images take {total / 2**30:.1f} GiB; the cache folder has {free / 2**30:.1f} free and may "
            f"take {MAX_DISK_BYTES / 2**30:.0f}. cache='none' decodes every image anew"
        )
    others = sorted(path.parent.glob("*.u8"), key=lambda file: file.stat().st_mtime)
    used = sum(file.stat().st_size for file in others)
    for file in others:
        if used + total <= MAX_DISK_BYTES:
            break
        used -= file.stat().st_size
        file.unlink()

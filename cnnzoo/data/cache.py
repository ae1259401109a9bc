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

CACHE_MODES = ("auto", "memory", "device", "disk", "none")
CROPPED_MODES = ("memory", "device", "disk")  # keep photos uncropped, for the random crops of a training
MAX_AUTO_BYTES = 2 * 2**30  # the most that "auto" keeps in memory; larger sets are decoded again in every epoch
ZEROS = 2**20  # bytes that are written at once
MAX_DISK_BYTES = 50 * 2**30  # of all files of "disk" together; the least recently used are deleted first


class ImageCache:
    """Space for images of known shapes, with a mark for each that has been stored.

    `uncropped` is true if the images were resized but not cropped, so that training takes random crops of them.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], path: Path | None, uncropped: bool) -> None:
        self.shapes, self.uncropped = shapes, uncropped
        self.offsets = np.concatenate([[0], np.cumsum([math.prod(shape) for shape in shapes])])
        self.bytes = int(self.offsets[-1])
        total = self.bytes + len(shapes)  # the marks are at the end
        if path is None:
            self.buffer: np.ndarray = np.zeros(total, "uint8")  # the system allocates pages when they are written
        else:
            evict_for(path, total)
            reserve_file(path, total)
            self.buffer = np.memmap(path, "uint8", "r+", shape=(total,))
            os.utime(path)
        self.marks = self.buffer[self.bytes :]

    def get(self, i: int) -> np.ndarray | None:
        """Return image `i`, or None if it has not been stored yet."""
        return self.buffer[self.offsets[i] : self.offsets[i + 1]].reshape(self.shapes[i]) if self.marks[i] else None

    def put(self, i: int, pixels: np.ndarray) -> None:
        """Store an image. Its mark is written last, so an interruption in between loses only this image."""
        if pixels.shape != self.shapes[i]:
            raise InputError(
                f"An image has the shape {pixels.shape}, but had {self.shapes[i]} when it was scanned. Its "
                "file was replaced; load the data again"
            )
        self.buffer[self.offsets[i] : self.offsets[i + 1]] = pixels.ravel()
        self.marks[i] = 1


def open_cache(
    sizes: Sequence[tuple[int, int]], transform: Transform, mode: str, key: str, training: bool
) -> ImageCache | None:
    """Open a cache for images of these sizes, or return None if they are not to be cached.

    "auto" keeps transformed images in memory if they take 2 GiB at most, and never changes a pixel. With "memory",
    "device" and "disk", images for `training` are stored resized but uncropped: taking random crops from these is
    faster and a little softer than from the originals.

    Args:
        sizes: (height, width) of each image, upright.
        transform: brings the images to the model's size.
        mode: one of `CACHE_MODES`.
        key: name of the file in the cache folder, for "disk".
        training: whether random crops will be taken.

    Raises:
        InputError: if the mode is unknown, or there is not enough memory or disk space.
    """
    if mode not in CACHE_MODES:
        raise unknown_name("cache", mode, CACHE_MODES)
    uncropped = training and mode in CROPPED_MODES
    shapes = [(*transform.resized_size(size), transform.channels) if uncropped else transform.shape for size in sizes]
    total = sum(map(math.prod, shapes))
    if mode == "none" or (mode == "auto" and total > MAX_AUTO_BYTES):
        return None
    try:
        return ImageCache(shapes, cache_dir() / "images" / f"{key}.u8" if mode == "disk" else None, uncropped)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "there is not enough memory"
        raise InputError(f"Resized images of {total / 2**30:.1f} GiB cannot be cached ({mode}): {reason}") from None


def reserve_file(path: Path, total: int) -> None:
    """Create a file of `total` zeros, or keep it if it is there, with all of its space reserved on the disk.

    A file with holes would be created at once, but the process ends with a bus error if the disk is full when an image
    is written into a hole.

    Raises:
        OSError: if there is not enough space. A new file is deleted then.
    """
    is_new = not path.exists()
    try:
        with path.open("ab") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, total)
            elif is_new:  # macOS
                for start in range(0, total, ZEROS):
                    file.write(bytes(min(ZEROS, total - start)))
    except OSError:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def evict_for(path: Path, total: int) -> None:
    """Make room for a file of `total` bytes by deleting the least recently used ones; InputError if it cannot fit."""
    if path.exists() and path.stat().st_size == total:
        return
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if total > min(MAX_DISK_BYTES, free):
        raise InputError(
            f"The resized images take {total / 2**30:.1f} GiB; the cache folder has {free / 2**30:.1f} GiB free and "
            f"may take {MAX_DISK_BYTES / 2**30:.0f} GiB. cache='none' decodes every image again in each epoch"
        )
    others = sorted(path.parent.glob("*.u8"), key=lambda file: file.stat().st_mtime)
    used = sum(file.stat().st_size for file in others)
    for file in others:
        if used + total <= MAX_DISK_BYTES:
            break
        used -= file.stat().st_size
        file.unlink()

"""Read many image files in the worker processes of the data loader, for accelerators that wait for images."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import numpy as np

from cnnzoo.core.threads import available_cores
from cnnzoo.data.image_jobs import ImageJob
from cnnzoo.data.loader import MAX_AUTO_WORKERS, MIN_AUTO_IMAGES, can_start_workers
from cnnzoo.data.packed_image import PackedImage
from cnnzoo.data.pipeline import ImagePipeline
from cnnzoo.data.transform import Transform
from cnnzoo.data.worker_pool import WorkerPool
from cnnzoo.inference.inputs import NamedImage

IMAGES_PER_JOB = 8
JOBS_AHEAD = 3  # for each worker
FILE_KINDS = (str, bytes, os.PathLike, PackedImage)  # what processes read


class FileJob(ImageJob):
    """Reads image files, given by their paths, bytes or places in packed data, at the size of the network."""

    def __init__(self, images: list[NamedImage], transform: Transform) -> None:
        out = np.empty((len(images), *transform.shape), "uint8")
        pipeline = ImagePipeline(transform)
        super().__init__(out, pipeline, range(len(images)), [None] * len(images), out)
        self.named_images = images

    def find_source(self, number: int) -> str | bytes | PackedImage:
        """Return the path or the bytes of image `number`, or its place in packed data."""
        source = self.named_images[number][1]
        assert isinstance(source, FILE_KINDS)
        return source if isinstance(source, bytes | PackedImage) else os.fsdecode(source)

    def describe_image(self, number: int) -> str:
        """Return the name of image `number`."""
        return self.named_images[number][0]


def count_reading_workers(images: int) -> int:
    """Return how many processes read so many images for an accelerator; 0 for threads of this process."""
    cores = available_cores()
    return 0 if images < MIN_AUTO_IMAGES or cores < 2 or not can_start_workers() else min(cores, MAX_AUTO_WORKERS)


def read_in_processes(
    images: Iterator[NamedImage],
    transform: Transform,
    workers: int,
    read: Callable[[NamedImage], tuple[str, np.ndarray, str]],
) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield name, pixels and error of each image, in order, read ahead by processes.

    Args:
        images: the names and the sources of the images.
        transform: brings them to the size of the network.
        workers: number of processes.
        read: reads one image in this process: those that are neither files nor bytes, and those of a job in which one
            could not be read, so that each gets its own error.
    """
    pool = WorkerPool(workers)
    pending: deque[tuple[list[NamedImage], FileJob | None, Future[None] | None]] = deque()
    try:
        while chunk := list(itertools.islice(images, IMAGES_PER_JOB)):
            if all(isinstance(source, FILE_KINDS) for _, source in chunk):
                job = FileJob(chunk, transform)
                pending.append((chunk, job, pool.submit(job)))
            else:
                pending.append((chunk, None, None))
            if len(pending) > JOBS_AHEAD * workers:
                yield from _take_job(*pending.popleft(), read)
        while pending:
            yield from _take_job(*pending.popleft(), read)
    finally:
        pool.close()


def _take_job(
    chunk: list[NamedImage],
    job: FileJob | None,
    future: Future[None] | None,
    read: Callable[[NamedImage], tuple[str, np.ndarray, str]],
) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield name, pixels and error of the images of a job, once it is done."""
    if job is None or future is None or future.exception() is not None:
        yield from map(read, chunk)
        return
    for (name, _), pixels in zip(chunk, job.out, strict=True):
        yield name, pixels, ""

"""The data loader: loads the images of batches ahead of time, in threads of this process or in worker processes.

Whatever it uses, the pixels are the same, because all of them run `cnnzoo.data.pipeline`.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.threads import available_cores, check_worker_count, thread_pool
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.image_jobs import split_into_jobs
from cnnzoo.data.photos import Photos
from cnnzoo.data.pipeline import ImagePipeline
from cnnzoo.data.worker_pool import WorkerPool

Workers = int | str  # a number of processes, or "auto"
MAX_AUTO_WORKERS = 16  # more do not help a single accelerator, and each takes some 40 MB
MIN_AUTO_IMAGES = 500  # of a split; fewer are loaded in less time than processes take to start
IMAGES_PER_THREAD_JOB, IMAGES_PER_PROCESS_JOB = 8, 16
WAIT_SECONDS = 1.0  # at a time, for a job; Ctrl-C is noticed after that at the latest
JOBS_AHEAD = 3  # for each worker or thread
MAX_BATCHES_AHEAD, MAX_BYTES_AHEAD = 16, 256 * 2**20


class PendingImages(NamedTuple):
    """The images of a batch, and the jobs that are filling them in."""

    images: np.ndarray
    jobs: list[Future[None]]

    def wait(self) -> np.ndarray:
        """Return the images once all are loaded; raise the error of the first that cannot be."""
        for job in self.jobs:
            # In steps, because Python notices a signal that comes just before it waits only after that
            while not job.done():
                with suppress(TimeoutError):
                    job.exception(timeout=WAIT_SECONDS)
            job.result()
        return self.images

    def cancel(self) -> None:
        """Cancel the jobs that have not begun."""
        for job in self.jobs:
            job.cancel()


class Loader:
    """Loads images as `workers` says; the splits of a data set share one, and with it its worker processes.

    The processes are started when they are first used. They end with the loader, or a minute after their last job.

    Args:
        workers: number of worker processes; 0 for threads of this process. "auto" decides for each split, see
            `count_workers`.
        share: number of trainings at a time that share the cores, for "auto".
    """

    def __init__(self, workers: Workers = "auto", share: int = 1) -> None:
        self.workers, self.share = workers, share
        self.pool: WorkerPool | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"pool": None}  # another process starts its own

    def count_workers(self, images: np.ndarray | Photos, pipeline: ImagePipeline) -> int:
        """Return how many processes load the images of a split; 0 for threads of this process.

        "auto" uses a process for each core, up to 16, for 500 image files or more. Threads load smaller sets, arrays
        and images that come from the cache as they are.
        """
        if isinstance(images, Photos) and images.is_cached(pipeline):
            return 0
        if isinstance(self.workers, int):
            return self.workers
        is_small = len(images) < MIN_AUTO_IMAGES or not isinstance(images, Photos)
        cores = available_cores() // self.share
        return 0 if is_small or cores < 2 or not can_start_workers() else min(cores, MAX_AUTO_WORKERS)

    def start(
        self,
        images: np.ndarray | Photos,
        pipeline: ImagePipeline,
        indices: Sequence[int],
        seeds: Sequence[int | None],
    ) -> PendingImages:
        """Begin to load some images.

        Args:
            images: the images of a split.
            pipeline: what is done with each.
            indices: which images to load.
            seeds: what decides everything that is random, for each image.
        """
        if isinstance(images, np.ndarray) and pipeline.is_copy:
            return PendingImages(images[indices], [])
        count = self.count_workers(images, pipeline)
        size = IMAGES_PER_PROCESS_JOB if count else IMAGES_PER_THREAD_JOB
        out = np.empty((len(indices), *images.shape[1:]), images.dtype)
        jobs = split_into_jobs(images, pipeline, indices, seeds, out, size)
        if count:
            pool = self._open_pool(count)
            return PendingImages(out, [pool.submit(job) for job in jobs])
        return PendingImages(out, [thread_pool().submit(job.run) for job in jobs])

    def batches_ahead(self, images: np.ndarray | Photos, pipeline: ImagePipeline, batch_size: int) -> int:
        """Return how many batches to load ahead, so that every worker has enough to do and memory is bounded."""
        count = self.count_workers(images, pipeline)
        size = IMAGES_PER_PROCESS_JOB if count else IMAGES_PER_THREAD_JOB
        wanted = math.ceil(JOBS_AHEAD * size * (count or available_cores()) / batch_size)
        affordable = MAX_BYTES_AHEAD // (batch_size * math.prod(images.shape[1:]) * images.dtype.itemsize)
        return max(min(wanted, affordable, MAX_BATCHES_AHEAD), 1)

    def _open_pool(self, size: int) -> WorkerPool:
        """Return the pool of so many workers; a process that was forked from another has its own."""
        if self.pool is None or (self.pool.size, self.pool.owner) != (size, os.getpid()):
            self.pool = WorkerPool(size)
        return self.pool


def can_start_workers() -> bool:
    """Return whether worker processes can be started: not on Windows, nor in frozen programs without a Python."""
    return os.name == "posix" and bool(sys.executable) and not getattr(sys, "frozen", False)


def check_workers(workers: object) -> Workers:
    """Return a valid number of worker processes, or "auto"; warn if it is larger than the number of cores.

    Raises:
        InputError: if it is anything else, or no processes can be started here.
    """
    number, cores = check_worker_count(workers), available_cores()
    if isinstance(number, str):
        return number
    if number and not can_start_workers():
        raise InputError(f"Worker processes cannot be started here; use workers=0 or 'auto'. Received: {number}")
    if number > cores:
        warn_caller(
            f"{number} worker processes share {cores} core{'' if cores == 1 else 's'}: more workers than cores load no "
            "image sooner, and each takes memory"
        )
    return number

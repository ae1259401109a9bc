"""A pool of worker processes that load images: one thread of this process looks after each of them."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from cnnzoo.data.image_jobs import ImageJob
from cnnzoo.data.worker_process import WorkerError, WorkerProcess

Jobs = queue.SimpleQueue[Any]  # of (job, future), or None to end a thread
_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


class WorkerPool:
    """Worker processes, which are started by their first jobs and end with the pool, or when they are idle for long."""

    def __init__(self, size: int) -> None:
        self.size, self.owner = size, os.getpid()
        self.jobs: Jobs = queue.SimpleQueue()
        self.workers = [WorkerProcess() for _ in range(size)]
        for i, worker in enumerate(self.workers):
            # The threads must not hold the pool, which is closed when nobody uses it any more
            name = f"cnnzoo worker {i}"
            threading.Thread(target=_serve, args=(self.jobs, worker), name=name, daemon=True).start()
        self.close = weakref.finalize(self, _close, self.jobs, self.workers, self.owner)
        _pools.add(self)

    def submit(self, job: ImageJob) -> Future[None]:
        """Let the next free worker do a job."""
        future: Future[None] = Future()
        self.jobs.put((job, future))
        return future

    def process_ids(self) -> list[int]:
        """Return the ids of the processes that run."""
        return [worker.process.pid for worker in self.workers if worker.process]


def _serve(jobs: Jobs, worker: WorkerProcess) -> None:
    """Give jobs to a worker, and set the futures of those that are done, until the queue holds None."""
    running: deque[Future[None]] = deque()
    waiting: tuple[ImageJob, Future[None]] | None = None  # taken from the queue, but not sent
    while True:
        # Send what there is, so that the worker has its next job when it is done with one
        while worker.has_room():
            if waiting is None:
                try:
                    waiting = jobs.get(block=not running)
                except queue.Empty:
                    break
                if waiting is None:  # closed
                    _fail(worker, WorkerError("was closed"), running)
                    worker.dispose()
                    return
                if not waiting[1].set_running_or_notify_cancel():
                    waiting = None
                    continue
            try:
                if not worker.send(waiting[0]):
                    break
                running.append(waiting[1])
            except WorkerError as error:
                _fail(worker, error, [*running, waiting[1]])
                running.clear()
            except Exception as error:
                waiting[1].set_exception(error)
            waiting = None

        # The answer to the oldest job
        if running:
            try:
                worker.receive()
                running.popleft().set_result(None)
            except WorkerError as error:
                _fail(worker, error, running)
                running.clear()
            except Exception as error:
                running.popleft().set_exception(error)


def _fail(worker: WorkerProcess, error: WorkerError, futures: Iterable[Future[None]]) -> None:
    """End a process that died or hung, and fail its jobs with an error that names the image."""
    failure = worker.describe_failure(error)
    worker.end()
    for future in futures:
        future.set_exception(failure)


def _close(jobs: Jobs, workers: list[WorkerProcess], owner: int) -> None:
    """End all processes and their threads at once."""
    if owner != os.getpid():
        return
    for worker in workers:
        worker.close()
    with suppress(queue.Empty):
        while True:
            jobs.get_nowait()[1].cancel()
    for _ in workers:
        jobs.put(None)


def _forget_pools() -> None:
    """Let go of the workers of the process that this one was forked from, so that they notice its end."""
    for pool in list(_pools):
        pool.close.detach()
        for worker in pool.workers:
            worker.dispose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)

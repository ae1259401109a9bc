"""A pool of worker processes that load images: one thread of this process looks after each of them."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
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
    is_open = True
    while is_open or running:
        try:
            # Send what there is, so that the worker has its next job when it is done with one
            while is_open and worker.has_room() and (waiting or not running or not jobs.empty()):
                waiting = waiting or jobs.get()
                if waiting is None:
                    is_open = False
                elif not waiting[1].set_running_or_notify_cancel():
                    waiting = None
                elif not worker.send(waiting[0]):
                    break
                else:
                    running.append(waiting[1])
                    waiting = None
            if running:
                worker.receive()
                running.popleft().set_result(None)
        except WorkerError as died:
            error: Exception = worker.describe_failure(died)
            worker.end()
            failed = [*running, waiting[1]] if waiting else [*running]
            running.clear()
            waiting = None
            for future in failed:
                future.set_exception(error)
        except Exception as failure:
            future = waiting[1] if waiting else running.popleft()
            waiting = None
            future.set_exception(failure)
    worker.dispose()


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

"""One worker process, as its parent sees it: start it, give it jobs, notice that it died or hangs."""

from __future__ import annotations

import itertools
import json
import math
import mmap
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.image_jobs import ImageJob
from cnnzoo.data.pipeline import ImagePipeline
from cnnzoo.data.worker import IDLE_STATUS, LENGTH, PROGRESS_BYTES, read_message

HANG_SECONDS = 300  # without progress at one image, after which a worker is given up; a file server may be slow
START_SECONDS = 120  # that a worker may take to start
IDLE_SECONDS = 60.0  # without a job, after which a worker ends; the next job starts another
JOBS_AT_ONCE = 2  # one that is done, and one that waits in the pipe, so that the worker does not wait
ALIGNMENT = 64  # bytes, of the places of images in the shared memory
# The path is that of the parent, so that cnnzoo is found wherever the parent found it.
PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from cnnzoo.data import worker; worker.main(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))"
)
# Each worker uses one core, so libraries must not start a thread for each core in each worker.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Memory that is returned to the system after each image costs 8 % of the time, in which its pages come back as zeros.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26)}
FEWER = "load_data(..., workers=1) starts fewer processes, and workers=0 (--workers 0) none"


class WorkerError(Exception):
    """The worker process has ended, or was ended because it hung; holds the reason."""


@dataclass
class RunningJob:
    """A job that was sent to the process, and is not answered yet."""

    job: ImageJob
    numbers: list[int]  # of the images of the job that the process loads; the others needed no work
    message: dict[str, Any]
    slot: int  # which part of the shared memory is its own


class WorkerProcess:
    """A process that loads images, started with its first job. One thread uses it at a time."""

    def __init__(self) -> None:
        self.owner, self.closed = os.getpid(), False
        self.process: subprocess.Popen[bytes] | None = None
        self.memory: IO[bytes] | None = None  # shared with the process
        self.map: mmap.mmap | None = None
        self.slot_bytes = 0
        self.job_ids = itertools.count(1)
        self.running: list[RunningJob] = []  # the oldest first
        self.pipelines: dict[ImagePipeline, int] = {}  # their numbers in the messages
        self.sent_pipelines: set[ImagePipeline] = set()  # to the process that runs

    # Jobs

    def has_room(self) -> bool:
        """Return whether another job may be sent before the answer to the first one."""
        return len(self.running) < JOBS_AT_ONCE

    def send(self, job: ImageJob) -> bool:
        """Send a job to the process; return False if it must wait for the answers to the running jobs.

        Raises:
            InputError: if the process cannot be started, or there is not enough memory.
            WorkerError: if it hangs.
        """
        # Places in the shared memory; images that need no work are copied now
        numbers: list[int] = []
        images: list[Any] = []
        end = 0
        for number in range(len(job.indices)):
            source = job.find_source(number)
            if isinstance(source, np.ndarray) and job.pipeline.is_copy:
                job.store(number, source, None)
                continue
            start, kept_shape = end, job.kept_shape(number, source)
            end += _aligned(job.out[number].nbytes)
            kept = None if kept_shape is None else (end, kept_shape)
            end += 0 if kept_shape is None else _aligned(math.prod(kept_shape))
            numbers.append(number)
            images.append((source, job.seeds[number], start, kept))
        if self.running and end > self.slot_bytes:
            return False

        # The message
        self._start()
        self._reserve(end)
        slot = next(i for i in range(JOBS_AT_ONCE) if all(i != running.slot for running in self.running))
        message = {
            "id": next(self.job_ids),
            "folder": _current_folder(),
            "pipeline": self.pipelines.setdefault(job.pipeline, len(self.pipelines)),
            "begin": PROGRESS_BYTES + slot * self.slot_bytes,
            "memory_bytes": PROGRESS_BYTES + JOBS_AT_ONCE * self.slot_bytes,
            "shape": job.out.shape[1:],
            "dtype": job.out.dtype.str,
            "images": images,
        }
        self.running.append(RunningJob(job, numbers, message, slot))
        self._write(self.running[-1])
        return True

    def receive(self) -> None:
        """Wait for the answer to the oldest job, and put its images in their places.

        Raises:
            InputError: if an image cannot be loaded. The message names the image.
            WorkerError: if the process died or hung.
        """
        failure = self._read_answer()
        running = self.running.pop(0)
        job, message = running.job, running.message
        if failure is not None:
            number, content = failure
            error = pickle.loads(content)
            is_known = isinstance(error, InputError) and running.numbers
            raise job.name_image(running.numbers[number], error) if is_known else error
        for number, (_, _, start, kept) in zip(running.numbers, message["images"], strict=True):
            pixels = self._pixels(message["begin"] + start, message["shape"], message["dtype"])
            job.store(number, pixels, None if kept is None else self._pixels(message["begin"] + kept[0], kept[1]))

    def _pixels(self, offset: int, shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
        """Return the pixels at an offset of the shared memory."""
        assert self.map
        return np.frombuffer(self.map, dtype, math.prod(shape), offset).reshape(shape)

    # Messages

    def _write(self, running: RunningJob) -> None:
        """Write a job to the pipe, with its pipeline if the process has not had it yet."""
        assert self.process
        assert self.process.stdin
        pipeline = running.job.pipeline
        is_new = pipeline not in self.sent_pipelines
        self.sent_pipelines.add(pipeline)
        content = pickle.dumps(running.message | {"new_pipeline": pipeline if is_new else None}, protocol=5)
        view, pipe = memoryview(LENGTH.pack(len(content)) + content), self.process.stdin.fileno()
        while view:
            self._wait_for(pipe, select.POLLOUT, HANG_SECONDS)
            try:
                view = view[os.write(pipe, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:  # the end of the other pipe tells why
                return

    def _read_answer(self) -> tuple[int, bytes] | None:
        """Read the answer to the oldest job; a process that has ended because it was idle is started again."""
        while True:
            assert self.process
            assert self.process.stdout
            pipe = self.process.stdout.fileno()
            self._wait_for(pipe, select.POLLIN, HANG_SECONDS)
            answer = read_message(pipe)
            if answer is not None:
                failure: tuple[int, bytes] | None = answer[1]
                return failure
            status = self.process.wait()
            if status != IDLE_STATUS:
                raise WorkerError(_describe_end(status))
            running_jobs = self.running
            self.end()
            self._start()
            self.running = running_jobs
            for running in running_jobs:
                self._write(running)

    def _wait_for(self, pipe: int, event: int, seconds: float) -> None:
        """Wait until a pipe is ready; raise WorkerError if no image is finished for so many seconds.

        Seconds in which this process, or the whole machine, was stopped do not count.
        """
        poll = select.poll()
        poll.register(pipe, event)
        last, waited = self._progress(), 0
        while not poll.poll(1000):
            waited += 1
            if (progress := self._progress()) != last:
                last, waited = progress, 0
            elif waited >= seconds:
                raise WorkerError(f"did not respond for {seconds:g} seconds")

    def _progress(self) -> tuple[int, int]:
        """Return the id of the job that the process works at, and the number of the image in it."""
        if self.map is None:
            return 0, 0
        job_id, number = np.frombuffer(self.map, "uint64", 2).tolist()
        return job_id, number

    def describe_failure(self, error: WorkerError) -> InputError:
        """Return an InputError that names the image at which the process died or hung."""
        job_id, number = self._progress()
        if not self.running:
            return InputError(f"A worker process {error}. {FEWER}")
        running = next((running for running in self.running if running.message["id"] == job_id), None)
        if running is None:
            running, number = self.running[0], 0
        name = running.job.describe_image(running.numbers[number]) if running.numbers else "an image in the cache"
        return InputError(f"The worker process that was loading {name} {error}. {FEWER}")

    # The process

    def _start(self) -> None:
        """Start the process unless it runs.

        Raises:
            InputError: if that is not possible.
        """
        if self.process is not None:
            return
        if self.closed:
            raise InputError("The worker processes were closed, because the data is no longer used")
        self.memory = self.memory or anonymous_file("cnnzoo images")
        errors = anonymous_file("cnnzoo worker's errors")
        path = json.dumps([folder for folder in sys.path if isinstance(folder, str)])
        numbers = os.getpid(), self.memory.fileno(), IDLE_SECONDS
        command = [sys.executable, "-c", PROGRAM, path, *map(str, numbers)]
        try:
            self.process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[self.memory.fileno()],
                env=os.environ | ONE_THREAD | KEEP_MEMORY,
                start_new_session=True,  # so that Ctrl-C reaches the parent alone
            )
        except OSError as error:
            raise InputError(f"Cannot start a worker process: {error.strerror or error}. {FEWER}") from None
        assert self.process.stdin
        assert self.process.stdout
        os.set_blocking(self.process.stdin.fileno(), False)
        self.sent_pipelines = set()
        with errors:
            try:
                self._wait_for(self.process.stdout.fileno(), select.POLLIN, START_SECONDS)
                if read_message(self.process.stdout.fileno()) is None:
                    raise WorkerError(_describe_end(self.process.wait()))
            except WorkerError as died:
                self.end()
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                reason = f": {lines[-1]}" if lines else ""
                raise InputError(f"A worker process {died} while it started{reason}. {FEWER}") from None

    def _reserve(self, slot_bytes: int) -> None:
        """Enlarge the shared memory, if necessary, so that each job may have so many bytes; no job must run."""
        if slot_bytes <= self.slot_bytes and self.map is not None:
            return
        assert self.memory
        total = PROGRESS_BYTES + JOBS_AT_ONCE * slot_bytes
        try:
            # Otherwise the process would end with a bus error where memory is missing
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.memory.fileno(), 0, total)
            else:
                os.truncate(self.memory.fileno(), total)
            self.map = mmap.mmap(self.memory.fileno(), total)
        except OSError as error:
            raise InputError(
                f"Cannot reserve {total / 2**20:.0f} MiB of memory for the images of a worker process: "
                f"{error.strerror or error}. {FEWER}"
            ) from None
        self.slot_bytes = slot_bytes

    def end(self) -> None:
        """End the process, if it runs, and close its pipes."""
        process, self.process = self.process, None
        self.running = []
        if process is None:
            return
        if self.owner == os.getpid():
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        else:
            process.returncode = 0  # it is no child of this process, which was forked, and goes on
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def dispose(self) -> None:
        """End the process, and free the shared memory."""
        self.end()
        self.map = None
        if self.memory is not None:
            self.memory.close()

    def close(self) -> None:
        """End the process, whatever it is doing, and start no other one; called from any thread."""
        self.closed = True
        process = self.process
        if process is not None:
            process.kill()


def anonymous_file(name: str) -> IO[bytes]:
    """Return a file without a path: in memory on Linux, whatever the size of /dev/shm; elsewhere on the disk."""
    try:
        if hasattr(os, "memfd_create"):
            return os.fdopen(os.memfd_create(name), "w+b", buffering=0)
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise InputError(f"Cannot reserve memory for worker processes: {error.strerror or error}. {FEWER}") from None


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _current_folder() -> str | None:
    """Return the working directory, by which relative paths are found; None if it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


def _describe_end(status: int) -> str:
    """Return in words how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    number = -status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return f"was killed ({name}), as the system does when memory runs out"
    return f"crashed ({name})"

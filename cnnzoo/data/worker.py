"""The program of a worker process: takes jobs from a pipe and writes pixels into shared memory.

It imports NumPy and Pillow, and never Keras, TensorFlow or JAX, so it starts in a fraction of a second. It ends with
its parent: at the end of the pipe, or when it has another parent process.

A message is its length in eight bytes and a pickle. The shared memory begins with two numbers, the job that is being
done and the image of that job; after them come the pixels, at the offsets that the job says.
"""

import mmap
import os
import pickle
import select
import signal
import struct
import threading
import traceback
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.pipeline import ImagePipeline  # unpickled from jobs; imported before the first one

LENGTH = struct.Struct("<Q")
PROGRESS_BYTES = 64  # at the start of the shared memory; two uint64 are used
WATCH_SECONDS = 1.0  # between two looks at the parent process
IDLE_STATUS = 75  # of a process that ends because it has no job
CHUNK = 2**20  # bytes that are read at once


def main(parent: int, memory: int, idle_seconds: float) -> None:
    """Serve the process `parent` until it ends, or gives no job for a while.

    Args:
        parent: id of the process.
        memory: file descriptor of the shared memory.
        idle_seconds: without a job, after which this process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    replies = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print must not get between the messages
    threading.Thread(target=watch_parent, args=(parent, 0), daemon=True).start()
    write_message(replies, ("ready", None))
    # What libraries print about images would fill the memory; errors are answers
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    Worker(0, replies, memory, idle_seconds).serve()
    os._exit(IDLE_STATUS)


def watch_parent(parent: int, jobs: int) -> None:
    """End this process, whatever it is doing, as soon as its parent has gone or has closed the pipe of jobs."""
    poll = select.poll()
    poll.register(jobs, 0)  # its end alone
    # A process that was forked from the parent may hold the pipe open, so the pipe's end may never come
    while not poll.poll(1000 * WATCH_SECONDS) and os.getppid() == parent:
        pass
    os._exit(0)


class Worker:
    """Does the jobs of one pipe."""

    def __init__(self, jobs: int, replies: int, memory: int, idle_seconds: float) -> None:
        self.jobs, self.replies, self.memory, self.idle_seconds = jobs, replies, memory, idle_seconds
        self.pipelines: dict[int, ImagePipeline] = {}
        self.folder: str | None = None
        self.map: mmap.mmap | None = None

    def serve(self) -> None:
        """Do one job after the other, until nothing comes for a while."""
        poll = select.poll()
        poll.register(self.jobs, select.POLLIN)
        while poll.poll(1000 * self.idle_seconds):
            message = read_message(self.jobs)
            if message is None:  # the end of the pipe
                os._exit(0)
            write_message(self.replies, ("done", self.do(message)))

    def do(self, job: dict[str, Any]) -> tuple[int, bytes] | None:
        """Load the images of a job; return None, or the number of the image that failed and the pickled error."""
        number = 0
        try:
            if job["folder"] != self.folder:
                self.folder = job["folder"]
                os.chdir(self.folder)
            if job["new_pipeline"] is not None:
                self.pipelines[job["pipeline"]] = job["new_pipeline"]
            pipeline, shape = self.pipelines[job["pipeline"]], job["shape"]
            buffer, begin = self.map_memory(job["memory_bytes"]), job["begin"]
            progress = np.frombuffer(buffer, "uint64", 2)
            for number, (source, seed, offset, kept_place) in enumerate(job["images"]):
                progress[:] = job["id"], number
                pixels, kept = pipeline.load(source, seed)
                put_pixels(buffer, begin + offset, pixels, shape, job["dtype"])
                if kept_place is not None and kept is not None:
                    put_pixels(buffer, begin + kept_place[0], kept, kept_place[1])
        except Exception as error:
            return number, pickle_error(error)
        return None

    def map_memory(self, size: int) -> mmap.mmap:
        """Return the shared memory, which the parent may have enlarged."""
        if self.map is None or len(self.map) < size:
            self.map = mmap.mmap(self.memory, size)
        return self.map


def put_pixels(
    buffer: mmap.mmap, offset: int, pixels: np.ndarray, shape: tuple[int, ...], dtype: str = "uint8"
) -> None:
    """Write pixels into the shared memory; raise InputError if they do not have the shape that was expected."""
    if pixels.shape != shape:
        raise InputError(
            f"the image has the shape {pixels.shape} instead of {shape}. Its file was replaced; load the data again"
        )
    np.frombuffer(buffer, dtype, pixels.size, offset).reshape(shape)[:] = pixels


def pickle_error(error: Exception) -> bytes:
    """Return a pickled exception; one that cannot be pickled becomes a RuntimeError with its traceback."""
    try:
        if not isinstance(error, InputError):
            error.add_note("".join(traceback.format_exception(error)))
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:
        return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
    return content


def write_message(pipe: int, message: Any) -> None:
    """Write a message to a pipe, waiting for its reader."""
    content = pickle.dumps(message, protocol=5)
    view = memoryview(LENGTH.pack(len(content)) + content)
    while view:
        view = view[os.write(pipe, view) :]


def read_message(pipe: int) -> Any:
    """Read a message from a pipe; return None at its end."""
    head = read_bytes(pipe, LENGTH.size)
    content = read_bytes(pipe, LENGTH.unpack(head)[0]) if head else None
    return None if content is None else pickle.loads(content)


def read_bytes(pipe: int, count: int) -> bytes | None:
    """Read exactly `count` bytes; return None if the pipe ends before."""
    parts, missing = [], count
    while missing:
        part = os.read(pipe, min(missing, CHUNK))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)

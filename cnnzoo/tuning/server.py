"""Processes for trials: a server that has imported TensorFlow, and run nothing, forks one in a moment.

TensorFlow keeps some memory of every model until its process ends, so each trial has its own.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from cnnzoo.errors import TrainingError

START = "import sys; from cnnzoo.tuning import server; server.serve(int(sys.argv[1]))"
WORK = 0.5  # seconds of a processor, fewer than which are no sign of life
LOOK = 0.5  # seconds between looks at the memory and the progress of the children


@dataclass(frozen=True)
class Limits:
    """What ends a trial's process: bytes of resident memory, and seconds in which it did nothing."""

    memory: float
    silence: float


class Server:
    """A process that forks others; a context manager, with which all of them end."""

    def __init__(self, task: Any, limits: Limits) -> None:
        """`task` is called with each job in a process of its own."""
        ours, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-c", START, str(theirs.fileno())]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=quiet)
        theirs.close()
        self.connection, self.lock = ours, threading.Lock()
        self.waiting: dict[int, Future[tuple[str, Any]]] = {}
        self.count = 0
        ours.send((task, limits))
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()  # which the server takes as the end of all
        self.process.terminate()
        self.process.wait()

    def run(self, job: Any) -> tuple[str, Any]:
        """("done", what the task returned) or ("failed", why), once the job's process has ended."""
        future: Future[tuple[str, Any]] = Future()
        with self.lock:
            self.count += 1
            number = self.count
            self.waiting[number] = future
            self.connection.send((number, job))
        return future.result()

    def _listen(self) -> None:
        try:
            while True:
                number, outcome = self.connection.recv()
                self.waiting.pop(number).set_result(outcome)
        except (EOFError, OSError):
            error = TrainingError("The process that starts the trials has ended; the same call goes on from here")
            for future in self.waiting.values():
                future.set_exception(error)


@dataclass
class _Child:
    process: Any
    connection: Connection
    outcome: tuple[str, Any] | None = None
    worked: float = 0.0  # seconds of processors
    at: float = 0.0  # when that was seen

    def look(self, limits: Limits) -> bool:
        """Whether the child has ended, by itself or as it went past a limit."""
        if self.outcome is None and self.connection.poll():
            with contextlib.suppress(EOFError):
                self.outcome = self.connection.recv()
        if self.process.is_alive():
            if (why := self._past(limits)) and self.outcome is None:
                self.outcome = "failed", why
                self.process.kill()
            return False
        self.process.join()
        if self.outcome is None:
            self.outcome = "failed", _ending(self.process.exitcode)
        return True

    def _past(self, limits: Limits) -> str | None:
        try:
            there = psutil.Process(self.process.pid)
            used, worked = there.memory_info().rss, sum(there.cpu_times()[:2])
        except psutil.Error:
            return None
        if worked >= self.worked + WORK:
            self.worked, self.at = worked, time.monotonic()
        if used > limits.memory:
            return f"It used {used / 1e9:.1f} GB of memory, more than the {limits.memory / 1e9:.1f} GB that a trial may"
        if (silent := time.monotonic() - self.at) > limits.silence:
            return f"It did nothing for {silent:.0f} s"
        return None


def _ending(code: int) -> str:
    """Why a process ended that left no word."""
    if code >= 0:
        return f"Its process ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"Its process was killed by {name}" + (", as the machine does when memory runs out" if -code == 9 else "")


def _child(task: Any, job: Any, connection: Connection, server: int) -> None:
    """A job in its process, which does not outlive the server."""

    def follow() -> None:
        while os.getppid() == server:
            time.sleep(LOOK)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which ends its children
    threading.Thread(target=follow, daemon=True).start()
    connection.send(task(job))


def serve(fileno: int) -> None:
    """Fork a child for each job, watch them, and tell of their ends, until the search hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import keras

    import cnnzoo.tuning.trial  # noqa: F401  # all that takes long to import

    connection = Connection(fileno)
    task, limits = connection.recv()
    # JAX and torch have threads at work once they are imported, which a fork loses
    context: Any = multiprocessing.get_context("fork" if keras.backend.backend() == "tensorflow" else "spawn")
    children: dict[int, _Child] = {}
    while True:
        wait([connection, *(child.process.sentinel for child in children.values())], timeout=LOOK)
        while connection.poll():
            try:
                number, job = connection.recv()
            except EOFError:
                for child in children.values():
                    child.process.kill()
                return
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(task, job, theirs, os.getpid()))
            process.start()
            theirs.close()
            children[number] = _Child(process, ours, at=time.monotonic())
        for number in [number for number, child in children.items() if child.look(limits)]:
            connection.send((number, children.pop(number).outcome))

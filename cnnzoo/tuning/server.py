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

from cnnzoo.core.errors import TrainingError

SERVER_CODE = "import sys; from cnnzoo.tuning import server; server.serve(int(sys.argv[1]))"
SERVER_ENDED = "The process that starts the trials has ended; the same call goes on from here"
MIN_CPU_SECONDS = 0.5  # seconds of a processor, fewer than which are no sign of life
POLL_SECONDS = 0.5  # seconds between looks at the memory and the progress of the children


@dataclass(frozen=True)
class Limits:
    """What ends a trial's process: bytes of memory of its own, and seconds in which it did nothing."""

    memory: float
    silence: float


class TrialServer:
    """A process that forks others; a context manager, with which all of them end."""

    def __init__(self, task: Any, limits: Limits) -> None:
        """`task` is called with each job in a process of its own."""
        ours, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-c", SERVER_CODE, str(theirs.fileno())]
        # where the caller's modules are; a GPU is shared
        paths = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | paths,
            start_new_session=True,  # Ctrl-C is for the search, which ends its children
        )
        theirs.close()
        self.connection, self.lock = ours, threading.Lock()
        self.waiting: dict[int, Future[tuple[str, Any]]] = {}
        self.count, self.ended = 0, False
        ours.send((task, limits))
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "TrialServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process; jobs that wait, and later ones, raise TrainingError."""
        self.process.kill()  # whom its children follow
        self.process.wait()

    def run(self, job: Any) -> tuple[str, Any]:
        """("done", what the task returned) or ("failed", why), once the job's process has ended."""
        future: Future[tuple[str, Any]] = Future()
        with self.lock:
            if self.ended:
                raise TrainingError(SERVER_ENDED)
            self.count += 1
            number = self.count
            try:
                self.connection.send((number, job))
            except OSError:
                raise TrainingError(SERVER_ENDED) from None
            self.waiting[number] = future
        return future.result()

    def _listen(self) -> None:
        try:
            while True:
                number, outcome = self.connection.recv()
                self.waiting.pop(number).set_result(outcome)
        except (EOFError, OSError):
            with self.lock:
                self.ended = True
                for future in self.waiting.values():
                    future.set_exception(TrainingError(SERVER_ENDED))


@dataclass
class _TrialProcess:
    process: Any
    connection: Connection
    outcome: tuple[str, Any] | None = None
    worked: float = 0.0  # seconds of processors
    at: float = 0.0  # when that was seen

    def look(self, limits: Limits) -> bool:
        """Whether the child has ended, by itself or as it went past a limit."""
        alive = self.process.is_alive()  # asked first, or an answer might come in between
        if self.outcome is None and self.connection.poll():
            with contextlib.suppress(EOFError, OSError):  # it was killed while it answered
                self.outcome = self.connection.recv()
        if alive:
            if self.outcome is None and (why := self._past(limits)):
                self.outcome = "failed", why
            if self.outcome:
                self.process.kill()  # all that it had to do is done
            return False
        self.process.join()
        if self.outcome is None:
            self.outcome = "failed", _describe_exit(self.process.exitcode)
        return True

    def _past(self, limits: Limits) -> str | None:
        try:
            there = psutil.Process(self.process.pid)
            used, worked = there.memory_full_info().uss, sum(there.cpu_times()[:2])
        except psutil.Error:
            return None
        if worked >= self.worked + MIN_CPU_SECONDS:
            self.worked, self.at = worked, time.monotonic()
        if used > limits.memory:
            return f"It used {used / 1e9:.1f} GB of memory, more than the {limits.memory / 1e9:.1f} GB that a trial may"
        if (silent := time.monotonic() - self.at) > limits.silence:
            return f"It did nothing for {silent:.0f} s"
        return None


def _describe_exit(code: int) -> str:
    """Why a process ended that left no word."""
    if code >= 0:
        return f"Its process ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"Its process was killed by {name}" + (", as the machine does when memory runs out" if -code == 9 else "")


def _run_in_child(task: Any, job: Any, connection: Connection, server: int) -> None:
    """A job in its process, which does not outlive the server."""

    def follow() -> None:
        while os.getppid() == server:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    connection.send(task(job))


def serve(fileno: int) -> None:
    """Fork a child for each job, watch them, and tell of their ends, until the search hangs up."""
    import keras

    import cnnzoo.tuning.trial  # noqa: F401  # all that takes long to import

    connection = Connection(fileno)
    task, limits = connection.recv()
    # JAX and torch have threads at work once they are imported, which a fork loses
    context: Any = multiprocessing.get_context("fork" if keras.backend.backend() == "tensorflow" else "spawn")
    children: dict[int, _TrialProcess] = {}
    try:
        while True:
            wait([connection, *(child.process.sentinel for child in children.values())], timeout=POLL_SECONDS)
            while connection.poll():
                number, job = connection.recv()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_run_in_child, args=(task, job, theirs, os.getpid()))
                process.start()
                theirs.close()
                children[number] = _TrialProcess(process, ours, at=time.monotonic())
            for number in [number for number, child in children.items() if child.look(limits)]:
                connection.send((number, children.pop(number).outcome))
    except (EOFError, OSError):
        pass  # the search is gone
    finally:
        for child in children.values():
            child.process.kill()
        os._exit(0)

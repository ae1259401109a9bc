"""Processes for trials: a server that has imported TensorFlow but run nothing forks a child for each trial.

TensorFlow keeps some memory of every model until its process ends, so each trial has its own process.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from cnnzoo.core.errors import TrainingError
from cnnzoo.core.progress import show_progress

SERVER_CODE = "import sys; from cnnzoo.tuning import server; server.serve(int(sys.argv[1]))"
SERVER_ENDED = "The process that starts the trials has ended. Repeat the same call to continue the search"
MIN_CPU_SECONDS = 0.5  # of processor time; less does not count as progress
POLL_SECONDS = 0.5  # between two checks of the memory and the progress of the children

Outcome = tuple[str, Any]  # ("done", result) or ("failed", reason)


@dataclass(frozen=True)
class Limits:
    """When to kill a trial.

    Attributes:
        memory: bytes that its process may use, without what it shares with others.
        timeout: seconds without progress, measured as processor time, after which it counts as hung.
    """

    memory: float
    timeout: float


class TrialServer:
    """A process that forks a child for each job; a context manager, on whose exit all of them end."""

    def __init__(self, task: Callable[[Any], Outcome], limits: Limits) -> None:
        """Start the server, which calls `task` with each job in a child of its own."""
        self.connection, server_end = multiprocessing.Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", SERVER_CODE, str(server_end.fileno())],
            pass_fds=[server_end.fileno()],
            stdin=subprocess.DEVNULL,
            env=_server_environment(),
            start_new_session=True,  # Ctrl-C reaches only the search, which then ends its children
        )
        server_end.close()
        self.lock = threading.Lock()
        self.waiting: dict[int, Future[Outcome]] = {}  # by the number of the job
        self.job_count, self.ended = 0, False
        self.connection.send((task, limits))
        threading.Thread(target=self._receive_outcomes, daemon=True).start()

    def __enter__(self) -> "TrialServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and its children; waiting and later jobs raise TrainingError."""
        self.process.kill()  # its children then end too
        self.process.wait()

    def run(self, job: Any) -> Outcome:
        """Run a job in a process of its own and wait for it.

        Returns:
            ("done", what the task returned) or ("failed", reason).

        Raises:
            TrainingError: if the server ends.
        """
        future: Future[Outcome] = Future()
        with self.lock:
            if self.ended:
                raise TrainingError(SERVER_ENDED)
            self.job_count += 1
            try:
                self.connection.send((self.job_count, job))
            except OSError:
                raise TrainingError(SERVER_ENDED) from None
            self.waiting[self.job_count] = future
        return future.result()

    def _receive_outcomes(self) -> None:
        """Hand the server's answers to the callers of `run` until the server ends."""
        try:
            while True:
                number, outcome = self.connection.recv()
                self.waiting.pop(number).set_result(outcome)
        except (EOFError, OSError):
            with self.lock:
                self.ended = True
                for future in self.waiting.values():
                    future.set_exception(TrainingError(SERVER_ENDED))


def _server_environment() -> dict[str, str]:
    """Return the environment of the server: it finds the caller's modules, and its children share a GPU."""
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    return {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": paths, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


@dataclass
class _TrialProcess:
    """The server's record of a child."""

    process: Any  # multiprocessing.Process of the context in use
    connection: Connection
    outcome: Outcome | None = None
    cpu_seconds: float = 0.0  # of its processors when it last made progress
    progress_time: float = 0.0  # when that was

    def has_ended(self, limits: Limits) -> bool:
        """Return whether the child has ended; kill it if it has answered or is past a limit."""
        alive = self.process.is_alive()  # ask first: an answer might arrive in between
        if self.outcome is None and self.connection.poll():
            with contextlib.suppress(EOFError, OSError):  # it was killed while it answered
                self.outcome = self.connection.recv()
        if alive:
            if self.outcome is None and (reason := self._exceeded_limit(limits)):
                self.outcome = "failed", reason
            if self.outcome:
                self.process.kill()
            return False
        self.process.join()
        if self.outcome is None:
            self.outcome = "failed", _describe_exit(self.process.exitcode)
        return True

    def _exceeded_limit(self, limits: Limits) -> str | None:
        """Return why the child has to be killed, or None."""
        try:
            process = psutil.Process(self.process.pid)
            memory, cpu_seconds = process.memory_full_info().uss, sum(process.cpu_times()[:2])
        except psutil.Error:
            return None
        if cpu_seconds >= self.cpu_seconds + MIN_CPU_SECONDS:
            self.cpu_seconds, self.progress_time = cpu_seconds, time.monotonic()
        if memory > limits.memory:
            return f"It used {memory / 1e9:.1f} GB of memory; the limit per trial is {limits.memory / 1e9:.1f} GB"
        idle = time.monotonic() - self.progress_time
        if idle > limits.timeout:
            return f"It made no progress for {idle:.0f} s"
        return None


def _describe_exit(code: int) -> str:
    """Return why a process ended that did not answer."""
    if code >= 0:
        return f"Its process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = "; the system does this when memory runs out" if -code == signal.SIGKILL else ""
    return f"Its process was killed by {name}{hint}"


def _run_in_child(task: Callable[[Any], Outcome], job: Any, connection: Connection, server_pid: int) -> None:
    """Run a job in this process, which ends when the server does."""

    def exit_with_server() -> None:
        while os.getppid() == server_pid:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=exit_with_server, daemon=True).start()
    connection.send(task(job))


def serve(fileno: int) -> None:
    """Run as the server: fork a child for each job, watch the children and report their ends, until the search ends.

    Args:
        fileno: file descriptor of the connection to the search.
    """
    # The search shows what it waits for; the lines of two processes would be mixed.
    with show_progress("Importing", verbose=False):
        import keras

        import cnnzoo.training.fine_tuning
        import cnnzoo.tuning.trial  # noqa: F401  # everything that is slow to import

    connection = Connection(fileno)
    task, limits = connection.recv()
    # JAX and torch start threads when they are imported, which a fork would lose.
    context: Any = multiprocessing.get_context("fork" if keras.backend.backend() == "tensorflow" else "spawn")
    children: dict[int, _TrialProcess] = {}
    try:
        while True:
            wait([connection, *(child.process.sentinel for child in children.values())], timeout=POLL_SECONDS)
            while connection.poll():
                number, job = connection.recv()
                parent_end, child_end = context.Pipe(duplex=False)
                process = context.Process(target=_run_in_child, args=(task, job, child_end, os.getpid()))
                process.start()
                child_end.close()
                children[number] = _TrialProcess(process, parent_end, progress_time=time.monotonic())
            for number in [number for number, child in children.items() if child.has_ended(limits)]:
                connection.send((number, children.pop(number).outcome))
    except (EOFError, OSError):
        pass  # the search has ended
    finally:
        for child in children.values():
            child.process.kill()
        os._exit(0)

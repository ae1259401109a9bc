"""Connect the processes of a training, notice when one of them has ended or hangs, and disconnect them at the end.

The variables of the environment are those of `keras.distribution.initialize`; `cnnzoo launch` sets them.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import cnnzoo
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import ConnectionLostError, InputError, Interrupted, shorten_repr
from cnnzoo.core.host_address import check_first_host, check_port_is_free, use_reachable_address
from cnnzoo.core.processes import check_same, count_processes, jax_client, process_rank

ADDRESS, COUNT, RANK = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
# Names a file for what JAX writes to stderr if `cnnzoo launch` watches the process, and another one beside it changes
# as long as the process lives.
LOG_FILE = "CNNZOO_PROCESS_LOG"
MAX_PROCESSES = 100_000
JOIN_SECONDS = 300  # for all processes to start
BEAT_SECONDS = 2.0  # between two signs of life
SILENT_SECONDS = 20.0  # without one, after which a process counts as dead for the others
STOPPED_SECONDS = 2 * SILENT_SECONDS  # without one, after which `cnnzoo launch` ends the process
HEARTBEAT_SECONDS = 60  # of JAX itself, if this module's threads cannot run
HANG_SECONDS, HANG_FACTOR = 100.0, 20.0  # a step may take so long, or so many times the longest one before
KEEP_GOING = "The same command continues the run from its last state"
# Of JAX, also in a ValueError: of its collective operations, and of its coordinator
CONNECTION_ERRORS = re.compile(r"RuntimeError: (UNKNOWN|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE|INTERNAL)|Gloo|NCCL")
NEEDS_JAX = (
    "Several processes train together on the JAX backend only. Received: {backend}. Use KERAS_BACKEND=jax (pip install "
    "jax); model.keras and .safetensors files are the same on both backends, so weights move between them. With "
    'TensorFlow, one process uses all GPUs of its machine: devices="auto" (--devices auto)'
)


class Place(NamedTuple):
    """Which process of how many this is, and where they meet: host:port of rank 0."""

    rank: int
    number: int
    address: str


def read_place() -> Place | None:
    """Return the place of this process as its environment says; None if it is to train alone.

    Raises:
        InputError: if the variables are incomplete or contradict each other.
    """
    words = {name: os.environ.get(name, "") for name in (COUNT, RANK, ADDRESS)}
    if not words[COUNT]:
        return None
    try:
        count, rank = int(words[COUNT]), int(words[RANK])
    except ValueError:
        count = rank = 0
    if not 0 <= rank < count <= MAX_PROCESSES:
        raise InputError(
            f"{COUNT} must be the number of processes, and {RANK} the number of this one, from 0 on and below it. "
            f"Received: {words[COUNT]!r:.50} and {words[RANK]!r:.50}. `cnnzoo launch` sets both"
        )
    return Place(rank, count, check_address(words[ADDRESS].partition(",")[0])) if count > 1 else None


def check_address(address: str) -> str:
    """Return the address of rank 0; raise InputError if it is not host:port."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            "The address of the first process must be HOST:PORT, such as 10.0.0.1:7654 (--address). Received: "
            f"{shorten_repr(address)}"
        )
    return address


def configured_backend() -> str:
    """Return the name of the backend that Keras will use, without importing it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((folder / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def check_backend() -> None:
    """Raise InputError unless Keras uses the JAX backend."""
    if (backend := configured_backend()) != "jax":
        raise InputError(NEEDS_JAX.format(backend=backend))


@check_arguments()
def connect_processes() -> bool:
    """Connect this process to those that train with it, which `cnnzoo launch` has started here or on other hosts.

    Call it at the start of a program, before a model is made. The commands of cnnzoo do so themselves.

    Returns:
        Whether there are others. A program that was started without `cnnzoo launch` trains alone.

    Raises:
        InputError: if Keras uses another backend than JAX, or the others do not come within 300 seconds.

    Example:
        >>> import cnnzoo
        >>> cnnzoo.connect_processes()  # this program was started alone
        False
    """
    place = read_place()
    if place is None:
        return False
    if count_processes() > 1:
        return True
    check_backend()
    if place.rank == 0:
        check_first_host(place.address)
        check_port_is_free(place.address)
    _set_jax_messages_aside()
    import jax

    config: Any = jax.config
    # The service would catch SIGTERM, so that nothing ends the process.
    config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            place.address,
            place.number,
            place.rank,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
            cluster_detection_method="deactivate",
        )
    except Exception as error:
        raise InputError(
            f"Process {place.rank} cannot join {place.number} processes at {place.address}: "
            f"{_first_line(error)}. Start one process with each number from 0 to {place.number - 1}, within "
            f"{JOIN_SECONDS} seconds, and number 0 on the host of the address"
        ) from None
    watch_processes()
    check_same({"number of processes (hosts times -n)": place.number, "version of cnnzoo": cnnzoo.__version__})
    use_reachable_address(place.address)
    return True


def disconnect_processes(failure: str = "") -> None:
    """Leave the other processes, which end too if this one has failed; does nothing if there are none."""
    if count_processes() == 1:
        return
    monitor = watch_processes()
    if failure:
        monitor.tell_failure(failure)
        return
    monitor.leave()
    import jax

    distributed: Any = jax.distributed
    distributed.shutdown()


@contextmanager
def connection_errors() -> Iterator[None]:
    """Raise `ConnectionLostError` for an error of JAX in the block that comes from the end of another process.

    On CPUs, a process that waits for another one for 30 seconds gets such an error too.
    """
    try:
        yield
    except Exception as error:
        if count_processes() == 1 or not CONNECTION_ERRORS.search(f"{type(error).__name__}: {error}"):
            raise
        raise ConnectionLostError(
            f"Process {process_rank()} of {count_processes()} does not get the results of another one any more, which "
            f"has ended or hangs. {KEEP_GOING}"
        ) from error


def watch_processes() -> Monitor:
    """Return the thread that watches the other processes; start it if there is none."""
    global _monitor
    if _monitor is None:
        _monitor = Monitor()
        with suppress(Exception):  # the thread will find out why
            _monitor._beat()  # at once, so that an end before the thread's first one is noticed
        _monitor.start()
        atexit.register(_monitor.leave)  # before JAX disconnects, at the end of a program
        sys.excepthook = functools.partial(_end_after_error, sys.excepthook)
    return _monitor


def _end_after_error(show_error: Any, kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Show an error that nothing has caught, and end: JAX would first wait for processes that wait for this one."""
    if isinstance(error, ConnectionLostError):  # where this process waited says nothing
        _end_process(str(error), remedy="")
    show_error(kind, error, traceback)
    if count_processes() > 1 and not issubclass(kind, Interrupted):
        watch_processes().tell_failure(f"{kind.__name__}: {error}")
        sys.stdout.flush()
        os._exit(1)


class Monitor(threading.Thread):
    """Ends this process with one line and code 1 if another process has failed, died or hangs.

    JAX alone would wait for a process that hangs forever, and end with a long message where one has died. All
    processes show a sign of life in the key-value store of JAX's coordinator, with the number of their steps.
    """

    def __init__(self) -> None:
        super().__init__(name="cnnzoo-monitor", daemon=True)
        self.stopped = threading.Event()
        self.beats, self.steps, self.failure, self.has_left = 0, 0, "", False
        self.step_started: float | None = None  # of a step that must not hang
        self.longest_step = 0.0
        self.seen: dict[str, tuple[str, float]] = {}  # by rank: the last sign of life, and when it came
        log_file = os.environ.get(LOG_FILE)
        self.sign_file = sign_of_life_file(log_file) if log_file else None
        self.answered_at = time.monotonic()  # when the coordinator, in process 0, has answered last

    def count_step(self, *, is_last: bool = False) -> None:
        """Note that a step of the training is done, and that the next one begins unless it was the last one."""
        now = time.monotonic()
        if self.step_started is not None:
            self.longest_step = max(self.longest_step, now - self.step_started)
        self.steps += 1
        self.step_started = None if is_last else now

    def run(self) -> None:
        parent = os.getppid() if os.environ.get(LOG_FILE) else None
        threading.Thread(target=self._watch_coordinator, name="cnnzoo-coordinator", daemon=True).start()
        while not self.stopped.wait(BEAT_SECONDS):
            if parent is not None and os.getppid() != parent:
                _end_process(f"cnnzoo launch, which started process {process_rank()}, has ended")
            try:
                self._beat()
                entries = jax_client().key_value_dir_get("cnnzoo-alive/")
                self.answered_at = time.monotonic()
            except Exception as error:  # JaxRuntimeError
                if self.stopped.is_set():
                    return
                _end_process(f"Process {process_rank()} has lost the connection to process 0: {_first_line(error)}")
            self._check({key.rpartition("/")[2]: value for key, value in entries})

    def _watch_coordinator(self) -> None:
        """End this process if the coordinator does not answer: a call waits for it without a limit of time."""
        while not self.stopped.wait(BEAT_SECONDS):
            self._check_coordinator()

    def _check_coordinator(self) -> None:
        if time.monotonic() - self.answered_at > SILENT_SECONDS:
            name = f"Process {process_rank()} of {count_processes()} ({socket.gethostname()})"
            _end_process(f"{name} does not reach process 0 for {SILENT_SECONDS:.0f} seconds")

    def _beat(self) -> None:
        self.beats += 1
        if self.sign_file:
            with suppress(OSError):  # the disk is full
                self.sign_file.write_text(str(self.beats), encoding="ascii")
        sign = {"beat": self.beats, "host": socket.gethostname(), "steps": self.steps, "failure": self.failure}
        sign |= {"left": self.has_left}
        jax_client().key_value_set(f"cnnzoo-alive/{process_rank()}", json.dumps(sign), allow_overwrite=True)

    def _check(self, signs: dict[str, str]) -> None:
        """End this process if one of the others, whose signs of life these are, has failed, died or hangs."""
        now = time.monotonic()
        for rank, text in signs.items():
            if self.seen.get(rank, ("",))[0] != text:
                self.seen[rank] = (text, now)
        for rank, (text, seen_at) in self.seen.items():
            if int(rank) == process_rank():
                continue
            sign = json.loads(text)
            name = f"Process {rank} of {count_processes()} ({sign['host']})"
            if sign["failure"]:
                _end_process(f"{name} has failed: {sign['failure']}", remedy="")
            if now - seen_at > SILENT_SECONDS and not sign.get("left"):
                _end_process(f"{name} does not answer for {SILENT_SECONDS:.0f} seconds")
        limit = max(HANG_SECONDS, HANG_FACTOR * self.longest_step)
        if self.step_started is not None and now - self.step_started > limit:
            slowest = min(signs, key=lambda rank: json.loads(signs[rank])["steps"])
            host = json.loads(signs[slowest])["host"]
            _end_process(
                f"Process {slowest} of {count_processes()} ({host}) hangs: no step ended for {limit:.0f} seconds"
            )

    def leave(self) -> None:
        """Stop, and tell the others that this process has ended as it should."""
        if self.stopped.is_set() or jax_client() is None:
            return
        self.has_left = True
        self.stopped.set()
        with suppress(Exception):  # the coordinator has gone
            self._beat()
        self._end_signs()

    def _end_signs(self) -> None:
        """Let `cnnzoo launch` expect no sign of life any more."""
        if self.sign_file:
            self.sign_file.unlink(missing_ok=True)

    def tell_failure(self, failure: str) -> None:
        """Let the others end because this process fails; rank 0 waits until they have read it."""
        self.failure = failure
        self.stopped.set()  # so that this process does not name another one, which may fail for the same reason
        try:
            self._beat()
        except Exception:  # the coordinator has gone, and with it all others
            return
        finally:
            self._end_signs()
        if process_rank() == 0:
            time.sleep(2 * BEAT_SECONDS)


def sign_of_life_file(log_file: str | Path) -> Path:
    """Return the file that a process with this `LOG_FILE` changes as long as it lives."""
    return Path(log_file).with_suffix(".alive")


_monitor: Monitor | None = None


def _end_process(problem: str, remedy: str = f". {KEEP_GOING}") -> NoReturn:
    """Print one line, and end this process at once: its main thread may wait forever for the others."""
    with suppress(OSError):  # a terminal that was closed
        os.write(_stderr_descriptor(), f"Error: {problem}{remedy}\n".encode(errors="replace"))
    os._exit(1)


def _stderr_descriptor() -> int:
    """Return the file descriptor of `sys.stderr`, also where a notebook or a program has put another object there."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return 2


def _set_jax_messages_aside() -> None:
    """Keep what JAX itself writes in a file of `cnnzoo launch`, which prints one line if the process is aborted.

    Python's streams get file descriptors of their own; those that C++ writes to become the file.
    """
    path = os.environ.get(LOG_FILE)
    if not path:
        return
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        stream.flush()
        own = os.fdopen(os.dup(number), "w", encoding=stream.encoding, errors="backslashreplace", buffering=1)
        setattr(sys, name, own)
        os.dup2(log, number)
    os.close(log)


def _first_line(error: Any) -> str:
    """Return the first line of an error of JAX."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")

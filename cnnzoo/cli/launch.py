"""The command that starts several processes which train one model, and watches them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from cnnzoo.cli import commands
from cnnzoo.cli.output import echo
from cnnzoo.core.errors import InputError, shorten_repr

SHARED_COMMANDS = ("train", "fine-tune", "evaluate")  # of cnnzoo, which several processes can run together
GRACE_SECONDS, KILLED_GRACE_SECONDS = 10.0, 2.0  # for the others to end, after one has failed or was killed
POLL_SECONDS = 0.1
INTERRUPTED = 130  # exit code
MAX_LOG_CHARACTERS = 2_000


@commands.command(context_settings={"allow_interspersed_args": False})
@commands.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND ...", help="A command.")
@commands.option(
    "-n", "--processes", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes on this host."
)
@commands.option("--hosts", help="Names or addresses of all hosts, separated by commas, or their number.")
@commands.option("--rank", type=click.IntRange(0), help="Number of this host, from 0 on, if its name does not tell.")
@commands.option("--address", help="HOST:PORT of the first host, where all processes meet.")
def launch(words: tuple[str, ...], processes: int, hosts: str | None, rank: int | None, address: str | None) -> None:
    """Start COMMAND in several processes that train one model.

    COMMAND is train, fine-tune or evaluate of cnnzoo, or a program such as python train.py. Run the same command on
    every host; the results are those of one process. It needs the JAX backend (KERAS_BACKEND=jax).

    Under Slurm (srun) and Open MPI (mpirun), and in indexed jobs of Kubernetes, the number of this host is known.
    """
    from cnnzoo.core.cluster import find_place
    from cnnzoo.core.connection import check_backend

    program = _find_program(words)
    place = find_place(hosts, rank, address)
    count = place.number * processes
    if count > 1:
        check_backend()
    ranks = range(place.rank * processes, (place.rank + 1) * processes)
    with tempfile.TemporaryDirectory(prefix="cnnzoo-launch-") as folder:
        supervisor = _Supervisor(count)
        with supervisor.pass_signals_on():  # before any process is there, which would go on alone
            for child in _start(program, ranks, count, place.address, Path(folder)):
                supervisor.children.append(child)
            code = supervisor.wait()
    if code:
        raise SystemExit(code)


def _find_program(words: Sequence[str]) -> list[str]:
    """Return the program and its arguments that the words after `launch` mean; raise InputError if there is none."""
    if words[0] in SHARED_COMMANDS:
        return [sys.executable, "-m", "cnnzoo", *words]
    if words[0] == "cnnzoo" and words[1:2] and words[1] in SHARED_COMMANDS:
        return [sys.executable, "-m", *words]
    if words[0] == "python" or (words[0] != "cnnzoo" and shutil.which(words[0])):
        return [sys.executable if words[0] == "python" else words[0], *words[1:]]
    raise InputError(
        f"cnnzoo launch starts {', '.join(SHARED_COMMANDS)}, or a program such as python train.py. Received: "
        f"{shorten_repr(' '.join(words))}. Example: cnnzoo launch -n 2 -- train resnet18 photos/"
    )


class Child(NamedTuple):
    """A process that was started, the file of its messages if the terminal does not show them, and that of JAX's."""

    rank: int
    process: subprocess.Popen[bytes]
    log: Path | None
    jax_log: Path


def _start(program: Sequence[str], ranks: Sequence[int], count: int, address: str, folder: Path) -> Iterator[Child]:
    """Start the processes of this host; the first one of all has the terminal for its output."""
    from cnnzoo.core.connection import ADDRESS, COUNT, LOG_FILE, RANK

    shares = _share_devices(len(ranks))
    for i, rank in enumerate(ranks):
        environment = dict(os.environ) | shares[i]
        if count > 1:
            environment |= {ADDRESS: address, COUNT: str(count), RANK: str(rank)}
            environment |= {LOG_FILE: str(folder / f"{rank}.jax")}  # `explain_failure` reads it
        log = folder / f"{rank}.log" if i else None
        with (log or Path(os.devnull)).open("wb") as messages:
            process = subprocess.Popen(
                program,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if rank else None,
                stderr=messages if log else None,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
            )
        yield Child(rank, process, log, folder / f"{rank}.jax")


def _share_devices(count: int) -> list[dict[str, str]]:
    """Return for each of `count` processes of this host its GPUs, and its number of threads, as variables.

    The processes are not bound to cores. A thread that waits for another process is busy (Gloo), and where it has to
    share a single core with the thread that receives the answer, a sum over two processes takes 30 times as long.

    Raises:
        InputError: if there are GPUs, but not as many as processes.
    """
    from cnnzoo.core.cluster import split_evenly
    from cnnzoo.core.threads import CORES, available_cores

    if count == 1:
        return [{}]
    gpus = _list_gpus()
    if gpus and len(gpus) < count:
        raise InputError(
            f"{count} processes cannot share {len(gpus)} GPU{'' if len(gpus) == 1 else 's'}. Use -n {len(gpus)}, or "
            "CUDA_VISIBLE_DEVICES= (empty) to train on the processor"
        )
    cores = max(available_cores() // count, 1)  # the same for all, so that they compute alike
    threads = {CORES: str(cores), "PJRT_NPROC": os.environ.get("PJRT_NPROC", str(cores))}  # ours, and those of JAX
    shares = split_evenly(range(len(gpus)), count)
    return [threads | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus[i] for i in share)} if gpus else {}) for share in shares]


def _list_gpus() -> list[str]:
    """Return the numbers or names of the GPUs of NVIDIA that a process here may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, line in enumerate(listing.splitlines()) if line.startswith("GPU ")]


class _Supervisor:
    """Waits for processes, passes Ctrl-C on to them, and ends all if one has failed."""

    def __init__(self, count: int) -> None:
        self.count = count  # of all hosts
        self.children: list[Child] = []  # of this host
        self.interrupts = 0
        self.interrupted: set[int] = set()  # ranks that Ctrl-C was passed on to
        self.ended_here: list[Child] = []
        self.signs: dict[int, tuple[str, float]] = {}  # by rank: the last sign of life, and when it came
        self.looked_at = time.monotonic()  # at the signs of life
        self.silent: list[Child] = []  # were ended here, as they have shown none for too long

    @contextmanager
    def pass_signals_on(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM reach the children; an error within the block ends them."""
        handlers = {number: signal.signal(number, self.pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except BaseException:
            self.kill()
            raise
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def wait(self) -> int:
        """Wait until all have ended; return the exit code, after printing why if none of them could."""
        if self.interrupts:  # while they were being started
            self._interrupt_children([child for child in self.children if child.rank not in self.interrupted])
        ended: list[Child] = []
        deadline = None
        while len(ended) < len(self.children):
            time.sleep(POLL_SECONDS)
            self._end_silent_children()
            ended += [child for child in self.children if child not in ended and child.process.poll() is not None]
            failed = [child for child in ended if child.process.returncode]
            if failed and deadline is None:
                grace = KILLED_GRACE_SECONDS if failed[0].process.returncode < 0 else GRACE_SECONDS
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                self.kill()
        failed = [child for child in ended if child.process.returncode]
        return self.explain_failure([child for child in failed if child not in self.ended_here] or failed)

    def _end_silent_children(self) -> None:
        """End processes that were stopped or hang: the other hosts end without them, but nobody else would end them."""
        from cnnzoo.core.connection import STOPPED_SECONDS, sign_of_life_file

        now, before = time.monotonic(), self.looked_at
        self.looked_at = now
        if now - before > STOPPED_SECONDS / 2:  # this process was stopped, perhaps with all others
            self.signs.clear()
        for child in self.children:
            try:
                sign = sign_of_life_file(child.jax_log).read_text(encoding="ascii")
            except OSError:  # before the processes are connected, and at the end
                self.signs.pop(child.rank, None)
                continue
            if self.signs.get(child.rank, (None, now))[0] != sign:
                self.signs[child.rank] = sign, now
            if now - self.signs[child.rank][1] > STOPPED_SECONDS and child.process.poll() is None:
                self.silent.append(child)
                child.process.kill()
                child.process.wait()

    def kill(self) -> None:
        """End the processes that still run, also stopped ones, and wait for their end."""
        for child in self.children:
            if child.process.poll() is None:
                self.ended_here.append(child)
                child.process.kill()
                child.process.wait()

    def pass_on(self, *_: object) -> None:
        """Pass Ctrl-C on: at the first one, a training saves its state, at the second it ends, at the third all end."""
        self.interrupts += 1
        if self.interrupts > 2:
            self.kill()
        self._interrupt_children(self.children)

    def _interrupt_children(self, children: Sequence[Child]) -> None:
        for child in children:
            self.interrupted.add(child.rank)
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGINT)

    def explain_failure(self, failed: Sequence[Child]) -> int:
        """Return the exit code of processes of which some have failed; print the reason if the terminal has none."""
        from cnnzoo.core.connection import KEEP_GOING

        codes = [child.process.returncode for child in failed]
        if not codes:
            return 0
        if INTERRUPTED in codes or (self.interrupts and codes):
            return INTERRUPTED
        first = failed[0]
        # Those that end because of another one's error have 1.
        own_code = next((code for code in codes if code > 1), 1)
        # JAX aborts what has lost the first process; whatever else ended a process has come first.
        killed = [child for child in failed if child.process.returncode < 0]
        killed.sort(key=lambda child: (-child.process.returncode == signal.SIGABRT, failed.index(child)))
        if killed and first.process.returncode < 0:
            echo(f"Error: {self.describe_end(killed[0])}, so all have ended. {KEEP_GOING}", err=True)
            return 1
        # The terminal shows the messages of this host's first process, unless that was ended here.
        if first.log is not None and self.children[0].process.returncode <= 0:
            self._show_log(first)
        return own_code

    def describe_end(self, child: Child) -> str:
        """Return how a process was ended: by a signal, also by JAX, which aborts processes."""
        from cnnzoo.core.connection import JOIN_SECONDS, STOPPED_SECONDS

        name = f"Process {child.rank} of {self.count}"
        if child in self.silent:
            return f"{name} showed no sign of life for {STOPPED_SECONDS:.0f} seconds and was ended"
        signal_name = name_signal(-child.process.returncode)
        if signal_name != "SIGABRT":
            return f"{name} was ended by {signal_name}"
        messages = child.jax_log.read_text(encoding="utf-8", errors="replace") if child.jax_log.exists() else ""
        if "incarnation" in messages:
            return f"{name} found that another process has the same number (--rank)"
        if "RegisterTask" in messages:
            return f"{name} was not joined by all others within {JOIN_SECONDS} seconds"
        reason = re.search(r"absl::Status: (.*)", messages)
        return f"{name} has lost the connection to the others{f' ({reason[1][:200]})' if reason else ''}"

    def _show_log(self, child: Child) -> None:
        """Print what a process has written to stderr."""
        assert child.log
        text = child.log.read_text(encoding="utf-8", errors="replace").strip()[-MAX_LOG_CHARACTERS:]
        echo(f"Process {child.rank} of {self.count}:\n{text}", err=True)


def name_signal(number: int) -> str:
    """Return the name of a signal; those of real time between the first and the last have none.

    Example:
        >>> from cnnzoo.cli.launch import name_signal
        >>> name_signal(9), name_signal(50)
        ('SIGKILL', 'signal 50')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


COMMANDS = (launch,)

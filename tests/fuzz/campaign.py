"""Run mutated inputs in a process of their own, with limits, and sort what comes out."""

import contextlib
import faulthandler
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.mutations import mutate
from fuzz.targets import Target, make_targets

REFUSED, SAME, OTHER_NAMES, OTHER = "refused", "same", "other names", "other, no checksum"
SILENT, FOREIGN, MEMORY, HANG, CRASH = "other in spite of a checksum", "foreign exception", "memory", "hang", "crash"
FAILURES = (SILENT, FOREIGN, MEMORY, HANG, CRASH)
TIME_LIMIT = 60.0  # seconds for one input: two or three at most where the machine does nothing else
MEMORY_LIMIT = 500 * 2**20  # bytes that one input may add
PROCESS_LIMIT = 8 * 2**30  # bytes of the process, beyond which its allocations fail
LOG_FILE = "worker.log"
START_LIMIT = 300.0  # seconds until a process has made its targets


@dataclass
class CampaignResult:
    """Counts by target and outcome, and a line on each failure."""

    counts: dict[str, Counter] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def count(self, outcomes) -> int:
        return sum(counter[outcome] for counter in self.counts.values() for outcome in outcomes)

    @property
    def inputs(self) -> int:
        return sum(sum(counter.values()) for counter in self.counts.values())

    def __str__(self) -> str:
        by_kind: dict[str, Counter] = {}
        for name, counter in self.counts.items():
            by_kind.setdefault(name.partition("/")[0], Counter()).update(counter)
        lines = [f"{kind:12} " + ", ".join(f"{n:,} {o}" for o, n in c.most_common()) for kind, c in by_kind.items()]
        slowest = f"slowest {self.slowest[0]:.1f} s: {self.slowest[1]}"
        head = f"{self.inputs:,} inputs, {self.count(FAILURES)} failures; {slowest}"
        return "\n".join([head, *lines, *self.failures])


def run_campaign(kinds, seed, seconds, out, context=None, progress=sys.stderr) -> CampaignResult:
    """Mutate inputs of some kinds for so many seconds, and at least one of each kind.

    Args:
        kinds: names in `KINDS`.
        seed: equal seeds give equal inputs, in equal order.
        seconds: how long to go on, after the targets are made.
        out: a folder that is created for the inputs that fail.
        context: the context of `multiprocessing` that starts the process.
    """
    result = CampaignResult()
    with tempfile.TemporaryDirectory() as folder:
        worker = _Worker(kinds, folder, context or multiprocessing.get_context("spawn"))
        spent = dict.fromkeys(kinds, 0.0)  # seconds
        told, end = time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < end or not all(spent.values()):
            # Every kind gets an equal share of the time, and every target of a kind equally many inputs.
            kind = min(kinds, key=spent.__getitem__)
            names = [name for name in worker.targets if name.partition("/")[0] == kind]
            name = min(names, key=lambda name: sum(result.counts.get(name, Counter()).values()))
            number = sum(result.counts.setdefault(name, Counter()).values())

            outcome, detail, duration = worker.ask(name, seed, number)
            spent[kind] += duration
            result.counts[name][outcome] += 1
            result.slowest = max(result.slowest, (duration, f"{name}, seed {seed}, number {number}"))
            if outcome in FAILURES:
                file = out / f"{name.replace('/', '_').replace(' ', '_')}.seed{seed}.{number}"
                out.mkdir(parents=True, exist_ok=True)
                file.write_bytes(make_input(worker.targets[name], seed, number))
                result.failures.append(f"{outcome}: {name}, kept in {file}\n    {detail}")
            if progress and time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"{result.inputs:,} inputs, {result.count(FAILURES)} failures", file=progress, flush=True)
        worker.stop()
    return result


def make_input(target, seed, number):
    """Return the mutated bytes of an input."""
    rng = random.Random(f"{seed}/{target.name}/{number}")
    begin, end = target.span or (0, len(target.content))
    part = mutate(target.content[begin:end], rng)
    if target.span:  # a part of fixed length
        part = part[: end - begin] + target.content[begin + len(part) : end]
    return target.content[:begin] + part + target.content[end:]


class _Worker:
    """The process that reads the inputs; a new one takes over where one has died."""

    def __init__(self, kinds, folder, context):
        self.kinds, self.folder, self.context = kinds, folder, context
        self.start()

    def start(self):
        self.pipe, other = self.context.Pipe()
        self.process = self.context.Process(target=work, args=(self.kinds, self.folder, other), daemon=True)
        self.process.start()
        other.close()
        try:
            if not self.pipe.poll(START_LIMIT):
                raise RuntimeError(f"The targets took more than {START_LIMIT:.0f} s to make. {self.read_log()}")
            targets = [Target(name, content, len, span=span) for name, content, span in self.pipe.recv()]
        except EOFError:
            raise RuntimeError(f"The targets cannot be made. {self.read_log()}") from None
        self.targets = {target.name: target for target in targets}

    def read_log(self):
        """Return the end of what the process wrote to stderr."""
        return Path(self.folder, LOG_FILE).read_text(errors="replace")[-2000:]

    def ask(self, name, seed, number):
        """Return the outcome, a detail, and the duration of an input."""
        started = time.monotonic()
        self.pipe.send((name, seed, number))
        try:
            if self.pipe.poll(TIME_LIMIT):
                return *self.pipe.recv(), time.monotonic() - started
            os.kill(self.process.pid, signal.SIGUSR1)
            self.process.join(2)
            outcome, detail = HANG, f"no answer in {TIME_LIMIT:.0f} s. {self.read_log()}"
        except EOFError:
            self.process.join(10)
            outcome, detail = CRASH, f"the process ended with {self.process.exitcode}. {self.read_log()}"
        duration = time.monotonic() - started
        self.stop()
        self.start()
        return outcome, detail, duration

    def stop(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def work(kinds, folder, pipe):
    """Answer the requests of the pipe: read inputs and say what came out."""
    with Path(folder, LOG_FILE).open("wb") as log:  # libraries write long complaints there
        os.dup2(log.fileno(), 2)
    faulthandler.register(signal.SIGUSR1, open(2, "w", closefd=False))  # noqa: SIM115
    warnings.simplefilter("ignore")
    targets = {target.name: target for target in make_targets(kinds, Path(folder))}
    expected = {name: _read_or_refuse(target) for name, target in targets.items()}
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + PROCESS_LIMIT, resource.RLIM_INFINITY))
    pipe.send([(target.name, target.content, target.span) for target in targets.values()])
    with contextlib.suppress(EOFError):
        while True:
            name, seed, number = pipe.recv()
            pipe.send(read_input(targets[name], make_input(targets[name], seed, number), expected[name]))


def _read_or_refuse(target):
    """Return what the file holds that is not mutated; nothing if it is refused, as TIFF files are in TensorFlow."""
    from cnnzoo.core.errors import InputError

    try:
        return target.read(target.content)
    except InputError:
        return {}


def read_input(target, content, expected):
    """Return the outcome of an input, and a detail."""
    from cnnzoo.core.errors import InputError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        values = target.read(content)
    except InputError as error:
        outcome, detail = REFUSED, str(error)
    except Exception:
        outcome, detail = FOREIGN, traceback.format_exc()[-1500:]
    else:
        shared = values.keys() & expected.keys()
        differing = sorted(name for name in shared if values[name] != expected[name])
        detail = f"differs in {', '.join(differing)[:300]}"
        if differing:
            outcome = SILENT if target.has_checksum else OTHER
        else:
            outcome = SAME if values.keys() == expected.keys() else OTHER_NAMES
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if added > MEMORY_LIMIT and outcome not in FAILURES:
        outcome, detail = MEMORY, f"{added / 2**20:,.0f} MB more"
    return outcome, detail


def _address_space():
    """Return the bytes of address space that this process uses."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * resource.getpagesize()

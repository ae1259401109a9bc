"""The speed and the memory of a model or an export, measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import check_fields, parse_json

# One image at a time: until there were this many calls or seconds, but a least number of calls
MAX_CALLS, MIN_CALLS, MAX_SECONDS = 200, 10, 3.0
WARM_UP_CALLS = 3
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
BATCH_SECONDS, MIN_BATCHES = 0.5, 3  # for each batch size
MIN_GAIN, MAX_WITHOUT_GAIN = 1.03, 2  # larger batches are not tried after so many sizes without this gain
TIMEOUT = 600  # seconds for one export; one that takes longer is useless, or hangs
FIELDS = {
    "median_ms": float,
    "p95_ms": float,
    "calls": int,
    "images_per_second": float,
    "batch_size": int,
    "memory_bytes": int | None,
    "runtime": str,
}


class Speed(NamedTuple):
    """What was measured.

    Attributes:
        median_ms: milliseconds for one image, the median of all calls.
        p95_ms: the time below which 95 % of the calls stay.
        calls: number of calls.
        images_per_second: the most of all batch sizes.
        batch_size: the batch size that reached it.
        memory_bytes: the most memory that the process used, with Python and the runtime; None if it is not known.
        runtime: what computed it, as in `cnnzoo.load(runtime=...)`.
    """

    median_ms: float
    p95_ms: float
    calls: int
    images_per_second: float
    batch_size: int
    memory_bytes: int | None
    runtime: str


def measure_in_process(path: Path, runtime: str) -> Speed:
    """Measure the export or the model at `path` in a new process, so that nothing else is in its memory.

    Raises:
        InputError: if it cannot be opened or run; the message is that of the process.
    """
    package = str(Path(cnnzoo.__file__).resolve().parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [package, *sys.path])),
        "PYTHONSAFEPATH": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    code = "from cnnzoo.export.speed import main; main()"
    try:
        process = subprocess.run(
            [sys.executable, "-c", code, str(path), runtime, str(BATCH_SECONDS)],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"it did not answer within {TIMEOUT} s") from None
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"the process ended with {process.returncode}"]
        raise InputError(lines[-1][:500])
    answer = parse_json((process.stdout.strip().splitlines() or [""])[-1], "the measured speed")
    return Speed(**check_fields(answer, "the measured speed", FIELDS))


def measure_speed(path: str, runtime: str, batch_seconds: float = BATCH_SECONDS) -> Speed:
    """Return speed and memory of the export or the model at `path`, in this process."""
    from cnnzoo.inference.load import load

    classifier = load(path, runtime)
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZES[-1], *classifier.shape), "uint8")
    times = _time_single_images(classifier, images)
    best_rate, best_size, without_gain = 0.0, 1, 0
    for size in BATCH_SIZES:
        rate = _measure_rate(classifier, images[:size], batch_seconds)
        without_gain = 0 if rate > best_rate * MIN_GAIN else without_gain + 1
        if rate > best_rate:
            best_rate, best_size = rate, size
        if without_gain == MAX_WITHOUT_GAIN:
            break
    return Speed(
        float(np.median(times)),
        float(np.quantile(times, 0.95)),
        len(times),
        best_rate,
        best_size,
        peak_memory(),
        classifier.runtime,
    )


def _time_single_images(classifier: Any, images: np.ndarray) -> list[float]:
    """Return the milliseconds of calls with one image each."""
    for i in range(WARM_UP_CALLS):
        classifier.scores(images[i : i + 1])
    times, begun_at = list[float](), time.perf_counter()
    while len(times) < MAX_CALLS and (len(times) < MIN_CALLS or time.perf_counter() - begun_at < MAX_SECONDS):
        i = len(times) % len(images)
        start = time.perf_counter()
        classifier.scores(images[i : i + 1])
        times.append(1000 * (time.perf_counter() - start))
    return times


def _measure_rate(classifier: Any, batch: np.ndarray, seconds: float) -> float:
    """Return images per second in batches of this size, measured for some seconds."""
    classifier.scores(batch)  # a new size may compile
    count, begun_at = 0, time.perf_counter()
    while count < MIN_BATCHES or time.perf_counter() - begun_at < seconds:
        classifier.scores(batch)
        count += 1
    return count * len(batch) / (time.perf_counter() - begun_at)


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process has used; None where the system does not say."""
    try:
        # Unlike `resource`, this leaves out the process from which this one was started.
        with Path("/proc/self/status").open(encoding="ascii", errors="replace") as file:
            line = next(line for line in file if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def main() -> None:
    """Measure what the arguments name, and print it as JSON; end with 1 and one line of explanation if it fails."""
    path, runtime, batch_seconds = sys.argv[1:]
    try:
        speed = measure_speed(path, runtime, float(batch_seconds))
    except Exception as error:  # whatever a runtime raises becomes the reason in the table
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        sys.exit(1)
    print(json.dumps(speed._asdict()))

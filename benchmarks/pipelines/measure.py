"""Measure one pipeline in this process: python measure.py PIPELINE OPTIONS, both as `data.py` passes them.

Prints one line of JSON: seconds to the first batch, images per second after a warm-up, and of this process and its
workers together the processor time per image and the memory.
"""

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from common import Options, SkippedError

MAX_WARMUP_SECONDS = 2.0


def list_processes() -> list[int]:
    """Return the process ids of this process and of all that descend from it; on Linux only."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def processor_seconds() -> float:
    """Return the processor time of this process and its workers."""
    ticks = 0
    for process in list_processes():
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else time.process_time()


def memory_megabytes() -> int:
    """Return the memory of this process and its workers, in which shared pages count once."""
    kilobytes = 0
    for process in list_processes():
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes // 1024


def measure(pipeline: str, options: Options, seconds: float) -> dict[str, float]:
    """Return the figures of one pipeline."""
    started = time.perf_counter()
    batches = importlib.import_module(pipeline).iter_batches(options)
    next(batches)
    startup = time.perf_counter() - started

    warm = time.perf_counter() + min(MAX_WARMUP_SECONDS, seconds)
    while time.perf_counter() < warm:
        next(batches)

    started, processor, images = time.perf_counter(), processor_seconds(), 0
    while time.perf_counter() - started < seconds:
        images += next(batches)
    elapsed = time.perf_counter() - started
    return {
        "images_per_second": round(images / elapsed),
        "processor_ms": round(1000 * (processor_seconds() - processor) / images, 3),
        "startup_seconds": round(startup, 2),
        "memory_mb": memory_megabytes(),
    }


def main() -> None:
    """Print the figures, or why there are none."""
    pipeline, options, seconds = sys.argv[1], Options(**json.loads(sys.argv[2])), float(sys.argv[3])
    try:
        result = measure(pipeline, options, seconds)
    except SkippedError as error:
        result = {"skipped": str(error)}
    except ModuleNotFoundError as error:
        result = {"skipped": f"{error.name} is not installed here", "missing": True}
    print("\n" + json.dumps(result), flush=True)
    # Some libraries take long to stop their workers, or leave them behind
    for process in list_processes()[1:]:
        with suppress(OSError):
            os.kill(process, signal.SIGTERM)
    os._exit(0)


if __name__ == "__main__":
    main()

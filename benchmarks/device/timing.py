"""What the measurements on a device share: options, the clock of repeated steps, and how results are printed."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        model: name of a model that cnnzoo, timm and torchvision have.
        size: side of the images in pixels.
        batch_size: images per step.
        low_precision: whether to compute in bfloat16.
        seconds: how long each figure is measured.
        steps: steps of an epoch of the trainings from arrays.
    """

    model: str
    size: int
    batch_size: int
    low_precision: bool
    seconds: float
    steps: int


def read_options() -> Options:
    """Return the options that `accelerator.py` passes to the process."""
    return Options(**json.loads(sys.argv[1]))


def report(name: str, **values: object) -> None:
    """Print one result as a line of JSON, at once, so that it counts even if the process is stopped later."""
    print("\n" + json.dumps({"name": name, **values}), flush=True)


def measure_rate(step: Callable[[], object], wait: Callable[[], object], options: Options) -> tuple[float, float]:
    """Return the images per second of a step that may run in the background, and the seconds of its first call."""
    started = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - started

    started = time.perf_counter()
    step()
    wait()
    seconds_per_step = max(time.perf_counter() - started, 1e-6)

    count = int(min(max(options.seconds / seconds_per_step, 1), 2000))
    started = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return count * options.batch_size / (time.perf_counter() - started), first


def run_tasks(tasks: dict[str, Callable[[Options], dict[str, object]]], options: Options) -> None:
    """Run all tasks; one that fails reports its error, and the next one goes on."""
    for name, task in tasks.items():
        try:
            report(name, **task(options))
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            report(name, error=f"{type(error).__name__}: {lines[0]:.200}")

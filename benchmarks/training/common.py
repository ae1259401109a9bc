"""Shared code of the training benchmarks: the folder of the data, and a table of the results."""

import csv
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cnnzoo

DATA = Path(os.environ.get("CNNZOO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"
COLUMNS = ("seed", "test images", "accuracy", "low", "high", "probe", "validation", "best epoch", "minutes")


def measure_training(seed: int, train: Callable[[], cnnzoo.Report]) -> tuple[Any, ...]:
    """Call `train`, print its report, and return its row of the table, with accuracies in percent."""
    started = time.perf_counter()
    report = train()
    minutes = (time.perf_counter() - started) / 60
    probe = report.probe or {}
    # By epoch; the first is the probe's. Without validation images there are none
    validated = [probe.get("validation_accuracy", 0.0), *report.history.get("val_accuracy", [])]
    best = report.best_epoch or 0
    validation = validated[best] if best < len(validated) else None
    accuracies = report.accuracy, *report.metrics["intervals_95"]["accuracy"], probe.get("accuracy"), validation
    percent = [None if accuracy is None else round(100 * accuracy, 2) for accuracy in accuracies]
    row = (seed, len(report.labels), *percent, report.best_epoch, round(minutes, 1))
    print(report, dict(zip(COLUMNS, row, strict=True)), sep="\n", flush=True)
    return row


def write_table(name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Print the mean accuracy and write the table to the folder results."""
    print(f"{name}: mean accuracy {sum(row[2] for row in rows) / len(rows):.2f} % over {len(rows)} trainings")
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])

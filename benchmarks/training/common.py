"""What the trainings share: where the data is, and a table of what they reached."""

import csv
import os
import time
from pathlib import Path

DATA = Path(os.environ.get("CNNZOO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"
COLUMNS = ("seed", "test images", "accuracy", "low", "high", "probe", "validation", "best epoch", "minutes")


def row(seed, train):
    """The figures of one training, whose report `train` gives, in per cent."""
    begun = time.perf_counter()
    report = train()
    minutes = (time.perf_counter() - begun) / 60
    probe = report.probe or {}
    validation = [probe.get("validation_accuracy", 0.0), *report.history.get("val_accuracy", [])][report.best_epoch]
    shares = report.accuracy, *report.metrics["intervals_95"]["accuracy"], probe.get("accuracy"), validation
    percent = [None if share is None else round(100 * share, 2) for share in shares]
    found = (seed, len(report.labels), *percent, report.best_epoch, round(minutes, 1))
    print(report, dict(zip(COLUMNS, found, strict=True)), sep="\n", flush=True)
    return found


def keep(name, rows):
    """Print the mean of the accuracies and write the table."""
    print(f"{name}: mean accuracy {sum(row[2] for row in rows) / len(rows):.2f} % of {len(rows)} trainings")
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])

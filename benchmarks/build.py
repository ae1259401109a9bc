"""Measure how long a ResNet-152 takes to build, in cnnzoo and in keras.applications.

Both take turns in one process; weights are initialized, and none are loaded.

    python benchmarks/build.py
"""

import csv
import os
import time
from pathlib import Path
from statistics import median

import click
import keras

import cnnzoo

RESULTS = Path(__file__).parent / "results"


def build_cnnzoo() -> None:
    """Build the ResNet-152 of cnnzoo."""
    cnnzoo.get("resnet152")


def build_keras() -> None:
    """Build the ResNet-152 of keras.applications."""
    keras.applications.ResNet152(weights=None)


@click.command()
@click.option("--turns", default=7, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
def main(turns: int, keep: bool) -> None:
    """Print the seconds of every turn, the medians, and their ratio."""
    rows = []
    for turn in range(turns + 1):
        seconds = []
        for build in (build_cnnzoo, build_keras) if turn % 2 else (build_keras, build_cnnzoo):
            keras.backend.clear_session()
            start = time.perf_counter()
            build()
            seconds.append(time.perf_counter() - start)
        if turn:  # the first turn is a warm-up
            rows.append((turn, *(round(s, 3) for s in (seconds if turn % 2 else seconds[::-1]))))
            print(*rows[-1], flush=True)
    cnnzoo_seconds, keras_seconds = (median(row[i] for row in rows) for i in (1, 2))
    ratio = cnnzoo_seconds / keras_seconds
    print(f"cnnzoo {cnnzoo_seconds:.2f} s, keras.applications {keras_seconds:.2f} s, ratio {ratio:.2f}")
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"build-resnet152-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("turn", "cnnzoo", "keras"), *rows])


if __name__ == "__main__":
    main()

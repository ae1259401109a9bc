"""Measure the memory of a process after each time it builds and trains a ResNet-50, with cnnzoo and with Keras alone.

python benchmarks/memory.py --keep
"""

import csv
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
IMAGES, SIZE, BATCH = 64, 64, 16


def resident_megabytes() -> int:
    """Return the resident memory of this process after a garbage collection, in megabytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def make_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels of ten classes, the same in every call."""
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (IMAGES, SIZE, SIZE, 3), "uint8"), np.arange(IMAGES) % 10


def with_cnnzoo() -> Callable[[], object]:
    """Return a function that trains a fresh resnet50 for an epoch, and writes its report."""
    import cnnzoo

    data = cnnzoo.load_data(make_arrays(), splits=(0.5, 0.25, 0.25))
    recipe = cnnzoo.Recipe(epochs=1, batch_size=BATCH, learning_rate=0.01)
    model = cnnzoo.get("resnet50", classes=10, input_shape=(SIZE, SIZE, 3))
    return lambda: cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=False)


def with_keras_alone() -> Callable[[], object]:
    """Return a function that fits keras.applications.ResNet50 on as many images, without cnnzoo."""
    import keras

    x, y = make_arrays()
    y = np.eye(10, dtype="float32")[y]
    model = keras.applications.ResNet50(
        weights=None, classes=10, input_shape=(SIZE, SIZE, 3), classifier_activation=None
    )
    model.compile(
        keras.optimizers.SGD(0.01, 0.9, True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def run() -> None:
        half, quarter = IMAGES // 2, IMAGES // 4
        model.fit(x[:half], y[:half], BATCH, validation_data=(x[half:-quarter], y[half:-quarter]), verbose=0)
        model.predict(x[-quarter:], verbose=0)

    return run


WAYS = {"ours": with_cnnzoo, "bare": with_keras_alone}


@click.command()
@click.option("--calls", default=10, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
@click.option("--way", help="Run only this way, in this process.")
def main(calls: int, keep: bool, way: str | None) -> None:
    """Print the resident memory after every call, and its growth from the second call to the last."""
    if way:
        for _ in range(calls):
            WAYS[way]()()
            print(resident_megabytes(), flush=True)
        return
    rows = []
    for name in WAYS:
        command = [sys.executable, __file__, "--way", name, "--calls", str(calls)]
        sizes = [
            int(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        ]
        rows.append((name, *sizes))
        print(f"{name}: {sizes}; from the second call to the last {sizes[-1] - sizes[1]} MB", flush=True)
    if keep:
        with (RESULTS / f"memory-resnet50-{SIZE}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("way", *(f"MB after call {i}" for i in range(1, calls + 1))), *rows])


if __name__ == "__main__":
    main()

"""What `fine_tune` gains over its linear probe with the default recipe, on four data sets and several seeds.

python benchmarks/training/fine_tune.py --seeds 5

A seed draws the images of each split, the head and the batches. Every training is written to the table at once, and a
second call continues with those that are missing.
"""

import csv
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev

import click
import numpy as np
from common import DATA, RESULTS
from scipy.stats import t

import cnnzoo
from cnnzoo.training.recipe import parse_settings

CHECKPOINTS = DATA / "checkpoints"
COLUMNS = ("data", "seed", "test images", "probe", "accuracy", "gain", "best epoch", "epochs", "minutes")
Row = Sequence[object]


def load_folder(name: str, seed: int) -> cnnzoo.ImageData:
    """Load a folder of class folders: a fifth for validation, and a fifth for the test unless it has a test part."""
    return cnnzoo.load_data(DATA / name, splits=(0.6, 0.2, 0.2), seed=seed)


def load_clothes(seed: int) -> cnnzoo.ImageData:
    """Load 2,000 training images of Fashion-MNIST, drawn by the seed, and all 10,000 test images."""
    with np.load(DATA / "fashion_mnist.npz") as file:
        x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    sample = np.random.default_rng(seed).permutation(len(x))[:2_000]
    return cnnzoo.load_data(((x[sample], y[sample]), (x_test, y_test)), seed=seed)


def load_set(name: str, seed: int) -> cnnzoo.ImageData:
    """Load one of the four data sets by its name."""
    return load_clothes(seed) if name == "fashion_mnist" else load_folder(name, seed)


NETWORKS = {  # of each data set: the network and its pretrained weights
    "fashion_mnist": ("resnet56", "resnet56-4bfd9763.th"),
    "sign_digits": ("googlenet_2014", "googlenet_bvlc.npz"),
    "flowers128": ("googlenet_2014", "googlenet_bvlc.npz"),
    "hymenoptera": ("googlenet_2014", "googlenet_bvlc.npz"),
}


def train(name: str, seed: int, recipe: cnnzoo.Recipe) -> Row:
    """Fine-tune once; return the row of the table, with accuracies in percent."""
    started = time.perf_counter()
    network, weights = NETWORKS[name]
    model = cnnzoo.get(network, weights=CHECKPOINTS / weights)
    report = cnnzoo.fine_tune(model, load_set(name, seed), recipe=recipe, seed=seed, verbose=False)
    assert report.probe
    probe, accuracy = 100 * report.probe["accuracy"], 100 * report.accuracy
    epochs, minutes = len(report.history.get("loss", [])), (time.perf_counter() - started) / 60
    figures = (round(value, 2) for value in (probe, accuracy, accuracy - probe))
    return name, seed, len(report.labels), *figures, report.best_epoch, epochs, round(minutes, 1)


def describe_gains(rows: Iterable[Row]) -> str:
    """Return the mean gain of each data set and of all, with the interval in which it lies with 95 %."""
    gains: dict[str, list[float]] = {}
    for name, _, _, _, _, gain, *_ in rows:
        gains.setdefault(str(name), []).append(float(str(gain)))
    lines = []
    for name, values in gains.items():
        half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        lines.append(f"{name:<14} {mean(values):+5.1f} +- {half:.1f} points, {min(values):+.1f} at the least")
    return "\n".join([*lines, f"{'mean':<14} {mean(map(mean, gains.values())):+5.1f} points"])


@click.command()
@click.option("--seeds", default=5, show_default=True, help="Number of trainings per data set.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--table", type=Path, default=RESULTS / f"fine_tune-cpu{os.cpu_count()}.csv", help="The table to write.")
def main(seeds: int, settings: tuple[str, ...], table: Path) -> None:
    """Fine-tune on every data set once per seed, and print the gains."""
    recipe = cnnzoo.recipe("finetune", **parse_settings(settings))
    rows: list[Row] = []
    if table.exists():
        with table.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
    done = {(str(row[0]), str(row[1])) for row in rows}
    for seed in range(seeds):
        for name in NETWORKS:
            if (name, str(seed)) in done:
                continue
            rows.append(train(name, seed, recipe))
            print(*rows[-1], flush=True)
            with table.open("w", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *rows])
    print(describe_gains(rows))


if __name__ == "__main__":
    main()

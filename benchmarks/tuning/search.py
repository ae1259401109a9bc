"""Search on real data: compare the best recipe with the default on the test split, and measure what a search costs.

python benchmarks/tuning/search.py fashion --trials 20 --workers 2 --seeds 3
python benchmarks/tuning/search.py hymenoptera --trials 6 --seeds 3
"""

import csv
import os
import threading
import time
from pathlib import Path

import click
import numpy as np
import psutil

import cnnzoo
from cnnzoo.training.recipe import parse_settings

DATA = Path(os.environ.get("CNNZOO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"


def fashion():
    """Return lenet5_relu and Fashion-MNIST: 10,000 training, 5,000 validation and its own 10,000 test images."""
    with np.load(DATA / "fashion_mnist.npz") as file:
        x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    chosen = np.random.default_rng(0).permutation(len(x))[:15_000]
    data = cnnzoo.load_data(((x[chosen], y[chosen]), (x_test, y_test)), splits=(1 / 3, 1 / 3, 1 / 3))
    return "lenet5_relu", data, {}


def hymenoptera():
    """Return the pretrained GoogLeNet of 2014, and the data set with its official 153 photos for testing."""
    weights = DATA / "checkpoints" / "googlenet_bvlc.npz"
    return "googlenet_2014", cnnzoo.load_data(DATA / "hymenoptera"), {"weights": weights}


class Memory:
    """Records the resident memory of this process after each trial, which ends by writing its outcome."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.megabytes = folder, {}

    def record(self) -> None:
        ended = len(list(self.folder.glob("trials/*/outcome.json")))
        self.megabytes.setdefault(ended, psutil.Process().memory_info().rss / 1e6)


@click.command()
@click.argument("what", type=click.Choice(["fashion", "hymenoptera"]))
@click.option("--trials", default=20, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--oracle", default="random", show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
@click.option("--run-dir", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Write the figures into results/.")
def main(
    what: str,
    trials: int,
    workers: int,
    seeds: int,
    oracle: str,
    settings: tuple[str, ...],
    run_dir: Path | None,
    keep: bool,
) -> None:
    """Search on the data set WHAT; print the comparison, the minutes, the time outside training and the memory."""
    model, data, options = {"fashion": fashion, "hymenoptera": hymenoptera}[what]()
    folder = run_dir or Path("runs") / f"search-{what}-{oracle}"
    recipe = cnnzoo.recipe("finetune" if options else "sgd", **parse_settings(settings))

    # Search, and record the memory of this process meanwhile.
    memory, done = Memory(folder), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            memory.record()

    threading.Thread(target=watch, daemon=True).start()
    begin = time.time()
    result = cnnzoo.tune(
        model,
        data,
        recipe=recipe,
        trials=trials,
        workers=workers,
        seeds=seeds,
        oracle=oracle,
        run_dir=folder,
        **options,
    )
    done.set()
    print(result)

    # Print the figures.
    ends = [path.stat().st_mtime for path in folder.glob("trials/*/outcome.json")]
    wall = max(ends) - begin
    training = sum(trial.training for trial in result.trials)
    compared = result.comparison
    row = {
        "what": what,
        "oracle": oracle,
        "trials": trials,
        "workers": workers,
        "minutes of the trials": round(wall / 60, 1),
        "minutes in all": round((time.time() - begin) / 60, 1),
        "outside training": round(1 - training / (wall * workers), 3),
        "memory of the parent, 5th trial": round(memory.megabytes.get(5, 0)),
        "memory of the parent, last trial": round(memory.megabytes.get(trials, 0)),
        "default": round(100 * float(np.mean(compared["default"])), 2),
        "best": round(100 * float(np.mean(compared["best"])), 2),
        "difference": round(100 * compared["difference"], 2),
        "low": round(100 * compared["low"], 2),
        "high": round(100 * compared["high"], 2),
        "seeds": seeds,
        "chosen": result.best.chosen,
    }
    for name, value in row.items():
        print(f"{name}: {value}")
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{what}-{oracle}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(row.items())


if __name__ == "__main__":
    main()

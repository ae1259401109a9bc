"""Searches on real data, the best recipe against the default on the test split; what the search itself costs.

python benchmarks/tuning/search.py fashion --trials 20 --workers 2 --seeds 3
python benchmarks/tuning/search.py hymenoptera --trials 6 --seeds 3
"""

import csv
import os
import time
from pathlib import Path

import click
import numpy as np
import psutil

import cnnzoo

DATA = Path(os.environ.get("CNNZOO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"


def fashion():
    """10,000 images to learn from, 5,000 to validate, Fashion-MNIST's own 10,000 to test."""
    with np.load(DATA / "fashion_mnist.npz") as file:
        x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    some = np.random.default_rng(0).permutation(len(x))[:15_000]
    data = cnnzoo.load_data(((x[some], y[some]), (x_test, y_test)), splits=(1 / 3, 1 / 3, 1 / 3))
    return "lenet5_relu", data, {}


def hymenoptera():
    """The official 153 photos to test, and the pretrained GoogLeNet of 2014."""
    weights = DATA / "checkpoints" / "googlenet_bvlc.npz"
    return "googlenet_2014", cnnzoo.load_data(DATA / "hymenoptera"), {"weights": weights}


class Memory:
    """The resident memory of this process at the end of each trial, which the record of it is a sign of."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, {}

    def look(self) -> None:
        ended = len(list(self.folder.glob("trials/*/outcome.json")))
        self.seen.setdefault(ended, psutil.Process().memory_info().rss / 1e6)


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
    what: str, trials: int, workers: int, seeds: int, oracle: str, settings, run_dir: Path | None, keep: bool
) -> None:
    """Search, and print the comparison, the minutes, the share of the time outside training, and the memory."""
    import threading

    from cnnzoo.training import recipes

    model, data, options = {"fashion": fashion, "hymenoptera": hymenoptera}[what]()
    folder = run_dir or Path("runs") / f"search-{what}-{oracle}"
    recipe = recipes.resolve_recipe("finetune" if options else "sgd", recipes.parse_settings(settings))
    memory, done = Memory(folder), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            memory.look()

    threading.Thread(target=watch, daemon=True).start()
    begun = time.time()
    found = cnnzoo.tune(
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
    print(found)
    ends = [path.stat().st_mtime for path in folder.glob("trials/*/outcome.json")]
    wall = max(ends) - begun
    training = sum(trial.training for trial in found.trials)
    c = found.comparison
    row = {
        "what": what,
        "oracle": oracle,
        "trials": trials,
        "workers": workers,
        "minutes of the trials": round(wall / 60, 1),
        "minutes in all": round((time.time() - begun) / 60, 1),
        "outside training": round(1 - training / (wall * workers), 3),
        "memory of the parent, 5th trial": round(memory.seen.get(5, 0)),
        "memory of the parent, last trial": round(memory.seen.get(trials, 0)),
        "default": round(100 * float(np.mean(c["default"])), 2),
        "best": round(100 * float(np.mean(c["best"])), 2),
        "difference": round(100 * c["difference"], 2),
        "low": round(100 * c["low"], 2),
        "high": round(100 * c["high"], 2),
        "seeds": seeds,
        "chosen": found.best.chosen,
    }
    for name, value in row.items():
        print(f"{name}: {value}")
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{what}-{oracle}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(row.items())


if __name__ == "__main__":
    main()

"""Mean test accuracy of the demo's recipe over seeds; each seed draws its own split, weights and order.

python benchmarks/digits_seeds.py --seeds 5
"""

import csv
import os
from pathlib import Path

import click
import numpy as np

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.training.prepare import make_reproducible

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--model", default="lenet5", show_default=True)
@click.option("--recipe", default="digits", show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
@click.option("--seeds", default=5, show_default=True)
@click.option("--first", default=0, show_default=True)
@click.option("--on", default="test", show_default=True, help="Choose recipes on validation, never on test.")
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
def main(model: str, recipe: str, settings: tuple[str, ...], seeds: int, first: int, on: str, keep: bool) -> None:
    """Train once a seed and print every accuracy and the mean."""
    rows = []
    for seed in range(first, first + seeds):
        data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2), seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, classes=data.classes)
        chosen = recipes.resolve_recipe(recipe, recipes.parse_settings(settings))
        cnnzoo.fit_and_evaluate(network, data, recipe=chosen, seed=seed, verbose=False)
        report = cnnzoo.evaluate(network, data, split=on)
        rows.append((seed, len(report.labels), round(100 * report.accuracy, 2)))
        print(*rows[-1], flush=True)
    accuracies = [row[2] for row in rows]
    print(f"mean {np.mean(accuracies):.2f} %, lowest {min(accuracies):.2f} %, over {seeds} seeds, {on} split")
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"digits_seeds-{model}-{recipe}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("seed", f"{on}_images", "accuracy"), *rows])


if __name__ == "__main__":
    main()

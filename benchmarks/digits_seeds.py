"""Measure the mean test accuracy of the demo's recipe over several seeds.

python benchmarks/digits_seeds.py --seeds 5

Each seed draws its own splits, initial weights and order of the images.
"""

import csv
import os
from pathlib import Path

import click
import numpy as np

import cnnzoo
from cnnzoo.training.prepare import make_reproducible
from cnnzoo.training.recipe import parse_settings

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--model", "name", default="lenet5", show_default=True)
@click.option("--recipe", "recipe_name", default="digits", show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--seeds", default=5, show_default=True, help="Number of trainings.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--split", default="test", show_default=True, help="Choose recipes on validation, never on test.")
@click.option("--keep", is_flag=True, help="Write the table to benchmarks/results.")
def main(
    name: str, recipe_name: str, settings: tuple[str, ...], seeds: int, first: int, split: str, keep: bool
) -> None:
    """Train once per seed; print every accuracy and the mean."""
    recipe = cnnzoo.recipe(recipe_name, **parse_settings(settings))
    rows = []
    for seed in range(first, first + seeds):
        data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2), seed=seed)
        make_reproducible(seed)
        model = cnnzoo.get(name, classes=data.classes)
        cnnzoo.fit_and_evaluate(model, data, recipe=recipe, seed=seed, verbose=False)
        report = cnnzoo.evaluate(model, data, split=split)
        rows.append((seed, len(report.labels), round(100 * report.accuracy, 2)))
        print(*rows[-1], flush=True)
    accuracies = [accuracy for _, _, accuracy in rows]
    print(f"{split}: mean {np.mean(accuracies):.2f} %, lowest {min(accuracies):.2f} %, over {seeds} seeds")
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"digits_seeds-{name}-{recipe_name}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("seed", f"{split}_images", "accuracy"), *rows])


if __name__ == "__main__":
    main()

"""Imagenette from scratch at 128 pixels: ten classes, 3,925 photos held out.

python benchmarks/training/imagenette.py
"""

from pathlib import Path

import click
from common import DATA, keep, row

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.training.prepare import make_reproducible


@click.command()
@click.option("--model", default="resnet34d", show_default=True)
@click.option("--size", default=128, show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs/imagenette"), show_default=True)
def main(model: str, size: int, seeds: int, settings: tuple[str, ...], run_dir: Path) -> None:
    """Train once a seed; the same command goes on after a stop."""
    recipe = recipes.resolve_recipe("quick", recipes.parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "imagenette144", splits=(0.9, 0.05, 0.05), seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, classes=data.classes, input_shape=(size, size))
        return cnnzoo.fit_and_evaluate(network, data, recipe=recipe, seed=seed, run_dir=run_dir / str(seed))

    keep(
        f"imagenette-{model}-{size}-{recipe.epochs}",
        [row(seed, lambda seed=seed: train(seed)) for seed in range(seeds)],
    )


if __name__ == "__main__":
    main()

"""Train on Imagenette from scratch at 128 pixels: ten classes, 3,925 test photos.

python benchmarks/training/imagenette.py
"""

from pathlib import Path

import click
from common import DATA, measure_training, write_table

import cnnzoo
from cnnzoo.training.prepare import make_reproducible
from cnnzoo.training.recipe import parse_settings


@click.command()
@click.option("--model", default="resnet34d", show_default=True)
@click.option("--size", default=128, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Number of trainings.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs/imagenette"), show_default=True)
def main(model: str, size: int, seeds: int, settings: tuple[str, ...], run_dir: Path) -> None:
    """Train once per seed; the same command resumes after a stop."""
    recipe = cnnzoo.recipe("quick", **parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "imagenette144", splits=(0.9, 0.05, 0.05), seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, classes=data.classes, image_size=size)
        return cnnzoo.fit_and_evaluate(network, data, recipe=recipe, seed=seed, run_dir=run_dir / str(seed))

    write_table(
        f"imagenette-{model}-{size}-{recipe.epochs}",
        [measure_training(seed, lambda seed=seed: train(seed)) for seed in range(seeds)],
    )


if __name__ == "__main__":
    main()

"""Train on Imagenette from scratch at 128 pixels: ten classes, 3,925 test photos.

python benchmarks/training/imagenette.py

With --whole, all 9,469 other photos are trained on and the last epoch is evaluated, as fastai's leaderboard has it:
python benchmarks/training/imagenette.py --whole --recipe imagenette --set epochs=20. Choose fields of the recipe
without --whole, on the validation accuracy.
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
@click.option("--whole", is_flag=True, help="Train on all photos but the test photos, and keep the last epoch.")
@click.option("--recipe", "name", default="quick", show_default=True, help="The recipe that --set changes.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs/imagenette"), show_default=True)
def main(model: str, size: int, seeds: int, whole: bool, name: str, settings: tuple[str, ...], run_dir: Path) -> None:
    """Train once per seed; the same command resumes after a stop."""
    changes = parse_settings(settings)
    recipe = cnnzoo.recipe(name, **({"keep": "last"} | changes if whole else changes))
    # A tenth of the photos validates unless all are trained on; the test photos are a folder of their own
    splits = (1, 0, 0) if whole else (0.9, 0.05, 0.05)

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "imagenette144", splits=splits, seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, classes=data.classes, image_size=size)
        return cnnzoo.fit_and_evaluate(network, data, recipe=recipe, seed=seed, run_dir=run_dir / str(seed))

    write_table(
        f"imagenette-{model}-{size}-{recipe.epochs}{'-whole' if whole else ''}",
        [measure_training(seed, lambda seed=seed: train(seed)) for seed in range(seeds)],
    )


if __name__ == "__main__":
    main()

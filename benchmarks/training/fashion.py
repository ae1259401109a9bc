"""Train a CIFAR ResNet-20 on Fashion-MNIST from scratch: 54,000 training images, 10,000 test images.

python benchmarks/training/fashion.py
"""

from pathlib import Path

import click
from common import DATA, measure_training, write_table

import cnnzoo
from cnnzoo.training.prepare import make_reproducible
from cnnzoo.training.recipe import parse_settings


@click.command()
@click.option("--model", default="resnet20", show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Number of trainings.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs/fashion"), show_default=True)
def main(model: str, seeds: int, settings: tuple[str, ...], run_dir: Path) -> None:
    """Train once per seed; the same command resumes after a stop."""
    recipe = cnnzoo.recipe("fashion", **parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "fashion_mnist.npz", seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, input_shape=(28, 28, 3), classes=10)
        return cnnzoo.fit_and_evaluate(network, data, recipe=recipe, seed=seed, run_dir=run_dir / str(seed))

    write_table(f"fashion-{model}", [measure_training(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

"""Fashion-MNIST from scratch by the CIFAR ResNet-20: 54,000 images to learn from, 10,000 held out.

python benchmarks/training/fashion.py
"""

from pathlib import Path

import click
from common import DATA, keep, row

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.training.prepare import make_reproducible


@click.command()
@click.option("--model", default="resnet20", show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs/fashion"), show_default=True)
def main(model: str, seeds: int, settings: tuple[str, ...], run_dir: Path) -> None:
    """Train once a seed; the same command goes on after a stop."""
    recipe = recipes.resolve_recipe("fashion", recipes.parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "fashion_mnist.npz", seed=seed)
        make_reproducible(seed)
        network = cnnzoo.get(model, input_shape=(28, 28, 3), classes=10)
        return cnnzoo.fit_and_evaluate(network, data, recipe=recipe, seed=seed, run_dir=run_dir / str(seed))

    keep(f"fashion-{model}", [row(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

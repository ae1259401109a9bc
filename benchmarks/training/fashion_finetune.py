"""Fine-tune on data whose features differ: a ResNet-56 of CIFAR-10 on 2,000 gray images of clothes, tested on 10,000.

python benchmarks/training/fashion_finetune.py --seeds 5
"""

import click
import numpy as np
from common import DATA, measure_training, write_table

import cnnzoo
from cnnzoo.training.recipe import parse_settings


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Number of trainings.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
def main(seeds: int, settings: tuple[str, ...]) -> None:
    """Fine-tune once per seed; the seed also draws the images."""
    recipe = cnnzoo.recipe("finetune", **parse_settings(settings))
    with np.load(DATA / "fashion_mnist.npz") as file:
        x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))

    def train(seed: int) -> cnnzoo.Report:
        sample = np.random.default_rng(seed).permutation(len(x))[:2_000]
        data = cnnzoo.load_data(((x[sample], y[sample]), (x_test, y_test)), seed=seed)
        model = cnnzoo.get("resnet56", weights=DATA / "checkpoints" / "resnet56-4bfd9763.th")
        return cnnzoo.fine_tune(model, data, recipe=recipe, seed=seed)

    write_table("fashion_finetune", [measure_training(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

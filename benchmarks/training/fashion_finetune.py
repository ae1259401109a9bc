"""Where the features do not fit: a ResNet-56 of CIFAR-10 learns clothes from 2,000 gray images, tested on 10,000.

python benchmarks/training/fashion_finetune.py --set learning_rate=0.01 --set bn=train --set batch_size=32 \\
    --set epochs=8
"""

import click
import numpy as np
from common import DATA, keep, row

import cnnzoo
from cnnzoo.training import recipes


@click.command()
@click.option("--seeds", default=3, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
def main(seeds: int, settings: tuple[str, ...]) -> None:
    """Fine-tune once a seed, which draws the images too."""
    recipe = recipes.resolve_recipe("finetune", recipes.parse_settings(settings))
    with np.load(DATA / "fashion_mnist.npz") as file:
        x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))

    def train(seed: int) -> cnnzoo.Report:
        some = np.random.default_rng(seed).permutation(len(x))[:2_000]
        data = cnnzoo.load_data(((x[some], y[some]), (x_test, y_test)), seed=seed)
        model = cnnzoo.get("resnet56", weights=DATA / "checkpoints" / "resnet56-4bfd9763.th")
        return cnnzoo.fine_tune(model, data, recipe=recipe, seed=seed)

    keep("fashion_finetune", [row(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

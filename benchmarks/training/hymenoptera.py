"""Fine-tune the GoogLeNet of 2014 on photos of ants and bees: 244 for training and validation, 153 for the test.

python benchmarks/training/hymenoptera.py --seeds 3
"""

import click
from common import DATA, measure_training, write_table

import cnnzoo
from cnnzoo.training.recipe import parse_settings


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Number of trainings.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
def main(seeds: int, settings: tuple[str, ...]) -> None:
    """Fine-tune once per seed; the seed also draws the validation photos."""
    recipe = cnnzoo.recipe("finetune", **parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "hymenoptera", seed=seed)
        model = cnnzoo.get("googlenet_2014", weights=DATA / "checkpoints" / "googlenet_bvlc.npz")
        return cnnzoo.fine_tune(model, data, recipe=recipe, seed=seed)

    write_table("hymenoptera", [measure_training(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

"""Ants and bees by the pretrained GoogLeNet of 2014: 153 photos held out, 244 to learn from and to validate.

python benchmarks/training/hymenoptera.py --seeds 3
"""

import click
from common import DATA, keep, row

import cnnzoo
from cnnzoo.training import recipes


@click.command()
@click.option("--seeds", default=3, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE")
def main(seeds: int, settings: tuple[str, ...]) -> None:
    """Fine-tune once a seed, which draws the validation photos too."""
    recipe = recipes.resolve_recipe("finetune", recipes.parse_settings(settings))

    def train(seed: int) -> cnnzoo.Report:
        data = cnnzoo.load_data(DATA / "hymenoptera", seed=seed)
        model = cnnzoo.get("googlenet_2014", weights=DATA / "checkpoints" / "googlenet_bvlc.npz")
        return cnnzoo.fine_tune(model, data, recipe=recipe, seed=seed)

    keep("hymenoptera", [row(seed, lambda seed=seed: train(seed)) for seed in range(seeds)])


if __name__ == "__main__":
    main()

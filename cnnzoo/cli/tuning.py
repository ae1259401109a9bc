"""The command that searches for a better recipe."""

from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.cli.data import data_options, load_from_options
from cnnzoo.cli.models import import_keras_quietly
from cnnzoo.core.errors import unknown_name

ORACLES = ("random", "bayesian", "hyperband", "grid")


@click.command()
@click.argument("model")
@click.argument("data")
@click.option(
    "--space", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A TOML file of what varies."
)
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--oracle", type=click.Choice(ORACLES), default="random", show_default=True, help="What chooses trials.")
@click.option("--objective", default="accuracy", show_default=True, help="The metric, on validation.")
@click.option("--recipe", help="What fields start from: sgd, or finetune from weights; or a TOML file.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of that recipe.")
@click.option("--weights", help="Fine-tune from published weights (a tag) or a checkpoint's file.")
@click.option("--image-size", nargs=2, type=click.IntRange(1), help="Height and width; the network's own by default.")
@data_options
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Final trainings of each recipe.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trials at a time.")
@click.option("--memory", type=click.FloatRange(0, min_open=True), help="Gigabytes that a trial may use.")
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds of doing nothing: a trial hangs.",
)
@click.option("--prune/--no-prune", default=True, help="End trials early that are far behind the others.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where to write; runs/tune-MODEL-DATA by default.")
@click.option("--resume/--no-resume", default=None, help="Go on with a search that has ended; refuse one that has not.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier search wrote there.")
def tune(model: str, data: str, **options: Any) -> None:
    """Search for a better recipe for MODEL on DATA, and compare it with the default on the test split.

    MODEL is a name, or NAME:TAG to fine-tune published weights. Ctrl-C stops; the same command goes on.
    The run directory gets trials.csv, best.toml (for train --recipe best.toml), report.html, and the best model in
    final/.
    """
    from cnnzoo.training import recipes

    name, _, tag = model.partition(":")
    cnnzoo.info(name)
    weights = options.pop("weights") or tag or None
    recipe, settings, memory = (options.pop(key) for key in ("recipe", "settings", "memory"))
    chosen = recipes.resolve_recipe(recipe or ("finetune" if weights else "sgd"), recipes.parse_settings(settings))
    running = ("trials", "oracle", "objective", "seeds", "workers", "patience", "prune")
    names = (*running, "space", "image_size", "run_dir", "resume", "overwrite")
    given = {key: options.pop(key) for key in names}
    from cnnzoo.evaluation.report import HEADLINE_METRICS
    from cnnzoo.tuning import space as spaces

    spaces.make_space(name, chosen, given["space"], bool(weights))  # before anything slow
    if given["objective"] not in HEADLINE_METRICS:
        raise unknown_name("metric", given["objective"], HEADLINE_METRICS)
    images, seed = load_from_options(data, **options), options["seed"]
    click.echo(images)
    import_keras_quietly()
    result = cnnzoo.tune(
        name, images, recipe=chosen, weights=weights, seed=seed, memory=memory and memory * 1e9, **given
    )
    if result:
        click.echo(result)
        click.echo(f"Written to {result.run_dir}: report.html, trials.csv, best.toml; the best model: {result.run}")


COMMANDS = (tune,)

"""The command that searches for a better recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

import cnnzoo
from cnnzoo.cli.declare import CheckedPath, option, take_options
from cnnzoo.cli.options import DataOptions, ModelOptions, RecipeOptions, RunDirOptions
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import unknown_name

ORACLES = ("random", "bayesian", "hyperband", "grid")


@dataclass(frozen=True)
class SearchOptions:
    """Options for running a search; the fields are arguments of `cnnzoo.tune`."""

    space: Path | None = field(
        metadata=option(
            type=CheckedPath(exists=True, dir_okay=False),
            help="TOML file with the search space.",
            show_default="the space of the model's family",
        )
    )
    trials: int = field(
        metadata=option(type=click.IntRange(1), default=20, show_default=True, help="Number of trials.")
    )
    oracle: str = field(
        metadata=option(
            type=click.Choice(ORACLES), default="random", show_default=True, help="Strategy that chooses the trials."
        )
    )
    objective: str = field(
        metadata=option(
            default="accuracy", show_default=True, help="Metric on the validation split that the search optimizes."
        )
    )
    seeds: int = field(
        metadata=option(
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Number of seeds with which the best and the default recipe are trained again, to compare them.",
        )
    )
    workers: int = field(
        metadata=option(
            type=click.IntRange(1), default=1, show_default=True, help="Number of trials that run at the same time."
        )
    )
    memory_gb: float | None = field(
        metadata=option(
            type=click.FloatRange(0, min_open=True),
            help="Memory limit of a trial in gigabytes.",
            show_default="80 % of the machine, divided by the workers",
        )
    )
    timeout: float = field(
        metadata=option(
            type=click.FloatRange(0, min_open=True),
            default=600.0,
            show_default=True,
            help="Seconds without progress after which a trial is stopped as hung.",
        )
    )
    prune: bool = field(
        metadata=option(
            "--prune/--no-prune",
            default=True,
            show_default=True,
            help="Stop trials early that are clearly worse than the others / run all to their end.",
        )
    )


@click.command()
@click.argument("model")
@click.argument("data")
@take_options(
    recipe_options=RecipeOptions,
    model_options=ModelOptions,
    data_options=DataOptions,
    search_options=SearchOptions,
    run_options=RunDirOptions,
)
def tune(
    model: str,
    data: str,
    recipe_options: RecipeOptions,
    model_options: ModelOptions,
    data_options: DataOptions,
    search_options: SearchOptions,
    run_options: RunDirOptions,
) -> None:
    """Search for a better recipe for MODEL on DATA.

    The best recipe is compared with the default recipe on the test split. MODEL is a name, or NAME:TAG to fine-tune
    published weights. After Ctrl-C, repeat the command to continue.

    The run directory, runs/tune-MODEL-DATA by default, receives trials.csv, best.toml (for train --recipe best.toml),
    report.html, and the best model in final/.
    """
    from cnnzoo.evaluation.report import HEADLINE_METRICS
    from cnnzoo.tuning.space import make_space

    # Check the request before anything slow.
    name, _, tag = model.partition(":")
    cnnzoo.info(name)
    weights = model_options.weights or tag or None
    recipe = recipe_options.resolve("finetune" if weights else "sgd")
    make_space(name, recipe, search_options.space, bool(weights))
    if search_options.objective not in HEADLINE_METRICS:
        raise unknown_name("metric", search_options.objective, HEADLINE_METRICS)

    images = data_options.load(data)
    echo(images)
    import_keras_quietly()
    result = cnnzoo.tune(
        name,
        images,
        recipe=recipe,
        weights=weights,
        image_size=model_options.image_size,
        seed=data_options.seed,
        **asdict(search_options),
        **asdict(run_options),
    )
    if result:
        echo(result)
        echo(f"Written to {result.run_dir}: report.html, trials.csv, best.toml; the best model: {result.run}")


COMMANDS = (tune,)

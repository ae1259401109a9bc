"""The command that searches for a better recipe."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import (
    check_model_options,
    check_new_model,
    check_source,
    download_weights,
    is_model_name,
)
from cnnzoo.cli.commands import COMMON, MACHINE, RUN, SEARCH, Choice
from cnnzoo.cli.complete import complete_trained_models
from cnnzoo.cli.declare import CheckedPath, option, take_options
from cnnzoo.cli.options import MODEL, SOURCE, ModelOptions, RecipeOptions, RunDirOptions, SearchDataOptions
from cnnzoo.cli.output import echo, echo_next_steps
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.training.trackers import TRACKERS, check_tracker

METRIC_NAMES = (  # those of `evaluation.report`, which is slow to import; a test compares them
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "top5_accuracy",
    "roc_auc",
    "average_precision",
    "log_loss",
    "calibration_error",
)
ORACLES = ("random", "bayesian", "hyperband", "grid")


@dataclass(frozen=True)
class SearchOptions:
    """Options for running a search; the fields are arguments of `cnnzoo.tune`."""

    space: Path | None = field(
        metadata=option(
            type=CheckedPath(exists=True, dir_okay=False),
            group=COMMON,
            metavar="FILE.toml",
            help="TOML file with the search space.",
            show_default="the space of the model's family",
        )
    )
    trials: int = field(
        metadata=option(type=click.IntRange(1), group=COMMON, default=20, show_default=True, help="Number of trials.")
    )
    oracle: str = field(
        metadata=option(
            type=Choice(ORACLES, "oracle"),
            group=SEARCH,
            default="random",
            show_default=True,
            help="Strategy that chooses the trials.",
        )
    )
    objective: str = field(
        metadata=option(
            type=Choice(METRIC_NAMES, "metric"),
            group=SEARCH,
            default="accuracy",
            show_default=True,
            help="Metric on the validation split that the search optimizes.",
        )
    )
    seeds: int = field(
        metadata=option(
            type=click.IntRange(1),
            group=SEARCH,
            default=1,
            show_default=True,
            help="Number of seeds with which the best and the default recipe are trained again, to compare them.",
        )
    )
    workers: int = field(
        metadata=option(
            type=click.IntRange(1),
            group=MACHINE,
            default=1,
            show_default=True,
            help="Number of trials that run at the same time.",
        )
    )
    memory_gb: float | None = field(
        metadata=option(
            type=click.FloatRange(0, min_open=True),
            group=MACHINE,
            help="Memory limit of a trial in gigabytes.",
            show_default="80 % of the machine, divided by the workers",
        )
    )
    timeout: float = field(
        metadata=option(
            type=click.FloatRange(0, min_open=True),
            group=MACHINE,
            default=600.0,
            show_default=True,
            help="Seconds without progress after which a trial is stopped as hung.",
        )
    )
    track: str | None = field(
        metadata=option(
            type=Choice(TRACKERS, "tracker"),
            group=RUN,
            help="Also send each trial to an experiment tracker, as a run of its own.",
        )
    )
    prune: bool = field(
        metadata=option(
            "--prune/--no-prune",
            group=SEARCH,
            default=True,
            show_default=True,
            help="Stop trials early that are clearly worse than the others / run all to their end.",
        )
    )


@commands.command()
@commands.argument(
    "model",
    **MODEL
    | {
        "shell_complete": complete_trained_models,
        "help": "Name of a model, or NAME:TAG or NAME:FILE to fine-tune published weights or a checkpoint of your own.",
    },
)
@commands.argument("data", **SOURCE)
@take_options(
    recipe_options=RecipeOptions,
    model_options=ModelOptions,
    data_options=SearchDataOptions,
    search_options=SearchOptions,
    run_options=RunDirOptions,
)
def tune(
    model: str,
    data: str,
    recipe_options: RecipeOptions,
    model_options: ModelOptions,
    data_options: SearchDataOptions,
    search_options: SearchOptions,
    run_options: RunDirOptions,
) -> None:
    """Search for a better recipe for MODEL on DATA.

    The best recipe is compared with the default recipe on the test split. After Ctrl-C, repeat the command to
    continue.

    The run directory, runs/tune-MODEL-DATA by default, receives trials.csv, best.toml (for train --recipe best.toml),
    report.html, and the best model in final/.
    """
    # Check the request before anything slow.
    from cnnzoo.tuning.space import make_space

    check_tracker(search_options.track, run_options.run_dir or "runs")
    name, _, tag = model.partition(":")
    if not is_model_name(name):
        check_new_model(model, data, None, None)
    weights = model_options.weights or tag or None
    recipe = recipe_options.resolve("finetune" if weights else "sgd")
    make_space(name, recipe, search_options.space, bool(weights))
    check_model_options(name, weights, model_options.image_size)
    if "KERASTUNER_TUNER_ID" not in os.environ:  # the processes of one search share its folder
        run_options.check(run_options.run_dir or default_search_dir(name, data))
    check_source(data)
    download_weights(name, weights)

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
        echo_next_steps(result.run_dir)


def default_search_dir(name: str, data: str) -> Path:
    """Return the folder for a search, as `cnnzoo.tune` chooses it for the source `data`."""
    return Path("runs") / f"tune-{name}-{Path(data.replace(':', '-')).stem}"


COMMANDS = (tune,)

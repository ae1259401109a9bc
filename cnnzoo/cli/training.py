"""The commands for training: train, fine-tune, lr-find and recipes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import (
    check_model_options,
    check_new_model,
    check_png,
    check_source,
    check_trained_model,
    download_weights,
    is_model_name,
)
from cnnzoo.cli.complete import complete_recipes
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.options import MODEL, SOURCE, TRAINED_MODEL, DataOptions, ModelOptions, RecipeOptions, RunOptions
from cnnzoo.cli.output import echo, echo_next_steps
from cnnzoo.cli.startup import import_keras_quietly, join_processes
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.images import ImageData
    from cnnzoo.evaluation.report import Report


@commands.command()
@commands.argument("model", **MODEL)
@commands.argument("data", **SOURCE)
@take_options(
    recipe_options=RecipeOptions, model_options=ModelOptions, data_options=DataOptions, run_options=RunOptions
)
def train(
    model: str,
    data: str,
    recipe_options: RecipeOptions,
    model_options: ModelOptions,
    data_options: DataOptions,
    run_options: RunOptions,
) -> None:
    """Train MODEL on DATA and evaluate it on the test split.

    The weights are fresh, unless --weights names some to start from; fine-tune is the command for small data sets.

    The run directory, runs/MODEL-DATA by default, receives report.html, report.json, predictions.csv, model.keras and
    run.json. After Ctrl-C or a crash, repeat the command to continue.
    """
    # Check the request before anything slow.
    check_new_model(model, data, **asdict(model_options))
    recipe = recipe_options.resolve("sgd")
    run_dir = run_options.run_dir or default_run_dir(model, data)
    if join_processes():
        run_options.check(run_dir)
    check_source(data)
    download_weights(model, model_options.weights)

    images = _load_images(data, data_options, run_options)
    network = cnnzoo.get(model, classes=images.classes, **asdict(model_options))
    _tell_conversion(network, images)
    with _recorded_command_line():
        report = cnnzoo.fit_and_evaluate(
            network, images, recipe=recipe, seed=data_options.seed, **asdict(run_options) | {"run_dir": run_dir}
        )
    _print_result(report, images)


@commands.command("fine-tune")
@commands.argument("model", **TRAINED_MODEL)
@commands.argument("data", **SOURCE)
@take_options(
    recipe_options=RecipeOptions, model_options=ModelOptions, data_options=DataOptions, run_options=RunOptions
)
def fine_tune(
    model: str,
    data: str,
    recipe_options: RecipeOptions,
    model_options: ModelOptions,
    data_options: DataOptions,
    run_options: RunOptions,
) -> None:
    """Adapt the pretrained MODEL to DATA.

    A new head is fitted first, then the stages below it are trained as well. MODEL may also be the name of a model,
    with --weights. If its classes differ from those of DATA, it gets a new head. The tuned weights are kept if they are
    better on validation than the head alone (the linear probe); the report shows the figures of both.
    """
    name, _, tag = model.partition(":")
    is_file = path_exists(model) or not model
    weights = model_options.weights or tag

    # Check the request before anything slow.
    if is_file and (model_options.weights or model_options.image_size):
        raise InputError("--weights and --image-size are for models given by name; a run or a file has both already")
    if not is_model_name(model):
        check_trained_model(model, data, takes_exports=False)
    if not is_file and not weights:
        tags = [row.tag for row in cnnzoo.info(name).weights if row.include_top]
        published = f"{name}:{tags[0].partition('.')[0]}" if tags else f"none are published for {name}"
        raise InputError(
            f"Fine-tuning needs pretrained weights: {published}, or {name}:FILE with a checkpoint of your own. "
            "To train without, use cnnzoo train"
        )
    if not is_file:
        check_model_options(name, weights, model_options.image_size)
    recipe = recipe_options.resolve("finetune")
    run_dir = run_options.run_dir or default_run_dir(model if is_file else name, data)
    if join_processes():
        run_options.check(run_dir)
    check_source(data)
    if not is_file:
        download_weights(name, weights)

    images = _load_images(data, data_options, run_options)
    network = (
        open_trainable_model(model)
        if is_file
        else cnnzoo.get(name, weights=weights, image_size=model_options.image_size)
    )
    _tell_conversion(network, images)
    with _recorded_command_line():
        report = cnnzoo.fine_tune(
            network, images, recipe=recipe, seed=data_options.seed, **asdict(run_options) | {"run_dir": run_dir}
        )
    _print_result(report, images)


def open_trainable_model(path: str) -> keras.Model:
    """Return the Keras model of a run or a .keras file.

    Raises:
        InputError: if `path` holds an export.
    """
    model = cnnzoo.load(path).model
    if model is None:
        raise InputError(f"Only a run or a .keras file can be fine-tuned. Received the export {path!r}")
    return model


def default_run_dir(model: str, data: str) -> Path:
    """Return the folder for a run of `model`, a name or a path, on the source `data`."""
    return Path("runs") / f"{Path(model).stem}-{Path(data.replace(':', '-')).stem}"


def _tell_conversion(network: keras.Model, images: ImageData) -> None:
    """Print a note if the images lose their color, because the network takes gray ones."""
    height, width, channels = network.input_shape[1:]
    if channels == 1 and images.train.images.shape[3] > 1:
        echo(
            f"Note: {network.name} takes gray images of {height}x{width} pixels, so the color images are converted. A "
            "network for color images, such as resnet18, usually classifies them better"
        )


def _load_images(data: str, data_options: DataOptions, run_options: RunOptions) -> ImageData:
    """Load and describe the data, then prepare Keras, so that wrong data fails before Keras is imported."""
    images = data_options.load(data)
    echo(images)
    import_keras_quietly()
    from cnnzoo.training.prepare import make_reproducible

    make_reproducible(data_options.seed, run_options.deterministic)
    return images


@contextlib.contextmanager
def _recorded_command_line() -> Iterator[None]:
    """Let a run in the block record the words of this command, which `cnnzoo rerun` repeats."""
    from cnnzoo.training.run import COMMAND_LINE

    token = COMMAND_LINE.set(click.get_current_context().find_root().obj or ())
    try:
        yield
    finally:
        COMMAND_LINE.reset(token)


def _print_result(report: Report, images: ImageData) -> None:
    """Print the files of the run directory, then the report, which says why training ended early, and what is next."""
    if report.run_dir is None:  # of several processes, the first one writes and prints
        return
    files = ["report.html", "report.json", "predictions.csv"]
    files += ["labels_to_check.csv"] if len(report.suspects) else []
    files += ["model.keras", "run.json"]
    files += ["doctor.html", "doctor.json"] if images.diagnosis else []
    files += ["fix_list.csv"] if images.fix_list else []
    echo(f"Written to {report.run_dir}: {', '.join(files)}")
    echo(report)
    echo_next_steps(report.run_dir)


@commands.command("lr-find")
@commands.argument("model", **MODEL)
@commands.argument("data", **SOURCE)
@take_options(recipe_options=RecipeOptions, model_options=ModelOptions, data_options=DataOptions)
@commands.option(
    "--steps", type=click.IntRange(10), default=100, show_default=True, help="Training steps, each at a higher rate."
)
@commands.option(
    "--out",
    type=CheckedPath(),
    default=Path("lr_find.png"),
    show_default=True,
    help="The PNG file to write.",
)
def lr_find(
    model: str,
    data: str,
    recipe_options: RecipeOptions,
    model_options: ModelOptions,
    data_options: DataOptions,
    steps: int,
    out: Path,
) -> None:
    """Find a learning rate for MODEL on DATA by a range test.

    A range test trains for a few steps with rising learning rates; the loss is plotted over the rate into a PNG file.
    With --weights, the settings are those of fine-tune: the last stages are trained, as the recipe finetune says.
    To run the test at the start of a training, use --learning-rate auto.
    """
    check_new_model(model, data, **asdict(model_options))
    recipe = recipe_options.resolve("finetune" if model_options.weights else "sgd")
    if recipe_options.epochs is not None or recipe_options.learning_rate is not None:
        echo("Note: --epochs and --learning-rate have no effect on a range test; --steps is its length", err=True)
    check_png(out)
    check_source(data)
    download_weights(model, model_options.weights)

    images = data_options.load(data)
    import_keras_quietly()
    from cnnzoo.training.prepare import make_reproducible
    from cnnzoo.training.recipes import find_named_recipe

    make_reproducible(data_options.seed)
    network = cnnzoo.get(model, classes=images.classes, **asdict(model_options))
    range_test = cnnzoo.lr_find(network, images, recipe=recipe, seed=data_options.seed, steps=steps)
    range_test.save(out)
    echo(f"{range_test}\nWritten to {out}")
    command = "fine-tune" if model_options.weights else "train"
    named = find_named_recipe(recipe)
    tested = f"Tested with the settings of the recipe {named}. " if named else ""
    echo(f"{tested}To use the rate, add --learning-rate {range_test.suggestion:.2g} to cnnzoo {command}")


@commands.command("recipes")
@commands.argument("name", required=False, shell_complete=complete_recipes, help="A recipe, or a .toml file.")
def recipes_command(name: str | None) -> None:
    """List the training recipes: source, cost and result.

    With NAME, show one recipe with all its fields, and which of them have no effect.
    """
    from cnnzoo.training.recipe import SETTABLE_FIELDS
    from cnnzoo.training.recipes import RECIPES, resolve_recipe

    for recipe_name in [name] if name else RECIPES:
        recipe = resolve_recipe(recipe_name)
        echo(f"{recipe_name}\n  source   {recipe.source}\n  cost     {recipe.cost}\n  result   {recipe.result}")
        if name:
            unused = recipe.unused_fields()
            remarks = {"aux_weight": "for networks with auxiliary heads"}
            if recipe.optimizer != "sgd":
                remarks["momentum"] = f"the first beta of {recipe.optimizer}"
            for field in SETTABLE_FIELDS:
                if field not in unused:
                    remark = f"  ({remarks[field]})" if field in remarks else ""
                    echo(f"  {field:15} {getattr(recipe, field)}{remark}")
            if unused:
                echo(f"  without effect here: {', '.join(unused)}")


COMMANDS = (train, fine_tune, lr_find, recipes_command)

"""The commands that train: from scratch, from pretrained weights, again; and what helps to choose how."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.cli.data import data_options, load_from_options
from cnnzoo.cli.models import import_keras_quietly
from cnnzoo.core.errors import InputError

recipe_options = [
    click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe."),
    click.option("--weights", help="Start from published weights (a tag) or a checkpoint's file."),
    click.option(
        "--image-size", nargs=2, type=click.IntRange(1), help="Height and width; the network's own by default."
    ),
]
run_options = [
    click.option("--run-dir", type=click.Path(path_type=Path), help="Where to write."),
    click.option(
        "--resume/--no-resume", default=None, help="Measure a run that has ended again; refuse one that has not."
    ),
    click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote there."),
    click.option("--devices", help="auto for all local GPUs, or their names, separated by commas."),
    click.option("--tensorboard", is_flag=True, help="Write event files into the run directory."),
    click.option("--deterministic/--fast", default=True, help="Operations that give the same bits each time, or any."),
    click.option(
        "--checkpoint-every",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Seconds between the states kept within an epoch.",
    ),
]


def apply_options(*options: Any) -> Callable[[Any], Any]:
    """Return a decorator that adds `options` to a command, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--recipe", default="sgd", show_default=True, help="How to train; cnnzoo recipes shows all.")
@apply_options(*recipe_options)
@data_options
@apply_options(*run_options)
def train(model: str, data: str, **options: Any) -> None:
    """Train MODEL on DATA and report on the test split.

    DATA is a folder of photos with a sub-folder a class, a CSV or Parquet table of them, an .npz file, tfds:NAME, or
    "digits".

    The run directory, runs/MODEL-DATA by default, gets report.html, report.json, predictions.csv, model.keras and
    run.json. Ctrl-C stops between two steps; the same command goes on, after a crash too.
    """
    cnnzoo.info(model)  # names are checked before anything slow
    _train_and_report(
        "fit_and_evaluate", model, data, lambda names, **keys: cnnzoo.get(model, classes=names, **keys), **options
    )


@click.command("fine-tune")
@click.argument("model")
@click.argument("data")
@click.option("--recipe", default="finetune", show_default=True, help="How to train; cnnzoo recipes shows all.")
@apply_options(*recipe_options)
@data_options
@apply_options(*run_options)
def fine_tune(model: str, data: str, **options: Any) -> None:
    """Train pretrained MODEL on DATA, gently: its head first, then the stages below, the last one first.

    MODEL is NAME:TAG like resnet50:imagenet, NAME with --weights, a run, or a .keras file. Where its classes are not
    those of DATA it gets a new head. What is kept is never worse on validation than the head alone, the linear probe,
    whose figures the report shows too.
    """
    name, _, tag = model.partition(":")
    if Path(model).exists():
        if options["weights"] or options["image_size"]:
            raise InputError("--weights and --image-size are for networks by name, which a run or a file has already")
        _train_and_report("fine_tune", model, data, lambda names: open_trainable_model(model), **options)
        return
    cnnzoo.info(name)
    weights = options.pop("weights") or tag
    if not weights:
        raise InputError(
            f"Weights are fine-tuned: {name}:imagenet, or --weights with a file. cnnzoo train starts from scratch"
        )
    _train_and_report(
        "fine_tune", name, data, lambda names, **keys: cnnzoo.get(name, **keys), weights=weights, **options
    )


def open_trainable_model(path: str) -> Any:
    """The Keras model of a run or a file."""
    model = cnnzoo.load(path).model
    if model is None:
        raise InputError(f"A run or a .keras file is fine-tuned. Received the export {path!r}")
    return model


def _train_and_report(
    trainer: str,
    model: str,
    data: str,
    make: Callable[..., Any],
    recipe: str,
    settings: tuple[str, ...],
    weights: str | None,
    image_size: tuple[int, int] | None,
    run_dir: Path | None,
    **options: Any,
) -> None:
    """Load the data, make the model, train it and say what became of it."""
    from cnnzoo.training import recipes

    chosen = recipes.resolve_recipe(recipe, recipes.parse_settings(settings))
    names = ("resume", "overwrite", "devices", "tensorboard", "deterministic", "checkpoint_every")
    running = {name: options.pop(name) for name in names}
    images, seed = load_from_options(data, **options), options["seed"]
    where = run_dir or Path("runs") / f"{Path(model).stem}-{Path(data.replace(':', '-')).stem}"
    click.echo(images)
    import_keras_quietly()
    from cnnzoo.training.prepare import make_reproducible
    from cnnzoo.training.run import COMMAND_LINE

    make_reproducible(seed, running["deterministic"])
    keys: dict[str, Any] = {"weights": weights} if weights else {}
    network = make(images.classes, **keys, **({"input_shape": image_size} if image_size else {}))
    token = COMMAND_LINE.set(click.get_current_context().find_root().obj or ())
    try:
        report = getattr(cnnzoo, trainer)(network, images, recipe=chosen, run_dir=where, seed=seed, **running)
    finally:
        COMMAND_LINE.reset(token)
    click.echo(report)
    looked = ", doctor.html, doctor.json" if images.diagnosis else ""
    click.echo(f"Written to {where}: report.html, report.json, predictions.csv, model.keras, run.json{looked}")


@click.command("lr-find")
@click.argument("model")
@click.argument("data")
@click.option("--recipe", default="sgd", show_default=True, help="How to train; cnnzoo recipes shows all.")
@apply_options(*recipe_options)
@data_options
@click.option("--steps", type=click.IntRange(10), default=100, show_default=True, help="Of training, at rising rates.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("lr_find.png"), show_default=True)
def lr_find(
    model: str,
    data: str,
    recipe: str,
    settings: tuple[str, ...],
    weights: str | None,
    image_size: tuple[int, int] | None,
    steps: int,
    out: Path,
    **options: Any,
) -> None:
    """Find the learning rate for MODEL on DATA: train a little at rising rates and draw the loss into a PNG file.

    --set learning_rate=auto does this at the beginning of a training.
    """
    from cnnzoo.training import recipes

    cnnzoo.info(model)
    chosen = recipes.resolve_recipe(recipe, recipes.parse_settings(settings))
    if out.suffix.lower() != ".png" or out.is_dir() or not out.resolve().parent.is_dir():
        raise InputError(f"The picture is a .png file in a folder that is there. Received: {str(out)!r}")
    images = load_from_options(data, **options)
    import_keras_quietly()
    from cnnzoo.training.prepare import make_reproducible

    make_reproducible(options["seed"])
    keys: dict[str, Any] = {"weights": weights, "input_shape": image_size}
    network = cnnzoo.get(model, classes=images.classes, **keys)
    found = cnnzoo.lr_find(network, images, recipe=chosen, seed=options["seed"], steps=steps)
    found.save(out)
    click.echo(f"{found}\nDrawn into {out}")


@click.command("recipes")
@click.argument("name", required=False)
def recipes_command(name: str | None) -> None:
    """The recipes of train: what each is for, what it costs and what it reached; of one NAME its fields too."""
    from cnnzoo.training import recipes

    for each in [name] if name else recipes.RECIPES:
        recipe = recipes.resolve_recipe(each)
        click.echo(f"{each}\n  from     {recipe.source}\n  cost     {recipe.cost}\n  reached  {recipe.result}")
        if name:
            click.echo("\n".join(f"  {field:15} {getattr(recipe, field)}" for field in recipes.SETTABLE_FIELDS))


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where to write; RUN-again by default.")
def rerun(run: Path, run_dir: Path | None) -> None:
    """Repeat RUN, a run's folder or its run.json, and compare: every figure, and the versions of everything.

    Exits with 1 where a figure differs.
    """
    from cnnzoo.training.run import flatten_dict, installed_versions

    folder = (run.parent if run.is_file() else run).resolve()
    try:
        record, before = (json.loads((folder / name).read_bytes()) for name in ("run.json", "report.json"))
        command, home, then = list(record["command"]), Path(record["folder"]), dict(record["versions"])
        assert all(isinstance(word, str) for word in command), f"the command {command}"
        assert isinstance(before, dict) and home.is_dir(), f"the folder {home} in which it ran"
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise InputError(f"{folder} holds no run of train or fine-tune that has ended: {error}") from None
    if command[:1] not in (["train"], ["fine-tune"]):
        raise InputError(
            f"{folder} was made by a program, {' '.join(command)!r}: run that again. Commands are repeated"
        )
    again = (run_dir or folder.with_name(f"{folder.name}-again")).resolve()
    root = click.get_current_context().find_root().command
    arguments = [*_without_run_options(command), "--run-dir", str(again)]
    with contextlib.chdir(home):
        root.main(arguments, standalone_mode=False, obj=arguments)
    after = flatten_dict(json.loads((again / "report.json").read_bytes()))
    for name, value in installed_versions().items():
        if then.get(name) != value:
            click.echo(f"{name}: {then.get(name)} then, {value} now")
    differs = [name for name, value in flatten_dict(before).items() if after.get(name) != value]
    for name in differs[:20]:
        click.echo(f"{name}: {flatten_dict(before)[name]} then, {after.get(name)} now")
    if differs:
        click.echo(f"{len(differs)} of {len(after)} figures differ", err=True)
        sys.exit(1)
    click.echo(f"The same: all {len(after)} figures of {folder} and {again}")


def _without_run_options(command: list[str]) -> list[str]:
    """A command without what says where to write, and whether to go on there."""
    kept, skip = [], False
    for word in command:
        if not skip and word not in ("--run-dir", "--resume", "--no-resume", "--overwrite"):
            kept += [] if word.startswith("--run-dir=") else [word]
        skip = word == "--run-dir"
    return kept


COMMANDS = (train, fine_tune, lr_find, recipes_command, rerun)

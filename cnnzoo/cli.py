"""The command line: one command a verb. Heavy imports happen inside the commands."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.errors import InputError, Interrupted, TrainingError

run_dir = click.option("--run-dir", type=click.Path(path_type=Path), help="Where to write.", show_default=True)
seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace what an earlier run or export wrote there.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(cnnzoo.__version__, prog_name="cnnzoo")
def cli() -> None:
    """The classic convolutional networks for Keras 3, from images to an exported classifier.

    \b
    A first look:     cnnzoo demo
    What there is:    cnnzoo list 'lenet*';  cnnzoo info lenet5
    Train, evaluate:  cnnzoo train lenet5 digits --recipe digits --run-dir runs/a
    Use:              cnnzoo predict runs/a photo.png
    Deploy:           cnnzoo export runs/a exported
    """


@cli.command()
@run_dir
@seed
def demo(run_dir: Path | None, seed: int) -> None:
    """Train LeNet-5 on real handwritten digits, evaluate, export, and use the export: about a minute."""
    load_keras()
    from cnnzoo.demo import demo

    demo(run_dir or Path("runs/demo"), seed)


@cli.command("list")
@click.argument("pattern", default="*")
@click.option("--family", help="Only this family.")
@click.option("--weights", is_flag=True, default=None, help="Only models with published weights.")
def list_(pattern: str, family: str | None, weights: bool | None) -> None:
    """Names that match PATTERN (as in file names: 'resnet*'), with their sizes and weights."""
    infos = [cnnzoo.info(name) for name in cnnzoo.list_models(pattern, family=family, weights=weights)]
    if not infos:
        raise InputError(f"No model matches {pattern!r}; cnnzoo list shows all")
    rows = [("name", "family", "input", "parameters", "multiply-adds", "weights")]
    for i in infos:
        size, tags = "x".join(map(str, i.row.input_shape)), ", ".join(w.tag for w in i.weights)
        rows.append((i.name, i.family, size, f"{i.row.params:,}", f"{i.row.macs:,}", tags))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:  # by hand: to import rich takes as long as all the rest
        cells = [f"{cell:{'>' if i in (3, 4) else '<'}{widths[i]}}" for i, cell in enumerate(row)]
        click.echo("  ".join(cells).rstrip())


@cli.command()
@click.argument("model")
def info(model: str) -> None:
    """Input, parameters, paper and published weights of MODEL."""
    click.echo(cnnzoo.info(model))


@cli.command()
@click.argument("model")
@click.argument("data")
@click.option("--recipe", default="sgd", show_default=True, help="How to train.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--weights", help="Start from published weights (a tag) or a .safetensors file.")
@click.option(
    "--split", nargs=3, type=float, default=(0.8, 0.1, 0.1), show_default=True, help="Train, validation, test."
)
@click.option("--pad", type=click.IntRange(0), help="Black pixels to leave around the resized image.")
@run_dir
@seed
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@overwrite
def train(
    model: str,
    data: str,
    recipe: str,
    settings: tuple[str, ...],
    weights: str | None,
    split: tuple[float, float, float],
    pad: int | None,
    run_dir: Path | None,
    seed: int,
    resume: bool,
    overwrite: bool,
) -> None:
    """Train MODEL on DATA ("digits" or an .npz file) and report on the test split.

    The run directory, runs/MODEL-DATA by default, gets report.html, report.json, predictions.csv, model.keras and
    run.json. Ctrl-C stops between two steps; the same command with --resume goes on after the last whole epoch.
    """
    from cnnzoo.training import recipes

    cnnzoo.info(model)  # names are checked before anything slow
    chosen = recipes.find(recipe, recipes.parse(settings))
    images = cnnzoo.load_data(data, split=split, seed=seed, pad=pad)
    where = run_dir or Path("runs") / f"{model}-{Path(data).stem}"
    click.echo(images)
    load_keras()
    from cnnzoo.training.loop import reproducible

    reproducible(seed)
    network = cnnzoo.get(model, weights=weights, classes=images.classes)
    report = cnnzoo.fit_and_evaluate(
        network, images, recipe=chosen, run_dir=where, seed=seed, resume=resume, overwrite=overwrite
    )
    click.echo(report)
    click.echo(f"Written to {where}: report.html, report.json, predictions.csv, model.keras, run.json")


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--on", default="test", show_default=True, help="The split to evaluate on.")
@click.option(
    "--split", nargs=3, type=float, default=(0.8, 0.1, 0.1), show_default=True, help="Train, validation, test."
)
@seed
@click.option("--out", type=click.Path(path_type=Path), help="Write the report here too.")
def evaluate(path: Path, data: str, on: str, split: tuple[float, float, float], seed: int, out: Path | None) -> None:
    """Evaluate the model at PATH (a run or a .keras file) on DATA.

    Give the run's own --split and --seed, or images that the model was trained on count as test images.
    """
    load_keras()
    model = cnnzoo.load(path).model
    if model is None:
        raise InputError(f"A run or a .keras file is evaluated. Received the export {str(path)!r}")
    report = cnnzoo.evaluate(model, cnnzoo.load_data(data, split=split, seed=seed), split=on)
    if out:
        report.save(out)
    click.echo(report)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Classes to show.")
def predict(path: Path, images: tuple[str, ...], top: int) -> None:
    """Class names and probabilities of IMAGES, by the model at PATH (a run, a .keras file or an export)."""
    load_keras()
    for image, prediction in zip(images, cnnzoo.load(path).predict(list(images), top=top), strict=True):
        click.echo(f"{image}: {prediction}")


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", default="saved_model", show_default=True, help="What to write.")
@overwrite
def export(path: Path, out: Path, format: str, overwrite: bool) -> None:
    """Export the model at PATH (a run or a .keras file) to the folder OUT, compared before it is called done."""
    load_keras()
    done = cnnzoo.export(path, out, format, overwrite=overwrite)
    click.echo(f"Written to {out}; its probabilities are within {done.difference:.1g} of the model's")


def load_keras() -> None:
    """Import Keras and its backend without TensorFlow's notes on the machine, which no setting stops.

    See https://github.com/tensorflow/tensorflow/issues/100442.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 2 for wrong input, 1 for failed training, 130 after Ctrl-C."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            cli.main(arguments, prog_name="cnnzoo", standalone_mode=False)
    except InputError as error:
        _end(error, 2)
    except TrainingError as error:
        _end(error, 1)
    except Interrupted as stop:
        _end(stop, 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("Stopped", 130)


def _end(message: Any, code: int) -> None:
    click.echo(f"Error: {' '.join(str(message).split())}" if code < 3 else str(message), err=True)
    sys.exit(code)

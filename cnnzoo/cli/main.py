"""The command line: one command a verb. Heavy imports happen inside the commands."""

import errno
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.cli import data, export, models, training, tuning
from cnnzoo.cli.data import data_options, load_from_options
from cnnzoo.cli.export import open_classifier
from cnnzoo.cli.models import import_keras_quietly
from cnnzoo.core.errors import InputError, Interrupted, TrainingError

run_dir_option = click.option("--run-dir", type=click.Path(path_type=Path), help="Where to write.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of every random draw."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(cnnzoo.__version__, prog_name="cnnzoo")
def cli() -> None:
    """The classic convolutional networks for Keras 3, from images to an exported classifier.

    \b
    A first look:     cnnzoo demo
    What there is:    cnnzoo list 'vgg*';  cnnzoo info resnet50;  cnnzoo diff resnet50 resnet50_v1
    Weights:          cnnzoo fetch resnet50:imagenet;  cnnzoo convert net.pth resnet50 net.safetensors
    Your photos:      cnnzoo doctor photos/;  cnnzoo show photos/ --augment rand
    Train, evaluate:  cnnzoo train lenet5 digits --recipe digits --run-dir runs/a
    Fine-tune:        cnnzoo fine-tune resnet50:imagenet photos/ --run-dir runs/b
    Better recipes:   cnnzoo tune resnet18 photos/ --trials 20 --run-dir runs/c
    Use:              cnnzoo predict runs/a photo.png;  cnnzoo predict lenet5:mnist digit.png
    A whole folder:   cnnzoo predict runs/a photos/ --out answers.csv
    Deploy:           cnnzoo export runs/a exported --format onnx
    """


for room in (models, data, training, tuning, export):
    for command in room.COMMANDS:
        cli.add_command(command)


@cli.command()
@run_dir_option
@seed_option
def demo(run_dir: Path | None, seed: int) -> None:
    """Train LeNet-5 on real handwritten digits, evaluate, export, and use the export: under a minute."""
    import_keras_quietly()
    from cnnzoo.cli.demo import DEFAULT_RUN_DIR, run_demo

    run_demo(run_dir or DEFAULT_RUN_DIR, seed)


@cli.command()
@click.argument("model")
@click.argument("data")
@click.option("--on", default="test", show_default=True, help="The split to evaluate on.")
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="Write the report here too.")
def evaluate(model: str, data: str, on: str, out: Path | None, **options: Any) -> None:
    """Evaluate MODEL (a run, a .keras file, or NAME:TAG like lenet5:mnist) on DATA.

    Give the run's own --split and --seed, or images that the model was trained on count as test images.
    """
    network = open_classifier(model).model
    if network is None:
        raise InputError(f"A run, a .keras file or NAME:TAG is evaluated. Received the export {model!r}")
    report = cnnzoo.evaluate(network, load_from_options(data, **options), split=on)
    if out:
        if (out / "run.json").exists():
            raise InputError(f"{out} holds a run, whose report stays as it is; choose another folder")
        report.save(out)
    click.echo(report)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 2 for wrong input, 1 for failed training, 130 after Ctrl-C."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            asked = sys.argv[1:] if arguments is None else arguments
            cli.main(arguments, prog_name="cnnzoo", standalone_mode=False, obj=asked)
    except InputError as error:
        _exit_with_message(error, 2)
    except TrainingError as error:
        _exit_with_message(error, 1)
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        _exit_with_message(error, 2)  # an extra that is not there
    except OSError as error:  # a disk that is full, say; a name that is too long is wrong input
        _exit_with_message(error, 2 if error.errno == errno.ENAMETOOLONG else 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:  # click makes an Abort of any KeyboardInterrupt
        _exit_with_message(stop.__cause__ if isinstance(stop.__cause__, Interrupted) else "Stopped", 130)


def _exit_with_message(message: Any, code: int) -> None:
    click.echo(f"Error: {' '.join(str(message).split())}" if code < 3 else str(message), err=True)
    sys.exit(code)

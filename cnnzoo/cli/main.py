"""The command `cnnzoo` and its entry point; the commands themselves are in the other files of this folder.

Keras, TensorFlow and other modules that are slow to import are imported inside the commands, so that help, `list` and
`info` respond immediately.
"""

import atexit
import contextlib
import difflib
import errno
import gc
import os
import sys
import traceback
import warnings

import click

import cnnzoo
from cnnzoo.cli.benchmark import COMMANDS as BENCHMARK_COMMANDS
from cnnzoo.cli.board import COMMANDS as BOARD_COMMANDS
from cnnzoo.cli.checks import describe_missing_model
from cnnzoo.cli.commands import Command, Group, argument
from cnnzoo.cli.compare import COMMANDS as COMPARE_COMMANDS
from cnnzoo.cli.complete import COMMANDS as COMPLETION_COMMANDS
from cnnzoo.cli.data import COMMANDS as DATA_COMMANDS
from cnnzoo.cli.demo import COMMANDS as DEMO_COMMANDS
from cnnzoo.cli.explain import COMMANDS as EXPLAIN_COMMANDS
from cnnzoo.cli.export import COMMANDS as EXPORT_COMMANDS
from cnnzoo.cli.inference import COMMANDS as INFERENCE_COMMANDS
from cnnzoo.cli.launch import COMMANDS as LAUNCH_COMMANDS
from cnnzoo.cli.merge import COMMANDS as MERGE_COMMANDS
from cnnzoo.cli.messages import prefer_options
from cnnzoo.cli.models import COMMANDS as MODEL_COMMANDS
from cnnzoo.cli.output import READER_GONE, ReaderGoneError, discard_output, echo, prepare_streams
from cnnzoo.cli.pack import COMMANDS as PACK_COMMANDS
from cnnzoo.cli.rerun import COMMANDS as RERUN_COMMANDS
from cnnzoo.cli.serve import COMMANDS as SERVE_COMMANDS
from cnnzoo.cli.startup import leave_processes
from cnnzoo.cli.training import COMMANDS as TRAINING_COMMANDS
from cnnzoo.cli.tuning import COMMANDS as TUNING_COMMANDS
from cnnzoo.core.errors import InputError, Interrupted, TrainingError
from cnnzoo.core.memory import describe_memory_error

MEMORY_REMEDY = "Use smaller images (--image-size) or smaller batches (--batch-size, --set batch_size=...)"
WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130  # exit codes

# At its end Python looks several times for garbage among all objects, of which TensorFlow has a million: seconds in
# which the command seems to hang.
atexit.register(gc.freeze)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(cnnzoo.__version__, "-V", "--version", prog_name="cnnzoo")
def cli() -> None:
    """Classic convolutional networks for Keras 3, from a folder of images to an exported classifier.

    \b
    See it work:         cnnzoo demo
    List the models:     cnnzoo list 'vgg*';  cnnzoo info resnet50;  cnnzoo diff resnet50 resnet50_v1
    Get weights:         cnnzoo fetch resnet50:imagenet;  cnnzoo convert net.pth resnet50 net.safetensors
    Check your images:   cnnzoo doctor photos/;  cnnzoo show photos/ --augment rand
    Pack many images:    cnnzoo pack photos/ packed/;  cnnzoo train resnet18 packed/
    Train and evaluate:  cnnzoo train lenet5 digits --recipe digits --run-dir runs/a
    Fine-tune:           cnnzoo fine-tune resnet50:imagenet photos/ --run-dir runs/b
    Train on hosts:      cnnzoo launch -n 2 -- train resnet18 photos/
    Search for recipes:  cnnzoo tune resnet18 photos/ --trials 20 --run-dir runs/c
    Compare runs:        cnnzoo board runs/
    Classify images:     cnnzoo predict runs/a photo.png;  cnnzoo predict resnet50:imagenet photo.jpg
    See why:             cnnzoo explain runs/a photos/ --out why.html
    Classify a folder:   cnnzoo predict runs/a photos/ --out predictions.csv
    On many machines:    cnnzoo predict runs/a photos/ --out answers.parquet --shard 3/16
                         cnnzoo merge answers.parquet
    Compare two runs:    cnnzoo compare runs/a runs/b --out compare.html
    Choose an export:    cnnzoo benchmark runs/a photos/ --out benchmark.html
    Deploy:              cnnzoo export runs/a exported;  cnnzoo serve exported
    """


@cli.command("help", cls=Command)
@argument("name", required=False, metavar="[COMMAND]", help="A command.")
@click.pass_context
def help_command(context: click.Context, name: str | None) -> None:
    """Show the help of a command, as `cnnzoo COMMAND --help` does."""
    root = context.find_root()
    if name is None:
        echo(root.get_help())
        return
    _, command, _ = cli.resolve_command(root, [name])
    assert command
    with click.Context(command, info_name=name, parent=root) as own_context:
        echo(command.get_help(own_context))


for command in (
    *BENCHMARK_COMMANDS,
    *BOARD_COMMANDS,
    *COMPARE_COMMANDS,
    *COMPLETION_COMMANDS,
    *DATA_COMMANDS,
    *DEMO_COMMANDS,
    *EXPLAIN_COMMANDS,
    *EXPORT_COMMANDS,
    *INFERENCE_COMMANDS,
    *LAUNCH_COMMANDS,
    *MERGE_COMMANDS,
    *MODEL_COMMANDS,
    *PACK_COMMANDS,
    *RERUN_COMMANDS,
    *SERVE_COMMANDS,
    *TRAINING_COMMANDS,
    *TUNING_COMMANDS,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: exit with 2 for wrong input, 1 for failed training, and 130 after Ctrl-C.

    It ends with 141 if the reader of its output has ended, as in `| head`.

    Args:
        arguments: words of the command, without "cnnzoo" in front; those of the process by default.
    """
    prepare_streams()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: echo(f"Warning: {prefer_options(str(message))}", err=True)
            cli.main(arguments, prog_name="cnnzoo", standalone_mode=False, obj=words)
        leave_processes()
        discard_output()
    except InputError as error:
        _exit_with_error(error, WRONG_INPUT)
    except TrainingError as error:
        _exit_with_error(error, FAILED)
    except ImportError as error:
        if "pip install" not in str(error):  # Only a missing extra names the remedy; anything else is a bug.
            raise
        _exit_with_error(error, WRONG_INPUT)
    except ReaderGoneError:
        discard_output()
        sys.exit(READER_GONE)
    except OSError as error:  # A full disk is a failure, but a file name that is too long is wrong input.
        code = WRONG_INPUT if error.errno == errno.ENAMETOOLONG else FAILED
        _exit_with_error(_describe_lack_of_memory(error) or error, code)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # `cnnzoo` alone; click has the class since 8.2
            error.show()
            sys.exit(error.exit_code)
        _exit_with_error(_describe_usage_error(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt) as interrupt:  # click turns any KeyboardInterrupt into Abort.
        cause = interrupt.__cause__
        echo(str(cause) if isinstance(cause, Interrupted) else "Stopped", err=True)
        # All processes agree on the end of a training; otherwise this one has been stopped alone.
        if leave_processes("" if isinstance(cause, Interrupted) else "it was stopped") and not cause:
            os._exit(INTERRUPTED)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if message := _describe_lack_of_memory(error):
            _exit_with_error(message, FAILED)
        if leave_processes(f"{type(error).__name__}: {error}"):
            traceback.print_exc()
            os._exit(FAILED)
        raise


def _describe_usage_error(error: click.ClickException) -> str:
    """Return what is wrong with the words of a command, and how to find out what is right."""
    message = error.format_message().removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return message
    if "unexpected extra argument" in message and any("--set" in param.opts for param in context.command.params):
        message += ". A field of the recipe is one word, as in --set patience=5"
    elif "unexpected extra argument" in message and (flags := _list_repeatable_options(context)):
        message += f". An option takes one value; for several, repeat it: {flags[0]} A {flags[0]} B"
    if isinstance(error, click.MissingParameter) and (hint := describe_missing_model(context)):
        message = hint
    if isinstance(error, click.MissingParameter) or "unexpected extra argument" in message:
        return f"{message}. {context.command.get_usage(context)}"
    if isinstance(error, click.NoSuchOption):
        return f"{_describe_unknown_option(error, context)} `{context.command_path} --help` shows all options"
    return f"{message}; see `{context.command_path} --help`"


def _list_repeatable_options(context: click.Context) -> list[str]:
    """Return the options that were given and that may be repeated."""
    return [
        param.opts[0]
        for param in context.command.params
        if getattr(param, "multiple", False) and any(flag in (context.obj or ()) for flag in param.opts)
    ]


def _describe_unknown_option(error: click.NoSuchOption, context: click.Context) -> str:
    """Return which option is unknown, and which one was probably meant: also a field of a recipe."""
    flags = [flag for param in context.command.params for flag in (*param.opts, *param.secondary_opts)]
    name = error.option_name.replace("_", "-")
    nearest = [name] if name in flags else difflib.get_close_matches(name, [f for f in flags if f.startswith("--")])
    field = name.lstrip("-").replace("-", "_")
    if "--set" in flags and name not in flags and field in _recipe_fields():
        return f"No such option: {error.option_name}. It is a field of the recipe: --set {field}=VALUE."
    hint = f". Did you mean {' or '.join(nearest)}?" if nearest else "."
    return f"No such option: {error.option_name}{hint}"


def _recipe_fields() -> list[str]:
    from cnnzoo.training.recipe import SETTABLE_FIELDS

    return SETTABLE_FIELDS


def _describe_lack_of_memory(error: Exception) -> str:
    """Return what did not fit into memory and what to do, or "" if `error` has another cause."""
    problem = describe_memory_error(error)
    return f"{problem}. {MEMORY_REMEDY}" if problem else ""


def _exit_with_error(error: Exception | str, code: int) -> None:
    """Print the error on one line and exit."""
    with contextlib.suppress(OSError, ReaderGoneError):
        echo(f"Error: {prefer_options(' '.join(str(error).split()))}", err=True)
    discard_output()
    if leave_processes(" ".join(str(error).split())):
        os._exit(code)
    sys.exit(code)

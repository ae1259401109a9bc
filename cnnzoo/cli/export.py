"""The command that exports a model."""

import shlex
from pathlib import Path

import click

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_source, check_trained_model
from cnnzoo.cli.commands import COMMON, Choice
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.inference import get_by_tag
from cnnzoo.cli.options import ALLOW_FAILED, FORMAT_NAMES, INTERPOLATION, TRAINED_MODEL, DataOptions
from cnnzoo.cli.output import echo
from cnnzoo.cli.own_data import find_own_source, load_export_data
from cnnzoo.cli.startup import import_keras_quietly


@commands.command()
@commands.argument("model", **TRAINED_MODEL)
@commands.argument("out", type=CheckedPath(), help="Folder for the export.")
@commands.option(
    "--format",
    type=Choice(FORMAT_NAMES, "format"),
    group=COMMON,
    default="saved_model",
    show_default=True,
    help="Format of the export.",
)
@commands.option(
    "--precision",
    type=Choice(("float32", "float16", "int8"), "precision"),
    group=COMMON,
    default="float32",
    show_default=True,
    help="Precision: float16 halves the file (litert, openvino); int8 is smaller and faster, and needs --data.",
)
@commands.option(
    "--data",
    group=COMMON,
    shell_complete=complete_files,
    help="Images to calibrate int8 with and to compare on: a folder, a table, ... as for train.",
)
@take_options(data_options=DataOptions)
@commands.option("--interpolation", **INTERPOLATION)
@commands.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    group=COMMON,
    default=0.01,
    show_default=True,
    help="Largest loss of accuracy that int8 may cause, as a share.",
)
@commands.option("--overwrite", is_flag=True, group=COMMON, help="Replace an earlier export in OUT.")
@commands.option("--allow-failed", **ALLOW_FAILED)
def export(
    model: str,
    out: Path,
    format: str,
    precision: str,
    data: str | None,
    data_options: DataOptions,
    interpolation: str,
    max_drop: float,
    overwrite: bool,
    allow_failed: bool,
) -> None:
    """Export MODEL to the folder OUT.

    The export is compared with the model before the command ends; if the probabilities differ, nothing is written.

    --data is divided as in the training of MODEL if it holds the images of that, and otherwise by --splits and --seed:
    training images calibrate int8, and validation images measure the accuracy.

    --crop, --pad, --interpolation and --levels apply to the export and to the images of --data. Without --data,
    --classes names the classes of MODEL.
    """
    # Check the request before anything slow.
    check_trained_model(model, str(out), allow_failed, takes_exports=False)
    from cnnzoo.export.export import check_request

    check_request(format, precision, out, overwrite, data is not None)
    if data:
        check_source(data)

    images, fix_lists = load_export_data(model, data, data_options) if data else (None, [])
    import_keras_quietly()
    exported = cnnzoo.export(
        get_by_tag(model) or model,
        out,
        format,
        precision=precision,
        data=images,
        max_drop=max_drop,
        overwrite=overwrite,
        allow_failed=allow_failed,
        classes=data_options.classes if data is None else None,
        crop=data_options.crop,
        interpolation=interpolation,
        pad=data_options.pad,
        levels=data_options.levels,
    )
    echo(exported)
    words = [
        str(out),
        data or find_own_source(model) or "DATA",
        *(word for fix_list in fix_lists for word in ("--fix-list", fix_list)),
    ]
    echo(f"Measure it on a test split: cnnzoo evaluate {shlex.join(words)}")
    echo(f"Serve it with a web page and an API: cnnzoo serve {shlex.quote(str(out))}")


COMMANDS = (export,)

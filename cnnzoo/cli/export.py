"""The command that exports a model."""

from pathlib import Path

import click

import cnnzoo
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.inference import get_by_tag
from cnnzoo.cli.options import ALLOW_FAILED, INTERPOLATION, DataOptions
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly


@click.command()
@click.argument("model")
@click.argument("out", type=CheckedPath())
@click.option("--format", default="saved_model", show_default=True, help="saved_model, litert, onnx or openvino.")
@click.option("--precision", default="float32", show_default=True, help="float32, float16 or int8.")
@click.option("--data", help="Images to calibrate int8 with and to compare on: a folder, a table, ... as for train.")
@take_options(data_options=DataOptions)
@click.option("--interpolation", **INTERPOLATION)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Largest loss of accuracy that int8 may cause, as a share.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in OUT.")
@click.option("--allow-failed", **ALLOW_FAILED)
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

    MODEL is a run directory, a .keras file, or NAME:TAG as in lenet5:mnist. The export is compared with the
    model before the command ends; if the probabilities differ, nothing is written.

    --crop, --pad, --interpolation and --levels apply to the export and to the images of --data. Without --data,
    --classes names the classes of MODEL.
    """
    from cnnzoo.export.export import check_request

    check_request(format, precision, out, overwrite, data is not None)  # Fail before anything slow.
    images = data_options.load(data) if data else None
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
        classes=data_options.class_names if data is None else None,
        crop=data_options.crop,
        interpolation=interpolation,
        pad=data_options.pad,
        levels=data_options.levels,
    )
    echo(f"Images are {exported.transform}")
    echo(f"Written to {out}; its probabilities are within {exported.difference:.1g} of the model's")
    if exported.accuracy is not None and exported.before is not None:
        accuracy_before, accuracy = 100 * exported.before, 100 * exported.accuracy
        echo(f"Accuracy on validation: {accuracy_before:.2f} % before, {accuracy:.2f} % now")


COMMANDS = (export,)

"""The command that measures a model in every export format."""

from __future__ import annotations

from pathlib import Path

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_not_input, check_source, check_trained_model
from cnnzoo.cli.commands import COMMON, Choice
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.inference import get_by_tag
from cnnzoo.cli.options import ALLOW_FAILED, FORMAT_NAMES, JSON, SPLITS, TRAINED_MODEL, DataOptions
from cnnzoo.cli.output import echo
from cnnzoo.cli.own_data import load_benchmark_data
from cnnzoo.cli.startup import import_keras_quietly

EXPORT_PRECISIONS = ("float32", "float16", "int8")


@commands.command()
@commands.argument("model", **TRAINED_MODEL)
@commands.argument(
    "data",
    required=False,
    shell_complete=complete_files,
    help="Images that calibrate int8 and measure accuracy: a folder, a table, ... as for train. By default those of "
    "the run.",
)
@commands.option(
    "--format",
    "formats",
    multiple=True,
    type=Choice(FORMAT_NAMES, "format"),
    group=COMMON,
    help="A format to try; may be repeated.",
    show_default="all",
)
@commands.option(
    "--precision",
    "precisions",
    multiple=True,
    type=Choice(EXPORT_PRECISIONS, "precision"),
    group=COMMON,
    help="A precision to try; may be repeated.",
    show_default="all that a format has",
)
@commands.option(
    "--split",
    type=Choice([name for name in SPLITS if name != "all"], "split"),
    group=COMMON,
    default="test",
    show_default=True,
    help="The split of DATA that accuracy is measured on.",
)
@commands.option(
    "--margin",
    type=float,
    group=COMMON,
    default=0.01,
    show_default=True,
    help="Loss of accuracy that does not matter, as a share.",
)
@take_options(data_options=DataOptions)
@commands.option("--export-dir", type=CheckedPath(), group=COMMON, help="Empty folder that keeps the exports.")
@commands.option("--out", type=CheckedPath(), group=COMMON, help="File to write: .html, .csv or .json.")
@commands.option("--json", "as_json", **JSON, group=COMMON)
@commands.option("--allow-failed", **ALLOW_FAILED)
def benchmark(
    model: str,
    data: str | None,
    formats: tuple[str, ...],
    precisions: tuple[str, ...],
    split: str,
    margin: float,
    data_options: DataOptions,
    export_dir: Path | None,
    out: Path | None,
    as_json: bool,
    allow_failed: bool,
) -> None:
    """Measure every export of MODEL, and recommend one.

    Every export gets a row: size, accuracy on the test split of DATA with its paired difference to the model in
    float32, time of one image, most images per second, and memory, the last three in a process of its own. A format
    whose package is missing, or that fails, is a row with the reason.

    Without DATA, the images that a run was trained on are used, if they are still there. DATA is divided as in the
    training of MODEL if it holds the images of that, and otherwise by --splits and --seed. Without any images, accuracy
    is not measured and int8 is left out.

    --json prints an object: model, data, split, images, margin, recommended, recommendation, rows.
    """
    # Check the request before anything slow.
    from cnnzoo.evaluation.compare import check_margin

    check_trained_model(model, data or "", allow_failed, takes_exports=False)
    if out is not None:
        from cnnzoo.export.benchmark_result import check_output_path

        check_output_path(out, "--out")
        check_not_input(out, model, data)
    check_margin(margin)
    if export_dir is not None:
        from cnnzoo.export.benchmark import check_export_dir

        check_export_dir(export_dir)
    if data:
        check_source(data)

    images, problem = load_benchmark_data(model, data, split, data_options)
    if problem:
        echo(f"{problem}, so accuracy is not measured and int8 is left out: name DATA to measure them", err=True)
    import_keras_quietly()
    result = cnnzoo.benchmark(
        get_by_tag(model) or model,
        images,
        formats=formats or None,
        precisions=precisions or None,
        split=split,
        margin=margin,
        export_dir=export_dir,
        allow_failed=allow_failed,
    )
    if out is not None:
        result.save(out)
        echo(f"Written to {out}", err=True)
    echo(result.to_json().rstrip() if as_json else result)


COMMANDS = (benchmark,)

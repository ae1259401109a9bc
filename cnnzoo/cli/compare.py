"""The command that compares two models on the same images."""

from __future__ import annotations

import sys
from pathlib import Path

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_not_input, is_model_name
from cnnzoo.cli.commands import Choice
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.options import JSON
from cnnzoo.cli.output import echo
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists

PREDICTIONS = "a run, the folder of a report, predictions.csv, or what `cnnzoo predict --out` has written."


@commands.command()
@commands.argument("a", shell_complete=complete_files, help=f"The model to compare with: {PREDICTIONS}")
@commands.argument("b", shell_complete=complete_files, help="The model that may be better, in the same forms.")
@commands.option(
    "--on",
    type=Choice(("test", "validation", "train"), "split in --on"),
    default="test",
    show_default=True,
    help="The split of the predictions; a run holds those of its test split.",
)
@commands.option(
    "--margin",
    type=float,
    help="Difference in accuracy that does not matter, as a share: tests whether B is no worse than A by that much.",
)
@commands.option(
    "--slices",
    multiple=True,
    metavar="COLUMN",
    help="Compare groups of images: folder, size, brightness, or a column of the table of --data. Several are "
    "separated by commas, as in folder,size, or the option is repeated.",
)
@commands.option(
    "--data",
    shell_complete=complete_files,
    help="Folder, table or another source of the images, for pictures, slices, and labels that a file lacks.",
    show_default="where the run has found them",
)
@commands.option("--out", type=CheckedPath(), help="Page (.html) or figures (.json) to write.")
@commands.option("--fail-if-worse", is_flag=True, help="Exit with 1 if B is worse or, with --margin, may be.")
@commands.option("--json", "as_json", **JSON)
def compare(
    a: str,
    b: str,
    on: str,
    margin: float | None,
    slices: tuple[str, ...],
    data: str | None,
    out: Path | None,
    fail_if_worse: bool,
    as_json: bool,
) -> None:
    """Compare the models A and B on the same images.

    The command prints the difference in accuracy with its 95 % interval, McNemar's exact test, on how many images only
    one of the two is right, and the classes and slices that differ. The page of --out shows these images. Nothing is
    predicted again.

    With --fail-if-worse it exits with 1 if B is worse (p < 0.05); with --margin too, unless B is shown to be no worse
    than A by the margin. So it can guard a change in a pipeline.

    --json prints an object: difference, interval_95, p_value, margin, verdict, per_class, slices, ...
    """
    if not path_exists(a) and is_model_name(a):
        raise InputError(f"cnnzoo compare takes runs and predictions. To compare the networks: cnnzoo diff {a} {b}")
    if out is not None:
        from cnnzoo.evaluation.comparison import check_output_path

        check_output_path(out, "--out")
        check_not_input(out, a, b, data)
    names = [name for text in slices for name in text.split(",") if name]
    comparison = cnnzoo.compare(a, b, on=on, margin=margin, slices=names or None, data=data)
    if out is not None:
        comparison.save(out)
        echo(f"Written to {out}", err=True)
    echo(comparison.to_json().rstrip() if as_json else comparison)
    if fail_if_worse and comparison.fails:
        echo("B is worse than A" if margin is None else "B is not shown to be no worse than the margin", err=True)
        sys.exit(1)


COMMANDS = (compare,)

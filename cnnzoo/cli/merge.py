"""The command that joins the predictions of shards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.options import JSON
from cnnzoo.cli.output import echo
from cnnzoo.core.text import format_count


@commands.command()
@commands.argument(
    "shards",
    nargs=-1,
    required=True,
    type=CheckedPath(),
    shell_complete=complete_files,
    help="The file that --out named when the shards were predicted, or folders FILE.shards of several hosts.",
)
@commands.option("--out", type=CheckedPath(), help="File to write, of the same kind.", show_default="what SHARDS names")
@commands.option("--json", "as_json", **JSON)
@commands.option("--overwrite", is_flag=True, help="Replace an earlier file.")
def merge(shards: tuple[Path, ...], out: Path | None, as_json: bool, overwrite: bool) -> None:
    """Join the predictions of SHARDS into one file.

    The command checks that every image is there exactly once, predicted with the same model and settings; if not, it
    names what is missing and writes nothing. Rows are in the order of the images. The files of the shards stay. Like
    predict, the command exits with 2 if any image could not be read.

    --json prints an object: images, errors, unsure, path.
    """
    result = cnnzoo.merge_predictions(list(shards), out, overwrite=overwrite)
    summary = {"images": result.images, "errors": result.errors, "unsure": result.unsure, "path": str(result.path)}
    unreadable = f", {result.errors:,} of them unreadable" if result.errors else ""
    text = f"{format_count(result.images, 'image')}{unreadable}, each once; written to {result.path}"
    echo(json.dumps(summary) if as_json else text)
    if result.errors:
        sys.exit(2)


COMMANDS = (merge,)

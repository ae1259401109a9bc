"""The command that shows the leaderboard of runs."""

from __future__ import annotations

from pathlib import Path

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_folder_name
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.options import JSON
from cnnzoo.cli.output import echo


@commands.command()
@commands.argument(
    "runs",
    type=CheckedPath(),
    required=False,
    default=Path("runs"),
    shell_complete=complete_files,
    help="The folder that holds the runs; runs by default.",
)
@commands.option("--out", type=CheckedPath(), help="Folder for board.html and board.csv.", show_default="RUNS")
@commands.option("--json", "as_json", **JSON)
def board(runs: Path, out: Path | None, as_json: bool) -> None:
    """Compare all runs below RUNS in a leaderboard.

    Only runs that were evaluated on the same images share a table, which also tells how often these images were
    evaluated. Unfinished, failed and damaged runs are shown with their state. The trials of searches have rows too.

    The command prints the tables, and writes board.html, with links to the reports, and board.csv into RUNS.

    --json prints an object: folder, runs, notes.
    """
    if out:
        check_folder_name(out)
    leaderboard = cnnzoo.board(runs)
    echo(leaderboard.to_json().rstrip() if as_json else leaderboard)  # first: the folder may be for reading only
    leaderboard.save(out or runs)
    echo(f"Written to {out or runs}: board.html, board.csv", err=as_json)
    if not as_json and (command := next(filter(None, (group.compare_command() for group in leaderboard.groups)), "")):
        echo(f"Whether the best run is better than the second: {command}")


COMMANDS = (board,)

"""The leaderboard of the runs under a folder: `cnnzoo.board`."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError
from cnnzoo.core.outputs import write_text_file
from cnnzoo.core.paths import check_path, nearest_path
from cnnzoo.core.sparklines import write_sparkline
from cnnzoo.core.tables import align_columns
from cnnzoo.core.text import escape_cell, escape_controls, format_count
from cnnzoo.evaluation.board_groups import BoardGroup, format_figures, group_runs, run_to_dict, title_setting
from cnnzoo.evaluation.board_runs import BoardNote, BoardRun, read_board_folders

BOARD_FILES = ("board.html", "board.csv")  # which `Board.save` writes
MAX_ROWS = 20  # of a table in a terminal


@dataclass(frozen=True, repr=False)
class Board(SuggestsAttributes):
    """The runs under a folder, in a table for each set of images that they were evaluated on.

    Attributes:
        folder: the folder.
        groups: the tables; the runs of one were evaluated on the same images. Those on test images come first.
        notes: the folders that get no row: searches, whose trials do, damaged runs, and runs of other programs.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> for name in ("none", "shift"):
        ...     model = cnnzoo.get("lenet5", classes=data.classes)
        ...     recipe = cnnzoo.recipe("digits", epochs=1, augment=name)
        ...     report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=f"runs/{name}", verbose=False)
        >>> board = cnnzoo.board("runs")
        >>> board
        <Board of runs: 2 runs in 1 table>
        >>> board.groups[0].settings, board.groups[0].evaluations
        (['recipe.augment'], 2)
        >>> board.save("runs")  # writes board.html and board.csv
    """

    folder: Path
    groups: tuple[BoardGroup, ...]
    notes: tuple[BoardNote, ...]

    @property
    def runs(self) -> list[BoardRun]:
        """All runs, in the order of the tables."""
        return [run for group in self.groups for run in group.runs]

    def __repr__(self) -> str:
        tables = format_count(len(self.groups), "table")
        return escape_controls(f"<Board of {self.folder}: {format_count(len(self.runs), 'run')} in {tables}>")

    def __str__(self) -> str:
        parts = [format_group(group) for group in self.groups]
        if self.notes:
            rows = [(f"  {note.name}", note.note) for note in self.notes]
            parts.append("Without a row in a table:\n" + align_columns(rows))
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        """Return the tables for a notebook."""
        from cnnzoo.evaluation.board_page import render_board

        return render_board(self, Path.cwd(), "board_notebook.html")

    @check_arguments()
    def to_html(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return the leaderboard as one self-contained HTML page.

        Args:
            folder: where the page will be, to which its links to the reports are relative; by default the folder of the
                runs.
        """
        from cnnzoo.evaluation.board_page import render_board

        return render_board(self, self.folder if folder is None else check_path(folder, "the folder of the page"))

    def to_csv(self) -> str:
        """Return all runs as a CSV table, with a column for every setting."""
        rows = [run_to_dict(run, group) for group in self.groups for run in group.runs]
        settings = list(dict.fromkeys(name for row in rows for name in row["settings"]))
        columns = [name for name in (rows[0] if rows else {}) if name != "settings"]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, *map(escape_cell, settings)])
        for row in rows:
            cells = [*(row[name] for name in columns), *(row["settings"].get(name) for name in settings)]
            writer.writerow(["" if cell is None else escape_cell(escape_controls(str(cell))) for cell in cells])
        return out.getvalue()

    def to_json(self) -> str:
        """Return all runs and notes as JSON."""
        rows = [run_to_dict(run, group) for group in self.groups for run in group.runs]
        notes = [{"run": note.name, "note": note.note} for note in self.notes]
        return json.dumps({"folder": str(self.folder), "runs": rows, "notes": notes}, indent=1) + "\n"

    @check_arguments()
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write board.html and board.csv into `folder`; links in the page are relative to it.

        Raises:
            InputError: if the folder cannot be written to.
        """
        path = check_path(folder, "the folder of the leaderboard")
        for name, content in zip(BOARD_FILES, (self.to_html(path), self.to_csv()), strict=True):
            write_text_file(path / name, content)


@check_arguments()
def board(folder: str | os.PathLike[str] = "runs") -> Board:
    """Return a leaderboard of all runs in and below a folder, also of the trials of searches.

    A run has a row whatever its state is. Runs are in one table if they were evaluated on the same images of the same
    classes; their order, and the size that a model resizes them to, do not matter. A table also tells how often its
    images were evaluated: at the end of each training, for the linear probe of each fine-tuning, and by each
    `cnnzoo evaluate RUN` or `cnnzoo.evaluate("RUN", data)`.

    Args:
        folder: the folder of the runs.

    Returns:
        The `Board`. `print(board)` shows its tables, `board.save(folder)` writes a page and a CSV table.

    Raises:
        InputError: if there is no run in the folder.

    Example:
        >>> cnnzoo.board("runs")
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.InputError: There is no folder 'runs'...
    """
    root = check_path(folder, "the folder of the runs")
    if not root.is_dir():
        near = nearest_path(root)
        hint = f". Did you mean {near}?" if near else "; trainings write their runs to runs/ by default"
        raise InputError(f"{'This is a file' if root.exists() else 'There is no folder'} {str(root)!r}{hint}")
    entries = list(read_board_folders(root))
    if not entries:
        raise InputError(
            f"There is no run in {str(root)!r}: neither it nor a folder below it holds a run.json, which trainings "
            "write into their run_dir (--run-dir)"
        )
    runs = [entry for entry in entries if isinstance(entry, BoardRun)]
    notes = tuple(entry for entry in entries if isinstance(entry, BoardNote))
    return Board(root, tuple(group_runs(runs)), notes)


def format_group(group: BoardGroup) -> str:
    """Return the table of a group for a terminal."""
    settings, value_range, rows = group.settings, group.accuracy_range, []
    for run in group.runs[:MAX_ROWS]:
        facts = [run.note] if run.note else []
        facts += [f"{title_setting(name)} {group.format_setting(run, name)}" for name in settings]
        curve = run.history.get("val_accuracy") or run.history.get("accuracy") or ()
        rows.append([f"  {run.name}", *format_figures(run), write_sparkline(curve, value_range), "; ".join(facts)])
    header = ["  run", "accuracy", "95 %", "validation", "parameters", "time", "curve", "differs in"]
    lines = [
        escape_controls(group.title),
        *(f"  {line}" for line in group.describe_evaluations()),
        align_columns([header, *rows], {1, 2, 3, 4, 5}),
    ]
    if len(group.runs) > MAX_ROWS:
        lines.append(f"  and {format_count(len(group.runs) - MAX_ROWS, 'more run')}, in {' and '.join(BOARD_FILES)}")
    return "\n".join(lines)

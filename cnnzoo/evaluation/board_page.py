"""The page of a leaderboard: everything that its template shows, as text and small charts."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path
from typing import Any

from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.pages import Step, render_page
from cnnzoo.core.small_charts import sparkline
from cnnzoo.core.sparklines import thin_out
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.evaluation.board_groups import BoardGroup, format_figures, title_setting
from cnnzoo.evaluation.board_runs import PAGE_FILE, BoardRun

COLUMN_TITLES = ("epochs",)  # of columns that are called like a setting
MAX_POINTS = 60  # of a curve; of longer ones, evenly spaced points are drawn

Board = Any  # `evaluation.board` imports this file, so this file cannot import its class


def render_board(board: Board, folder: Path, template: str = "board.html") -> str:
    """Return the page of a leaderboard, whose links are relative to `folder`."""
    return render_page(
        "cnnzoo.evaluation",
        template,
        board=board,
        counts=count_states(board.runs),
        groups=[describe_group(group, folder) for group in board.groups],
        notes=[
            {
                "name": escape_controls(note.name),
                "note": note.note,
                "address": find_report(note.folder, folder),
            }
            for note in board.notes
        ],
    )


def count_states(runs: list[BoardRun]) -> str:
    """Return how many runs there are in each state, as in "12 runs: 10 done, 2 failed"."""
    states = [run.state for run in runs]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))]
    total = format_count(len(runs), "run")
    return total if set(states) <= {"done"} else f"{total}: {', '.join(counts)}"


def describe_group(group: BoardGroup, folder: Path) -> dict[str, Any]:
    """Return what the page shows of a group."""
    settings, value_range = group.settings, group.accuracy_range
    return {
        "title": group.title,
        "fingerprint": group.fingerprint,
        "lines": group.describe_evaluations(),
        "best": describe_best(group),
        "steps": suggest_steps(group),
        "setting_titles": [
            f"{title} of the recipe" if title in COLUMN_TITLES else title for title in map(title_setting, settings)
        ],
        "caption": f"{format_count(len(group.runs), 'run')} on the same {group.counted_images}, the best first"
        if len(group.runs) > 1
        else f"1 run on {group.counted_images}",
        "rows": [describe_row(group, run, settings, value_range, folder) for run in group.runs],
    }


def describe_best(group: BoardGroup) -> tuple[str, list[str]] | None:
    """Return the best accuracy of a group, and the lines below it; None without one."""
    if not group.scored:
        return None
    best = group.scored[0]
    interval = f" (95 %: {format_share_interval(best.interval, best.images)})" if best.interval else ""
    return format_share(best.accuracy or 0, best.images), [f"best accuracy{interval}: {escape_controls(best.name)}"]


def suggest_steps(group: BoardGroup) -> list[Step]:
    """Return what a reader can do next with the runs of a group."""
    command = group.compare_command()
    if not command:
        return []
    evidence = "The intervals of the table are of one run each. Both saw the same images, so a paired test finds more."
    return [Step("See whether the best run is really better than the second", evidence, escape_controls(command))]


def describe_row(
    group: BoardGroup, run: BoardRun, settings: list[str], value_range: tuple[float, float], folder: Path
) -> dict[str, Any]:
    """Return what the page shows of a run."""
    accuracy, interval, validation, parameters, seconds = format_figures(run)
    return {
        "name": escape_controls(run.name),
        "address": find_report(run.folder, folder),
        "state": "" if run.state == "done" else run.state,
        "note": run.note,
        "cells": [
            ("" if run.accuracy is None else accuracy, run.accuracy),
            (interval, ""),
            (validation, run.validation_accuracy),
            (parameters, run.parameters),
            (seconds, run.seconds),
        ],
        "epochs": format_epochs(run),
        "curve": draw_curve(run, value_range),
        "settings": [group.format_setting(run, name) for name in settings],
        "is_best": run is group.runs[0] and run.accuracy is not None,
    }


def format_epochs(run: BoardRun) -> str:
    """Return the number of epochs, with the one that was kept."""
    if run.best_epoch is None:
        return f"{run.epochs}"
    return f"{run.epochs}, kept {run.best_epoch}" if run.best_epoch else f"{run.epochs}, kept the probe"


def draw_curve(run: BoardRun, value_range: tuple[float, float]) -> str:
    """Return the accuracy of all epochs as a small chart: on validation, or else on training; "" without an epoch."""
    split = "validation" if run.history.get("val_accuracy") else "training"
    values = thin_out(run.history.get("val_accuracy") or run.history.get("accuracy") or (), MAX_POINTS)
    if not values:
        return ""
    ends = f"{format_share(values[0])} to {format_share(values[-1])}"
    return sparkline(values, f"{split} accuracy over {format_count(run.epochs, 'epoch')}: {ends}", value_range)


def find_report(run: Path, start: Path) -> str | None:
    """Return the address of the report of a run relative to the folder `start`; None if it has no report."""
    page = run / PAGE_FILE
    if not page.is_file():
        return None
    try:
        relative = os.path.relpath(page, start)
    except ValueError:  # on another drive of Windows
        return page.absolute().as_uri()
    return urllib.parse.quote(os.fsencode(Path(relative).as_posix()))

"""The live table of a search."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cnnzoo.core.errors import InputError
from cnnzoo.core.numbers import format_share
from cnnzoo.core.progress import Progress, show_progress
from cnnzoo.core.text import format_count, format_duration
from cnnzoo.training import state
from cnnzoo.tuning.keras_tuner_compat import Trial
from cnnzoo.tuning.space import Space
from cnnzoo.tuning.trial import RUN_FOLDER
from cnnzoo.tuning.trial_result import TrialResult, format_objective, read_trials

MAX_ROWS = 12  # ended trials in the table


class ProgressTable:
    """Shows the trials and an estimate of the time left: a table in a terminal, one line per trial elsewhere."""

    def __init__(self, folder: Path, space: Space, objective: str, trials: int, workers: int, verbose: bool) -> None:
        """Show the search of `trials` trials by `workers` workers in `folder`, or nothing unless `verbose`."""
        self.folder, self.space, self.objective = folder, space, objective
        self.trials, self.workers = trials, workers
        self.console = Console(stderr=True, quiet=not verbose)
        self.running: dict[str, tuple[Trial, float]] = {}  # Keras Tuner's trial and its start, by ID
        self.live = Live(get_renderable=self.draw, console=self.console, refresh_per_second=1, transient=True)
        has_table = self.console.is_terminal
        self.work = show_progress("Running the trials", trials, "trials", verbose and not has_table)

    def __enter__(self) -> "ProgressTable":
        if self.console.is_terminal:
            self.live.start()
        self.work.__enter__()
        self.work.restart(self.trials, len(read_trials(self.folder)))
        return self

    def __exit__(self, *error: Any) -> None:
        self.work.__exit__(*error)
        self.live.stop()

    def begin_trial(self, trial: Trial) -> None:
        """Add a trial of Keras Tuner to the table."""
        self.running[trial.trial_id] = trial, time.monotonic()

    def end_trial(self, trial: Trial) -> None:
        """Remove a trial of Keras Tuner from the running ones and print its result."""
        self.running.pop(trial.trial_id, None)
        ended = read_trials(self.folder)
        self.work.set_done(len(ended))
        result = next((result for result in ended if result.number == int(trial.trial_id)), None)
        if result is None:
            return
        failed = result.status == "failed"
        score = "" if failed else format_objective(result.score, self.objective)
        outcome = f"failed: {result.reason}" if failed else f"{self.objective} {score}"
        pruned = ", ended early" if result.status == "hopeless" else ""
        duration = f" in {result.seconds:.0f} s" if result.seconds else ""  # older records of failures have none
        values = ", ".join(f"{name}={value}" for name, value in result.chosen.items())
        self.say(
            f"trial {result.number}: {outcome}{pruned}{duration}; {values} "
            f"({len(ended)} of {format_count(self.trials, 'trial')} done)"
        )

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, activity: str) -> Progress:
        """Return a context manager that shows work which belongs to the search, but is no trial."""
        return show_progress(activity, verbose=not self.console.quiet)

    def time_left(self, ended: Sequence[TrialResult]) -> str:
        """Return an estimate of the time that the remaining trials take."""
        durations = [trial.seconds for trial in ended if trial.seconds and trial.status != "failed"]
        if not durations:
            return "no estimate yet"
        remaining = max(self.trials - len(ended), 0)
        return f"{format_duration(remaining * float(np.mean(durations)) / self.workers)} left for the trials"

    def draw(self) -> Table:
        """Return the table: the latest ended trials, then the running ones."""
        ended = read_trials(self.folder)
        fields = [dimension.field for dimension in self.space.dimensions]
        title = f"{len(ended)} of {self.trials} trials, {self.time_left(ended)}"
        table = Table(title=title, title_justify="left", box=None, header_style="bold")
        for name in ("trial", "status", self.objective, "epochs", "time", *fields):
            table.add_column(name, justify="right")

        for result in ended[-MAX_ROWS:]:
            score = "" if result.status == "failed" else format_objective(result.score, self.objective)
            epochs = f"{len(result.history.get('loss', ()))}/{result.epochs}" if result.epochs else ""
            values = [str(result.chosen.get(name, "")) for name in fields]
            duration = f"{result.seconds:.0f} s" if result.seconds else ""
            table.add_row(str(result.number), result.status, score, epochs, duration, *values)

        for trial, begin in list(self.running.values()):
            chosen = self.space.decode(trial.hyperparameters.values)
            epochs, score = self.epochs_and_accuracy(trial.trial_id)
            values = [str(chosen.get(name, "")) for name in fields]
            seconds = time.monotonic() - begin
            table.add_row(str(int(trial.trial_id)), "running", score, epochs, f"{seconds:.0f} s", *values)
        return table

    def epochs_and_accuracy(self, trial_id: str) -> tuple[str, str]:
        """Return the finished epochs of a running trial, and its latest accuracy, from its saved state."""
        try:
            state_dir = state.find_latest_state(self.folder / "trials" / trial_id / RUN_FOLDER / "state")
            saved = state.read_state(state_dir, check_arrays=False) if state_dir else None
        except InputError:  # the trial replaced the state while it was read
            saved = None
        if saved is None:
            return "0", ""
        accuracies = saved.history.get("val_accuracy")
        return str(saved.epoch), format_share(accuracies[-1]) if accuracies else ""

"""The live table of a search."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cnnzoo.core.errors import InputError
from cnnzoo.training import state
from cnnzoo.tuning.trial import RUN_FOLDER

if TYPE_CHECKING:
    from cnnzoo.tuning.search import Search

MAX_ROWS = 12  # trials shown


class ProgressTable:
    """Trials with their progress and an estimate: a table in a terminal, in a log a line a trial."""

    def __init__(self, search: "Search") -> None:
        self.search = search
        self.console = Console(stderr=True, quiet=not search.verbose)
        self.running: dict[str, tuple[Any, float]] = {}
        self.live = Live(get_renderable=self.draw, console=self.console, refresh_per_second=1, transient=True)

    def __enter__(self) -> "ProgressTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def begin(self, trial: Any) -> None:
        self.running[trial.trial_id] = trial, time.monotonic()

    def end(self, trial: Any) -> None:
        """Say how a trial ended."""
        self.running.pop(trial.trial_id, None)
        ended = self.search.ended()
        this = next((t for t in ended if t.number == int(trial.trial_id)), None)
        if this is None:
            return
        how = (
            f"failed: {this.reason}" if this.status == "failed" else f"{self.search.setting.objective} {this.score:.4f}"
        )
        early = ", ended early" if this.status == "hopeless" else ""
        chosen = ", ".join(f"{name}={value}" for name, value in this.chosen.items())
        which = f"trial {this.number} ({len(ended)} of {self.search.trials})"
        self.say(f"{which}: {how}{early} in {this.seconds:.0f} s; {chosen}")

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def left(self, ended: Any) -> str:
        """An estimate of the time to come."""
        if not (took := [t.seconds for t in ended if t.seconds]):
            return "no estimate yet"
        rest = max(self.search.trials - len(ended), 0) * float(np.mean(took)) / self.search.workers
        return f"{rest / 60:.0f} min left" if rest >= 90 else f"{rest:.0f} s left"

    def draw(self) -> Table:
        ended = self.search.ended()
        title = f"{len(ended)} of {self.search.trials} trials, {self.left(ended)}"
        grid = Table(title=title, title_justify="left", box=None, header_style="bold")
        fields = [dimension.field for dimension in self.search.setting.space.dimensions]
        for name in ("trial", "status", self.search.setting.objective, "epochs", "time", *fields):
            grid.add_column(name, justify="right")
        for t in ended[-MAX_ROWS:]:
            score = "" if t.status == "failed" else f"{t.score:.4f}"
            values = (str(t.chosen.get(name, "")) for name in fields)
            done = f"{len(t.history.get('loss', ()))}/{t.epochs}" if t.epochs else ""
            grid.add_row(str(t.number), t.status, score, done, f"{t.seconds:.0f} s", *values)
        for trial, begun in list(self.running.values()):
            chosen = self.search.setting.space.decode(trial.hyperparameters.values)
            done, score = self.progress(trial)
            values = (str(chosen.get(name, "")) for name in fields)
            grid.add_row(str(int(trial.trial_id)), "running", score, done, f"{time.monotonic() - begun:.0f} s", *values)
        return grid

    def progress(self, trial: Any) -> tuple[str, str]:
        """Epochs done and the accuracy of the last one, as the trial's run has kept them."""
        try:
            kept = state.find_latest_state(self.search.folder / "trials" / trial.trial_id / RUN_FOLDER / "state")
            known = state.read_state(kept) if kept else None
        except InputError:  # replaced while it was read
            known = None
        scores = known.history.get("val_accuracy") if known else None
        return (str(known.epoch) if known else "0"), (f"{scores[-1]:.4f}" if scores else "")

"""The progress of a training, shown in a terminal, in a notebook or in a log."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_INTERVAL = 60.0  # seconds after which a log gets a line, within an epoch too

Logs = dict[str, Any] | None  # as Keras hands them to callbacks


class ProgressCallback(keras.callbacks.Callback):
    """Shows the progress of the whole run and an estimate of the time left.

    A terminal gets a bar; a log gets about ten lines in all, or one per minute; a notebook one line per epoch.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, steps_done: int, log_lines: int = 10) -> None:
        """Prepare for a run of `epochs` epochs, of which `steps_done` steps were done by earlier processes."""
        super().__init__()
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.steps_before, self.steps_done = steps_done, steps_done
        self.console = Console(stderr=True)
        self.has_bar = self.console.is_terminal and not self.console.is_jupyter
        self.epochs_per_line = 1 if self.console.is_jupyter else math.ceil(epochs / log_lines)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=self.console, disable=not self.has_bar)

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.steps_done:
            epochs, steps = divmod(self.steps_done, self.steps_per_epoch)
            self.console.print(f"Resuming after {epochs} epochs and {steps} steps", highlight=False)
        if self.has_bar:
            self.bar.start()
        total = self.epochs * self.steps_per_epoch
        self.task = self.bar.add_task("training", total=total, completed=self.steps_done)
        self.started = self.logged = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs
        self.bar.advance(self.task)
        self.steps_done += 1
        epoch, step = divmod(self.steps_done, self.steps_per_epoch)
        if step and time.monotonic() - self.logged >= LOG_INTERVAL:
            self.log(f"epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps_per_epoch}: loss {logs['loss']:.4f}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs, done = without_output_prefix(logs), epoch + 1
        line = f"epoch {done}/{self.epochs}: loss {logs['loss']:.4f}, validation accuracy {logs['val_accuracy']:.4f}"
        self.bar.update(self.task, description=line)
        due = time.monotonic() - self.logged >= LOG_INTERVAL
        if done % self.epochs_per_line == 0 or done == self.epochs or due:
            self.log(line)

    def log(self, line: str) -> None:
        """Print a line to a log, with the time left if that is long; a terminal has its bar instead."""
        if self.has_bar:
            return
        self.logged = time.monotonic()
        steps_left = self.epochs * self.steps_per_epoch - self.steps_done
        seconds_left = (self.logged - self.started) / max(self.steps_done - self.steps_before, 1) * steps_left
        time_left = f", {seconds_left / 60:.0f} min left" if seconds_left >= 90 else ""
        self.console.print(f"{line}{time_left}", highlight=False)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self.has_bar:
            self.bar.stop()


def without_output_prefix(logs: Logs) -> dict[str, Any]:
    """Return `logs` with the metric names that a model with one output has, for a model with auxiliary heads too."""
    return {key.replace("logits_accuracy", "accuracy"): value for key, value in (logs or {}).items()}

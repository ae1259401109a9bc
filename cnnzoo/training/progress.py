"""The progress of a training: steps and the time left on the shared display, and lines about its epochs."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from cnnzoo.core.numbers import format_share
from cnnzoo.core.progress import show_progress
from cnnzoo.core.progress_displays import is_notebook
from cnnzoo.core.text import format_count, format_duration

LOG_INTERVAL = 60.0  # seconds after which an epoch gets a line, though it is none of the `log_lines`
NOTEBOOK_LINES = 20  # about epochs, of which most fine-tunings have fewer
MIN_SHOWN_SECONDS = 90.0  # left, in a line about an epoch

Logs = dict[str, Any] | None  # as Keras hands them to callbacks


class ProgressCallback(keras.callbacks.Callback):
    """Shows the progress of the whole run and an estimate of the time left.

    There are about ten lines about epochs, twenty in a notebook, or one per minute. It is a context manager, which
    takes the bar away.
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        steps_done: int,
        log_lines: int = 10,
        train_images: int | None = None,
        validation_images: int | None = None,
    ) -> None:
        """Prepare for a run of `epochs` epochs, of which `steps_done` steps were done by earlier processes.

        The numbers of images decide how many digits of an accuracy are shown.
        """
        super().__init__()
        self.train_images, self.validation_images = train_images, validation_images
        self.epochs, self.steps_per_epoch, self.steps_before = epochs, steps_per_epoch, steps_done
        self.loss = ""  # as the line shows it, once it is known
        self.progress = show_progress("Training", epochs * steps_per_epoch, "steps", done=steps_done)
        self.epochs_per_line = math.ceil(epochs / (NOTEBOOK_LINES if is_notebook() else log_lines))

    def __enter__(self) -> ProgressCallback:
        self.progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.progress.describe("Training")
        self.progress.__exit__(*error)

    def on_train_begin(self, logs: Logs = None) -> None:
        epochs, steps = divmod(self.steps_before, self.steps_per_epoch)
        if self.steps_before and epochs < self.epochs:  # a finished run is only evaluated again
            and_steps = f" and {format_count(steps, 'step')}" if steps else ""
            self.progress.say(f"Resuming after {format_count(epochs, 'epoch')}{and_steps}")
        self.progress.describe("Training (compiling the first step)")
        self.started = self.line_time = time.monotonic()
        self.epochs_done = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch_start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs
        epoch = int(self.progress.done) // self.steps_per_epoch
        # The loss is shown when the checkpoint has read it, which takes time on an accelerator.
        if getattr(logs, "is_read", True):
            self.loss = f", loss {logs['loss']:.4f}"
        self.progress.describe(f"Training, epoch {epoch + 1}/{self.epochs}{self.loss}")
        self.progress.advance()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs, done, now = without_output_prefix(logs), epoch + 1, time.monotonic()
        self.epochs_done += 1
        self.validates = "val_accuracy" in logs
        if done % self.epochs_per_line == 0 or done == self.epochs or now - self.line_time >= LOG_INTERVAL:
            self.line_time = now
            figures = f"loss {logs['loss']:.4f}, "
            if "val_accuracy" in logs:
                figures += f"validation accuracy {format_share(logs['val_accuracy'], self.validation_images)}"
            else:
                figures += f"training accuracy {format_share(logs['accuracy'], self.train_images)}"
            seconds_left = self.progress.seconds_left() or 0
            left = f", {format_duration(seconds_left)} left" if seconds_left >= MIN_SHOWN_SECONDS else ""
            self.progress.say(f"epoch {done}/{self.epochs}: {figures}, {now - self.epoch_start:.1f} s{left}")

    def on_train_end(self, logs: Logs = None) -> None:
        if self.epochs_done:
            seconds = time.monotonic() - self.started
            each = f"{seconds / self.epochs_done:.1f} s per epoch"
            epochs = format_count(self.epochs_done, "epoch")
            each = f"{each} with validation" if self.validates else each
            self.progress.conclude(f"Trained {epochs} in {format_duration(seconds)}, {each}")


def tell(line: str, verbose: bool = True) -> None:
    """Show a line about a training that stays, on stderr."""
    with show_progress("Training", verbose=verbose) as progress:
        progress.say(line)


def without_output_prefix(logs: Logs) -> dict[str, Any]:
    """Return `logs` with the metric names that a model with one output has, for a model with auxiliary heads too."""
    return {key.replace("logits_accuracy", "accuracy"): value for key, value in (logs or {}).items()}

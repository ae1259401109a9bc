"""What happens around the steps: order of the data, best epoch, checkpoints, stops, progress."""

import math
import signal
import threading
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cnnzoo.data.batches import Batches
from cnnzoo.errors import Interrupted, TrainingError
from cnnzoo.training.run import Run


class Keeper(keras.callbacks.Callback):
    """Sets the epoch of the data, follows the best one by validation, and keeps the run's state.

    Best is the highest validation accuracy; among equals, the lowest validation loss.
    """

    def __init__(self, run: Run, batches: Batches, best: list[Any] | None) -> None:
        super().__init__()
        self.run, self.batches, self.best = run, batches, best

    def on_train_begin(self, logs=None):
        if self.best is None:
            self.best = self.model.get_weights()
            self.run.checkpoint(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.check("loss", logs["loss"], batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.check("validation loss", logs["val_loss"], len(self.batches))
        state = self.run.state
        state.epoch = epoch + 1
        for key, value in logs.items():
            state.history.setdefault(key, []).append(float(value))
        score = (float(logs["val_accuracy"]), -float(logs["val_loss"]))
        if score > state.best:
            state.best, state.best_epoch, self.best = score, state.epoch, self.model.get_weights()
        self.run.checkpoint(self.model)

    def check(self, what, loss, steps):
        """Stop, with the best weights so far, where a loss is no number."""
        if math.isfinite(loss):
            return
        self.model.set_weights(self.best)
        epoch, best = self.batches.epoch, self.run.state.best_epoch
        raise TrainingError(
            f"The {what} became {loss} at step {epoch * len(self.batches) + steps} (epoch {epoch + 1}); the weights of "
            f"{f'epoch {best}' if best else 'the start'} are kept. A lower learning_rate usually helps"
        )


class Stop(keras.callbacks.Callback):
    """Ctrl-C ends training after the step, never in the middle of a write; a second one ends it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self.before: Any = None

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self.ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self.before)

    def on_train_batch_end(self, batch, logs=None):
        if self.asked:
            raise Interrupted

    on_epoch_end = on_train_batch_end


class Meter(keras.callbacks.Callback):
    """The whole run's progress: a bar with an estimate in a terminal, about ten lines in a log."""

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        super().__init__()
        self.epochs, self.steps, self.done = epochs, steps, done
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=self.console, disable=not self.console.is_terminal)

    def on_train_begin(self, logs=None):
        self.bar.start()
        self.task = self.bar.add_task("training", total=self.epochs * self.steps, completed=self.done * self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        line = (
            f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.4f}, validation accuracy {logs['val_accuracy']:.4f}"
        )
        self.bar.update(self.task, description=line)
        if not self.console.is_terminal and (
            (epoch + 1) % math.ceil(self.epochs / 10) == 0 or epoch + 1 == self.epochs
        ):
            self.console.print(line, highlight=False)

    def close(self) -> None:
        self.bar.stop()

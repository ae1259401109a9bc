"""What happens around the steps: order of the data, best epoch, checkpoints, stops, progress."""

import math
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cnnzoo.core.errors import Interrupted, TrainingError
from cnnzoo.data.batches import Batches
from cnnzoo.training.optimizer import moving_averages
from cnnzoo.training.run import Run

LOG_INTERVAL = 60.0  # seconds after which a log says where training is, within an epoch too
CHECKPOINT_SPACING = 50  # a state is written after this many times the time that the last one took, at the soonest


class TrainingCallbackList(keras.callbacks.CallbackList):
    """Callbacks of one training, which begins and ends for them once, in however many calls of `fit` it runs."""

    def on_train_begin(self, logs=None):
        """Nothing, as `begin` says it."""

    def on_train_end(self, logs=None):
        """Nothing, as `end` says it."""

    def begin(self) -> None:
        super().on_train_begin()

    def end(self) -> None:
        super().on_train_end()


class CheckpointCallback(keras.callbacks.Callback):
    """Sets the epoch of the data, follows the best one by validation, and keeps the run's state.

    Best is the highest validation accuracy; among equals, the lowest validation loss. Under a moving average of the
    weights it is that which is validated and kept.
    """

    def __init__(
        self, run: Run, batches: Batches, best: list[Any] | None, meters: list[Any], patience: int | None, every: float
    ) -> None:
        """`meters` are the values of an epoch's metrics so far, `every` the seconds between states within an epoch."""
        super().__init__()
        self.run, self.batches, self.best, self.meters = run, batches, best, meters
        self.patience, self.every, self.per_epoch = patience, every, len(batches)
        self.steps, self.took = run.state.step, 0.0
        self.written, self.kept = time.monotonic(), -1

    def on_train_begin(self, logs=None):
        if self.best is None:
            self.best = averaged_weights(self.model)
            self.keep(self.best)

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)
        self.steps = self.run.state.step
        if self.meters:  # an epoch of which a part is done
            for variable, value in zip(self.model.metrics_variables, self.meters, strict=True):
                variable.assign(value)
            self.meters = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.check("loss", logs["loss"])
        wait = max(self.every, CHECKPOINT_SPACING * self.took) if self.every else 0
        if time.monotonic() - self.written >= wait and self.steps < self.per_epoch:
            self.keep()

    def on_epoch_end(self, epoch, logs=None):
        logs = without_output_prefix(logs)
        self.check("validation loss", logs["val_loss"])
        state, before = self.run.state, self.best
        state.epoch, state.step, self.steps = epoch + 1, 0, 0
        for key, value in logs.items():
            state.history.setdefault(key, []).append(float(value))
        score = (float(logs["val_accuracy"]), -float(logs["val_loss"]))
        if score > state.best:
            state.best, state.best_epoch, self.best = score, state.epoch, averaged_weights(self.model)
        if self.patience and state.epoch - state.best_epoch >= self.patience:
            self.model.stop_training = state.stopped = True
        self.keep(None if self.best is before else self.best)

    def on_test_begin(self, logs=None):
        swap_averaged_weights(self.model)

    def on_test_end(self, logs=None):
        swap_averaged_weights(self.model)

    def keep(self, best: list[Any] | None = None) -> None:
        """Write the state, unless it is there; `best` where it is new."""
        total = self.run.state.epoch * self.per_epoch + self.steps
        if best is None and total == self.kept:
            return
        begun = time.monotonic()
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.run.state.step = self.steps
        try:
            self.run.checkpoint(self.model, total, best)
        except TrainingError:
            self.model.set_weights(self.best)
            raise
        self.kept = total
        self.written = time.monotonic()
        self.took = self.written - begun

    def check(self, what, loss):
        """Stop, with the best weights so far, where a loss is no number."""
        if math.isfinite(loss):
            return
        self.model.set_weights(self.best)
        epoch, best = self.batches.epoch, self.run.state.best_epoch
        raise TrainingError(
            f"The {what} became {loss} at step {epoch * self.per_epoch + self.steps} (epoch {epoch + 1}); the "
            f"weights of {f'epoch {best}' if best else 'the start'} are kept. A lower learning_rate usually helps"
        )


def without_output_prefix(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs under the names that a model of one output gives them."""
    return {key.replace("logits_accuracy", "accuracy"): value for key, value in logs.items()}


def averaged_weights(model: Any) -> list[Any]:
    """The weights of a compiled model, with their moving averages in the place of those that have one."""
    pairs = zip(model.trainable_variables, moving_averages(model.optimizer), strict=False)
    known = {id(variable): average for variable, average in pairs}
    return [keras.ops.convert_to_numpy(known.get(id(v), v)).copy() for v in model.weights]


def swap_averaged_weights(model: Any) -> None:
    """Change the trainable variables for their moving averages, or back: bit by bit, which Keras' callback does not."""
    for variable, average in zip(model.trainable_variables, moving_averages(model.optimizer), strict=False):
        value = keras.ops.convert_to_numpy(variable).copy()
        variable.assign(average)
        average.assign(value)


class InterruptCallback(keras.callbacks.Callback):
    """Ctrl-C ends training after the step, never in the middle of a write; a second one ends it at once."""

    def __init__(self, keeper: CheckpointCallback) -> None:
        super().__init__()
        self.keeper, self.asked = keeper, False
        self.before: Any = None

    def __enter__(self) -> "InterruptCallback":
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
        if self.asked and self.keeper.steps < self.keeper.per_epoch:  # else the epoch's end keeps it all
            self.keeper.keep()
            raise Interrupted

    def on_epoch_end(self, epoch, logs=None):
        if self.asked:
            raise Interrupted


class ProgressCallback(keras.callbacks.Callback):
    """The whole run's progress, with an estimate: a bar in a terminal; in a log some ten lines, or one a minute."""

    def __init__(self, epochs: int, steps: int, done: int, lines: int = 10) -> None:
        super().__init__()
        self.epochs, self.steps, self.before, self.done = epochs, steps, done, done
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal and not self.console.is_jupyter
        self.every = 1 if self.console.is_jupyter else math.ceil(epochs / lines)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=self.console, disable=not self.live)

    def on_train_begin(self, logs=None):
        if self.live:
            self.bar.start()
        self.task = self.bar.add_task("training", total=self.epochs * self.steps, completed=self.done)
        self.begun = self.said = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)
        self.done += 1
        epoch, step = divmod(self.done, self.steps)
        if step and time.monotonic() - self.said >= LOG_INTERVAL:
            self.say(f"epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps}: loss {logs['loss']:.4f}")

    def on_epoch_end(self, epoch, logs=None):
        logs, done = without_output_prefix(logs), epoch + 1
        line = f"epoch {done}/{self.epochs}: loss {logs['loss']:.4f}, validation accuracy {logs['val_accuracy']:.4f}"
        self.bar.update(self.task, description=line)
        if done % self.every == 0 or done == self.epochs or time.monotonic() - self.said >= LOG_INTERVAL:
            self.say(line)

    def say(self, line: str) -> None:
        """A line for a log, with the time that is left where that is long."""
        if self.live:
            return
        self.said = time.monotonic()
        ahead = self.epochs * self.steps - self.done
        seconds = (self.said - self.begun) / max(self.done - self.before, 1) * ahead
        left = f", {seconds / 60:.0f} min left" if seconds >= 90 else ""
        self.console.print(f"{line}{left}", highlight=False)

    def close(self) -> None:
        if self.live:
            self.bar.stop()


def combine_callbacks(model: Any, callbacks: Sequence[Any], **params: int) -> TrainingCallbackList:
    """Callbacks for `fit`, Keras' history among them, with the parameters that they may ask for."""
    return TrainingCallbackList(callbacks, add_history=True, model=model, verbose=0, **params)

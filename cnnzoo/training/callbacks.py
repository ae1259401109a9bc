"""Keras callbacks of a training: order of the data, best epoch, early stopping, checkpoints, Ctrl-C."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from cnnzoo.core.errors import Interrupted, TrainingError
from cnnzoo.core.processes import count_processes, share_value
from cnnzoo.data.batches import Batches
from cnnzoo.surgery.lazy_logs import LazyCallbackList
from cnnzoo.training.distribution import assign_value, assign_weights, restore_metric
from cnnzoo.training.optimizer import moving_averages
from cnnzoo.training.progress import Logs, without_output_prefix
from cnnzoo.training.run import Run

LOSS_STEPS, LOSS_SECONDS = 10, 1.0  # the loss is read after so many steps, or after so much time
CHECKPOINT_SPACING = 50  # least time between two saves within an epoch, in units of the time that the last save took


class TrainingCallbackList(LazyCallbackList):
    """The callbacks of one training, which may take several calls of Keras' `fit`.

    `begin` and `end` tell the callbacks once that training begins and ends; `fit` does not. The values of a step are
    read from the device when a callback uses them.
    """

    def on_train_begin(self, logs: Logs = None) -> None:
        """Do nothing: see `begin`."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Do nothing: see `end`."""

    def begin(self) -> None:
        """Tell every callback that training begins."""
        super().on_train_begin()

    def end(self) -> None:
        """Tell every callback that training has ended."""
        super().on_train_end()


def combine_callbacks(model: keras.Model, callbacks: Sequence[Any], **params: int) -> TrainingCallbackList:
    """Return the callbacks for `fit`, with Keras' history, and with `params` as each callback's `params`."""
    return TrainingCallbackList(callbacks, add_history=True, model=model, verbose=0, **params)


class CheckpointCallback(keras.callbacks.Callback):
    """Sets the epoch of the batches, remembers the best epoch, stops early, and saves the state of the run.

    The best epoch has the highest validation accuracy; among equals, the lowest validation loss. If the recipe keeps a
    moving average of the weights, the average is validated and remembered.

    An accelerator would wait for the processor if the loss was read after every step. It is read every `LOSS_STEPS`
    steps, and always before validation and before a state is saved, so that no saved state comes from a loss that is
    NaN or infinite.

    Attributes:
        best: the weights of the best epoch, or of the last one, in the order of `model.weights`.
        start: the weights before the first epoch, which fine-tuning compares with `best`; else None.
        step: number of steps of the current epoch that are done.
        steps_per_epoch: number of steps in a whole epoch.
    """

    def __init__(
        self,
        run: Run,
        batches: Batches,
        best: list[np.ndarray] | None,
        metric_values: list[np.ndarray],
        *,
        patience: int | None,
        interval: float,
        start: list[np.ndarray] | None = None,
        keeps_last: bool = False,
    ) -> None:
        """Prepare for a run that begins, or continues from a restored state.

        Args:
            run: the run whose state is saved.
            batches: the training batches of a whole epoch.
            best: the best weights so far; None takes those at the start of the training.
            metric_values: the values of the metrics in the middle of an epoch that is continued; else empty.
            patience: number of epochs without improvement after which training stops; None never stops.
            interval: seconds between saved states within an epoch; 0 saves after every step.
            start: the weights before the first epoch, if they are to be kept. A training that fails ends with them.
            keeps_last: whether every epoch replaces the one before as the best.
        """
        super().__init__()
        self.run, self.batches, self.best, self.metric_values = run, batches, best, metric_values
        self.start, self.keeps_last = start, keeps_last
        self.patience, self.interval, self.steps_per_epoch = patience, interval, len(batches)
        self.step = run.state.step
        self.saved_step, self.saved_at, self.save_seconds = -1, time.monotonic(), 0.0
        self.unchecked: list[tuple[int, dict[str, Any]]] = []  # steps of the epoch, with logs that are not checked yet
        self.checked_at = time.monotonic()

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.best is None:
            self.best = averaged_weights(self.model)
            self.save_state(self.best, self.start)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.batches.set_epoch(epoch)
        self.step = self.run.state.step
        # A continued epoch starts from the metrics of its first part.
        if self.metric_values:
            for variable, value in zip(self.model.metrics_variables, self.metric_values, strict=True):
                restore_metric(variable, value)
            self.metric_values = []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs
        self.step += 1
        self.unchecked.append((self.step, logs))
        # Several processes go by steps, and agree on what depends on a clock: see `AgreementCallback`.
        is_alone = count_processes() == 1
        if len(self.unchecked) >= LOSS_STEPS or (is_alone and time.monotonic() - self.checked_at >= LOSS_SECONDS):
            self.check_losses()
        if self.step < self.steps_per_epoch and (not self.interval or (is_alone and self.is_save_due())):
            self.save_state()

    def is_save_due(self) -> bool:
        """Return whether it is time to save a state within the epoch."""
        interval = max(self.interval, CHECKPOINT_SPACING * self.save_seconds) if self.interval else 0
        return time.monotonic() - self.saved_at >= interval

    def check_losses(self) -> None:
        """Raise `TrainingError` if the loss of a step that is not checked yet is NaN or infinite."""
        steps, self.unchecked, self.checked_at = self.unchecked, [], time.monotonic()
        # The loss is the mean over the epoch so far: once it is NaN or infinite, it stays so.
        if steps and not math.isfinite(steps[-1][1]["loss"]):
            for step, logs in steps:
                self.check_finite("loss", logs["loss"], step)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        # Rank 0 decides for all, so that no rounding can make a process stop alone.
        logs = share_value({name: float(value) for name, value in without_output_prefix(logs).items()})
        if "val_loss" in logs:
            self.check_finite("validation loss", logs["val_loss"], self.step)
        else:
            self.check_losses()
            self._check_weights()
        self._record_epoch(epoch, logs)
        is_best = self._remember_best_epoch(logs)
        self._stop_early()
        self.save_state(self.best if is_best else None)

    def _record_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Count the epoch that has ended, and add its values to the history."""
        state = self.run.state
        state.epoch, state.step, self.step = epoch + 1, 0, 0
        for key, value in logs.items():
            state.history.setdefault(key, []).append(float(value))

    def _remember_best_epoch(self, logs: dict[str, float]) -> bool:
        """Keep the weights if the epoch that has ended is the best so far; return whether it is."""
        state = self.run.state
        score = (float(logs["val_accuracy"]), -float(logs["val_loss"])) if "val_loss" in logs else state.best
        if not (score > state.best or self.keeps_last):
            return False
        state.best, state.best_epoch, self.best = score, state.epoch, averaged_weights(self.model)
        return True

    def _stop_early(self) -> None:
        """Stop training if none of the last `patience` epochs was the best so far."""
        state = self.run.state
        if self.patience and state.epoch - state.best_epoch >= self.patience:
            self.model.stop_training = state.stopped = True

    def on_test_begin(self, logs: Logs = None) -> None:
        self.check_losses()
        swap_averaged_weights(self.model)

    def on_test_end(self, logs: Logs = None) -> None:
        swap_averaged_weights(self.model)

    def save_state(self, best: list[np.ndarray] | None = None, start: list[np.ndarray] | None = None) -> None:
        """Save the state of the run, unless that of this step is saved already; pass `best` if it has changed.

        Raises:
            TrainingError: if a loss is NaN or infinite, or the state cannot be written. The model then has the best
                weights.
        """
        total_steps = self.run.state.epoch * self.steps_per_epoch + self.step
        if best is None and total_steps == self.saved_step:
            return
        self.check_losses()
        started = time.monotonic()
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        if self.step:  # `on_epoch_end` has checked them at the end of an epoch
            self._check_weights()
        self.run.state.step = self.step
        try:
            self.run.checkpoint(self.model, total_steps, best, start)
        except TrainingError:
            self.restore_good_weights()
            raise
        self.saved_step, self.saved_at = total_steps, time.monotonic()
        self.save_seconds = self.saved_at - started

    def check_finite(self, loss_name: str, loss: float, step: int) -> None:
        """Raise `TrainingError` if a loss after `step` steps of the epoch is NaN or infinite.

        The model then has the best weights.
        """
        if not math.isfinite(loss):
            self._fail(f"The {loss_name} became {loss}", step)

    def _check_weights(self) -> None:
        """Raise `TrainingError` if weights are NaN or infinite, as after a step whose loss was still finite."""
        for variable in self.model.trainable_variables:
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                self._fail(f"Weights of {variable.path} became NaN or infinite", self.step)

    def _fail(self, problem: str, step: int) -> NoReturn:
        """Give the model the best weights, and raise `TrainingError`."""
        self.restore_good_weights()
        epoch, best_epoch = self.batches.epoch, self.run.state.best_epoch
        kept = f"the weights of epoch {best_epoch}" if best_epoch else "the initial weights"
        kept = kept if self.start is None else "the linear probe and the weights below it"
        raise TrainingError(
            f"{problem} at step {epoch * self.steps_per_epoch + step} (epoch {epoch + 1}); {kept} are kept. A lower "
            "learning_rate usually helps"
        )

    def restore_good_weights(self) -> None:
        """Give the model the weights that a failed training ends with."""
        weights = self.best if self.start is None else self.start
        assert weights
        assign_weights(self.model, weights)


def averaged_weights(model: keras.Model) -> list[np.ndarray]:
    """Return the weights of a compiled model, with moving averages in place of the variables that have one."""
    pairs = zip(model.trainable_variables, moving_averages(model.optimizer), strict=False)
    averages = {id(variable): average for variable, average in pairs}
    return [keras.ops.convert_to_numpy(averages.get(id(v), v)).copy() for v in model.weights]


def swap_averaged_weights(model: keras.Model) -> None:
    """Exchange the trainable variables of a compiled model with their moving averages, or back.

    Unlike Keras' callback, this restores every bit.
    """
    for variable, average in zip(model.trainable_variables, moving_averages(model.optimizer), strict=False):
        value = keras.ops.convert_to_numpy(variable).copy()
        variable.assign(average)
        assign_value(average, value)


class InterruptCallback(keras.callbacks.Callback):
    """Saves the state and ends training after the current step at Ctrl-C; a second Ctrl-C ends it immediately.

    Several processes end at a step that they agree on: see `AgreementCallback`.

    A context manager that handles SIGINT within its block, in the main thread.
    """

    def __init__(self, checkpoint: CheckpointCallback) -> None:
        super().__init__()
        self.checkpoint, self.requested = checkpoint, False
        self.previous_handler: Any = None

    def __enter__(self) -> InterruptCallback:
        if threading.current_thread() is threading.main_thread():
            self.previous_handler = signal.signal(signal.SIGINT, self.request)
        return self

    def __exit__(self, *_: object) -> None:
        if self.previous_handler is not None:
            signal.signal(signal.SIGINT, self.previous_handler)

    def request(self, *_: object) -> None:
        """Request the end of the training: the handler of the first SIGINT."""
        self.requested = True
        signal.signal(signal.SIGINT, self.previous_handler)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # After the last step of an epoch, validation and the epoch's own checkpoint come first.
        if self.requested and self.checkpoint.step < self.checkpoint.steps_per_epoch and count_processes() == 1:
            self.checkpoint.save_state()
            raise Interrupted

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.requested and count_processes() == 1:
            raise Interrupted

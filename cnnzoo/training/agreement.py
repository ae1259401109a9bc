"""What the processes of a training decide together: no process may leave a step that the others wait in."""

from __future__ import annotations

import time
from typing import Any

import keras

from cnnzoo.core.connection import watch_processes
from cnnzoo.core.errors import Interrupted
from cnnzoo.core.processes import count_processes, gather_values
from cnnzoo.training.callbacks import CheckpointCallback, InterruptCallback
from cnnzoo.training.progress import Logs

AGREEMENT_SECONDS = 1.0  # between two agreements, about
MAX_STEPS = 1000  # between two agreements


class AgreementCallback(keras.callbacks.Callback):
    """Saves the state, ends training at Ctrl-C, and stops it as a callback wants, in all processes at the same step.

    Ctrl-C may reach any of the processes, and a callback may stop one of them by its own clock. Rank 0 decides by its
    clock when to save. About once per second all tell each other; rank 0 says after how many steps the next time.

    It must be the last callback, so that it sees what the others have decided.
    """

    def __init__(self, checkpoint: CheckpointCallback, interrupt: InterruptCallback) -> None:
        super().__init__()
        self.checkpoint, self.interrupt = checkpoint, interrupt
        self.steps_left, self.steps, self.agreed_at = 1, 1, time.monotonic()
        self.wants_stop = False
        self.monitor = watch_processes()

    def on_test_begin(self, logs: Logs = None) -> None:
        self.monitor.count_step(is_last=True)  # validation may have to be compiled first

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.monitor.count_step()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # Keras would leave the epoch at this step, in this process alone.
        self.wants_stop = self.wants_stop or self.model.stop_training
        self.model.stop_training = False
        self.monitor.count_step()
        self.steps_left -= 1
        if not self.steps_left:
            self._agree()

    def _agree(self) -> None:
        seconds = max((time.monotonic() - self.agreed_at) / self.steps, 1e-6)
        steps = min(max(int(AGREEMENT_SECONDS / seconds), 1), MAX_STEPS, 2 * self.steps)
        answers = gather_values([self.checkpoint.is_save_due(), steps, self.interrupt.requested, self.wants_stop])
        saves, self.steps = answers[0][:2]
        self.steps_left, self.agreed_at = self.steps, time.monotonic()
        interrupted, stops = any(answer[2] for answer in answers), any(answer[3] for answer in answers)
        self.interrupt.requested = interrupted
        if self.checkpoint.step < self.checkpoint.steps_per_epoch:
            if saves or interrupted:
                self.checkpoint.save_state()
            if interrupted:
                raise Interrupted
        self.model.stop_training = stops

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.monitor.count_step(is_last=True)
        answers = gather_values([self.interrupt.requested, self.wants_stop or bool(self.model.stop_training)])
        if any(interrupted for interrupted, _ in answers):
            raise Interrupted
        self.model.stop_training = any(stops for _, stops in answers)


def agreement_callbacks(checkpoint: CheckpointCallback, interrupt: InterruptCallback) -> list[Any]:
    """Return the callback that several processes need, in a list; none for a single process."""
    return [AgreementCallback(checkpoint, interrupt)] if count_processes() > 1 else []

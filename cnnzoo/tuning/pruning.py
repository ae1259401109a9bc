"""Pruning: end a trial early if its accuracy is far below that of the other trials."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnzoo.training import state

PRUNING_STEPS = 20  # points of a training, evenly spaced, at which trials are compared
MIN_SHARE_BEFORE_PRUNING = 0.25  # no trial is pruned before this share of its epochs
MIN_TRIALS_TO_COMPARE = 4
QUANTILE = 0.25  # trials in this lowest part are pruned


def pruning_thresholds(histories: Sequence[Mapping[str, Sequence[float]]], epochs: Sequence[int]) -> tuple[float, ...]:
    """Return the lower quartile of the trials' best accuracies after each twentieth of their training.

    A threshold is 0 where fewer than `MIN_TRIALS_TO_COMPARE` trials got that far.

    Args:
        histories: metrics by epoch of each trial that ended, as Keras keeps them.
        epochs: the planned epochs of each trial.
    """
    thresholds = []
    for step in range(1, PRUNING_STEPS + 1):
        best_accuracies = []
        for history, planned in zip(histories, epochs, strict=True):
            done = -(-planned * step // PRUNING_STEPS)  # rounded up
            accuracies = history.get("val_accuracy", ())
            if 0 < done <= len(accuracies):
                best_accuracies.append(max(accuracies[:done]))
        enough = len(best_accuracies) >= MIN_TRIALS_TO_COMPARE
        thresholds.append(float(np.quantile(best_accuracies, QUANTILE)) if enough else 0.0)
    return tuple(thresholds)


class TrialStopCallback(keras.callbacks.Callback):
    """Stops a trial after its epochs, or once its best accuracy is below the threshold for that share of them.

    Attributes:
        hopeless: whether the trial was pruned.
        seconds: the time spent in training.
    """

    def __init__(self, stop_after: int | None, thresholds: tuple[float, ...], run_dir: Path) -> None:
        """Stop after `stop_after` epochs, if given; `run_dir` holds the state of a training that is continued."""
        super().__init__()
        self.stop_after, self.thresholds, self.run_dir = stop_after, thresholds, run_dir
        self.best_accuracy, self.hopeless, self.seconds = 0.0, False, 0.0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.begin = time.perf_counter()
        if state_dir := state.find_latest_state(self.run_dir / "state"):
            saved = state.read_state(state_dir)
            self.best_accuracy = max(saved.history.get("val_accuracy", [0.0]))
            self.stop_if_done(saved.epoch)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        assert logs is not None
        metric = "val_accuracy" if "val_accuracy" in logs else "val_logits_accuracy"
        self.best_accuracy = max(self.best_accuracy, float(logs[metric]))
        self.stop_if_done(epoch + 1)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.seconds = time.perf_counter() - self.begin

    def stop_if_done(self, epochs_done: int) -> None:
        """Stop the training if the trial has run its epochs or is hopeless."""
        share = epochs_done / self.params["epochs"]
        self.hopeless = (
            bool(self.thresholds)
            and MIN_SHARE_BEFORE_PRUNING <= share < 1
            and self.best_accuracy < self.thresholds[int(share * PRUNING_STEPS) - 1]
        )
        if self.hopeless or (self.stop_after and epochs_done >= self.stop_after):
            self.model.stop_training = True

"""Trials without a training, for what a search does around its trainings."""

from unittest import mock

import numpy as np

import cnnzoo
from cnnzoo.tuning import trial
from cnnzoo.tuning.trial import run_job

BEST_RATE = 0.05


def use_quick_trials():
    """Make the searches of this process run quick trials; a context manager."""
    return mock.patch.object(trial, "run_job", run_quick_job)


def use_quick_finals():
    """Make the searches of this process train in their trials, but not in the comparison at the end; as above."""
    return mock.patch.object(trial, "run_job", run_final_quickly)


def run_final_quickly(config, job):
    """Stand in for `run_job`."""
    return run_quick_job(config, job) if job.final else run_job(config, job)


def run_quick_job(config, job):
    """Stand in for `run_job`, in the process of a trial."""
    with mock.patch.object(trial, "fit_and_evaluate", report_without_training):
        return run_job(config, job)


def report_without_training(model, data, *, recipe, **_):
    """Return a report of made-up predictions: the closer the learning rate is to BEST_RATE, the more are right."""
    if recipe.learning_rate > 1:
        raise cnnzoo.TrainingError("The loss became inf")
    labels = data.test.labels
    distance = abs(np.log10(recipe.learning_rate / BEST_RATE))
    mistakes = np.arange(len(labels)) < len(labels) * min(distance / 3, 0.9)
    probabilities = np.full((len(labels), len(data.classes)), 0.1 / (len(data.classes) - 1))
    probabilities[np.arange(len(labels)), (labels + mistakes) % len(data.classes)] = 0.9
    history = {name: [0.5] * recipe.epochs for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return cnnzoo.Report(
        model.name, data.source, "test", data.classes, data.test.names, labels, probabilities, data.test.images, history
    )

"""A short recipe, a new model, a quiet training and a crash at a chosen step, for the tests of training."""

import keras
import numpy as np

import cnnzoo

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05, augment="shift", weight_decay=1e-3)


def new_lenet(seed=0):
    """Return an untrained LeNet-5 of three classes, for the images of `make_blobs`."""
    keras.utils.set_random_seed(seed)
    return cnnzoo.get("lenet5", classes=3)


def fit(model, data, **options):
    """Train by `RECIPE` without progress, unless the options say otherwise; return the report."""
    return cnnzoo.fit_and_evaluate(model, data, **{"recipe": RECIPE, "verbose": False, **options})


def read_report(folder):
    """Return the bytes of the report in a run folder."""
    return (folder / "report.json").read_bytes()


def assert_same_weights(first, second):
    """Check that two lists of arrays are equal, to the last bit."""
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


class CrashError(Exception):
    """An exception that no part of the package catches."""


class CrashAt(keras.callbacks.Callback):
    """Raises after one batch of one epoch, both counted from 0."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.where = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.where:
            raise CrashError

"""What the tests of training share: a short recipe, a new model, a quiet training, a crash at a chosen step."""

import keras
import numpy as np

import cnnzoo

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05, augment="shift", weight_decay=1e-3)


def new_lenet(seed=0):
    keras.utils.set_random_seed(seed)
    return cnnzoo.get("lenet5", classes=3)


def fit(model, data, **options):
    return cnnzoo.fit_and_evaluate(model, data, **{"recipe": RECIPE, "verbose": False, **options})


def read_report(folder):
    return (folder / "report.json").read_bytes()


def assert_same_weights(first, second):
    """Both are lists of arrays; every bit must be equal."""
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

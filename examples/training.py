"""Train by a recipe of your own: find the learning rate, train, interrupt, continue, and read the report."""

import dataclasses
import tempfile
from pathlib import Path

import keras

import cnnzoo

data = cnnzoo.load_data("digits")


def make_model() -> keras.Model:
    """Return a network with the same fresh weights every time."""
    keras.utils.set_random_seed(0)
    return cnnzoo.get("lenet5_relu", classes=data.classes)


# Every field of a recipe can be changed; `cnnzoo recipes digits` shows them.
recipe = cnnzoo.recipe("digits", epochs=6, schedule="linear", ema=0.95, balance="weights")
rate_test = cnnzoo.lr_find(make_model(), data, recipe=recipe)  # learning_rate="auto" does this for you
print(rate_test)
recipe = dataclasses.replace(recipe, learning_rate=rate_test.suggestion)


class PowerCut(keras.callbacks.Callback):
    """Interrupt the training in the third epoch. Any Keras callback can be passed."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise SystemError("no power")


with tempfile.TemporaryDirectory() as folder:
    run_dir = Path(folder) / "run"
    try:
        cnnzoo.fit_and_evaluate(make_model(), data, recipe=recipe, run_dir=run_dir, callbacks=[PowerCut()])
    except SystemError as error:
        print("Interrupted:", error)

    # The same call continues, and gives the same bits as a training without interruption.
    report = cnnzoo.fit_and_evaluate(make_model(), data, recipe=recipe, run_dir=run_dir)
    print(report)
    print("calibration:", report.calibration["temperature"])
    print(sorted(path.name for path in run_dir.iterdir()))

"""Training by a recipe of one's own: find the rate, train, stop in the middle, go on, and read the report."""

import dataclasses
import tempfile
from pathlib import Path

import keras

import cnnzoo
from cnnzoo.training import recipes

data = cnnzoo.load_data("digits")


def network():
    """The same fresh weights every time."""
    keras.utils.set_random_seed(0)
    return cnnzoo.get("lenet5_relu", classes=data.classes)


# every field of a recipe can be changed; `cnnzoo recipes digits` shows them all
recipe = dataclasses.replace(recipes.resolve_recipe("digits"), epochs=6, schedule="linear", ema=0.95, balance="weights")
test = cnnzoo.lr_find(network(), data, recipe=recipe)  # learning_rate="auto" does this by itself
print(test)
recipe = dataclasses.replace(recipe, learning_rate=test.suggestion)


class PowerCut(keras.callbacks.Callback):
    """Any callback of Keras may be passed; this one pulls the plug in the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise SystemError("no power")


with tempfile.TemporaryDirectory() as folder:
    run = Path(folder) / "run"
    try:
        cnnzoo.fit_and_evaluate(network(), data, recipe=recipe, run_dir=run, callbacks=[PowerCut()])
    except SystemError as error:
        print("Stopped:", error)
    # the same call goes on where the last one ended, to the same bits as if nothing had happened
    report = cnnzoo.fit_and_evaluate(network(), data, recipe=recipe, run_dir=run)
    print(report)
    print("calibration error:", report.metrics["calibration_error"], "->", report.metrics["calibrated"])
    print(sorted(path.name for path in run.iterdir()))

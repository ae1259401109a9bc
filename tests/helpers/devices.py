"""Trainings on several virtual CPU devices, for a process of their own: python -m helpers.devices FOLDER."""

import contextlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

import cnnzoo
from helpers.images import make_blobs
from helpers.training import RECIPE, CrashAt, CrashError, fit, read_report

# What depends on the whole batch: batch norms, dropout, clipping; and averages
RECIPE = replace(RECIPE, epochs=1, batch_size=16, augment="none", clip=0.5, ema=0.5)


def new_network():
    """Return a small network with a batch norm and dropout."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.8)(x))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(3)(x), name="network")


def train(count, new_model=new_network, **options):
    """Train on so many CPU devices, or on the default device if it is one; return the model and the history."""
    model, devices = new_model(), [f"CPU:{i}" for i in range(count)] if count > 1 else None
    report = fit(model, **{"data": load_blobs(), "recipe": RECIPE, "devices": devices, **options})
    return model, report.history


def load_blobs():
    """Return data of 39 training images, 13 for validation and 14 for the test: no part fills whole batches."""
    return cnnzoo.load_data(make_blobs(66), splits=(0.6, 0.2, 0.2))


def check_equal(expected, received):
    """Check that two trainings have equal variables and equal histories, up to rounding."""
    for a, b in zip(received[0].variables, expected[0].variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5, err_msg=a.path)
    for key, values in expected[1].items():
        np.testing.assert_allclose(received[1][key], values, rtol=1e-5, err_msg=key)


def check_resume(count, whole):
    """Check that a training that stops after two of its three steps ends with the report of the folder `whole`."""
    with contextlib.suppress(CrashError):
        train(count, run_dir="torn", callbacks=[CrashAt(0, 1)], checkpoint_every=0)
    train(count, run_dir="torn")
    assert read_report(Path("torn")) == read_report(Path(whole))


def check_small_network():
    """Check that one device, by whatever name, two, also with an interruption, and four give the same numbers."""
    one = train(1)
    check_equal(one, train(1, devices="CPU:1"))
    check_equal(one, train(4))
    check_equal(one, train(2, run_dir="two"))
    check_resume(2, "two")


def check_odd_validation():
    """Check that four devices validate 1,003 images, which do not fill whole batches, exactly as one does."""
    data = cnnzoo.load_data(make_blobs(1254), splits=(0.1, 0.8, 0.1))
    assert len(data.validation) == 1003
    histories = [train(count, data=data)[1] for count in (1, 4)]
    assert histories[0]["val_accuracy"] == histories[1]["val_accuracy"]
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-5)


if __name__ == "__main__":
    check_small_network()
    check_odd_validation()
    check_equal(train(4), train(1, devices="auto"))
    assert keras.distribution.distribution() is None
    print("equal")
    for options in (
        {"devices": ["GPU:0"]},
        {"devices": "cpu:0,cpu:1,cpu:2,cpu:3", "recipe": replace(RECIPE, batch_size=6)},
    ):
        try:
            train(1, **options)
        except cnnzoo.InputError as error:
            print(error)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    try:
        train(1)
    except cnnzoo.InputError as error:
        print(error)
    print(len(cnnzoo.evaluate(new_network(), load_blobs(), verbose=False).probabilities), "images")

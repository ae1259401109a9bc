"""A short recipe, a new model and a quiet training, for the tests of training."""

import keras

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

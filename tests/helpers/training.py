"""What the tests of training share: a short recipe, a fresh model, a quiet fit."""

import keras

import cnnzoo

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05, augment="shift", weight_decay=1e-3)


def new_lenet(seed=0):
    keras.utils.set_random_seed(seed)
    return cnnzoo.get("lenet5", classes=3)


def fit(model, data, **options):
    return cnnzoo.fit_and_evaluate(model, data, **{"recipe": RECIPE, "verbose": False, **options})


def read_report(folder):
    return (folder / "report.json").read_bytes()

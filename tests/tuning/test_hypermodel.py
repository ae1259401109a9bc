"""The plain HyperModel, driven by Keras Tuner's own tuners."""

import keras_tuner
import numpy as np
import pytest

import cnnzoo

RECIPE = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.05)
RANGES = {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}, "augment": ["none", "shift"]}


@pytest.mark.slow
@pytest.mark.parametrize("tuner", [keras_tuner.RandomSearch, keras_tuner.Hyperband], ids=["random", "hyperband"])
def test_keras_tuner_drives_it(data, tmp_path, tuner):
    made = cnnzoo.hypermodel("lenet5", classes=3, space=RANGES, recipe=RECIPE)
    size = {"max_trials": 2} if tuner is keras_tuner.RandomSearch else {"max_epochs": 2, "factor": 2}
    at_work = tuner(made, "val_accuracy", directory=tmp_path, project_name="search", seed=1, **size)
    at_work.search(data, verbose=0)
    best = at_work.get_best_hyperparameters()[0]
    assert 0.01 <= best["learning_rate"] <= 0.1
    assert at_work.get_best_models()[0].predict(np.zeros((4, 32, 32, 1)), verbose=0).shape == (4, 3)


def test_arrays_are_refused_with_the_way_to_do_it(tmp_path):
    made = cnnzoo.hypermodel("lenet5", classes=3, space=RANGES, recipe=RECIPE)
    hp = keras_tuner.HyperParameters()
    model = made.build(hp)
    assert hp.values == {"learning_rate": 0.05, "augment": "none"}
    with pytest.raises(cnnzoo.InputError, match="what cnnzoo.load_data returns"):
        made.fit(hp, model, np.zeros((4, 28, 28, 1)))

"""The HyperModel, used with Keras Tuner's own tuners."""

import keras_tuner
import numpy as np
import pytest

import cnnzoo

RECIPE = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.05)
RANGES = {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}, "augment": ["none", "shift"]}


@pytest.fixture
def hypermodel():
    return cnnzoo.hypermodel("lenet5", classes=3, space=RANGES, recipe=RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuner_class", "options"),
    [(keras_tuner.RandomSearch, {"max_trials": 1}), (keras_tuner.Hyperband, {"max_epochs": 2, "factor": 2})],
    ids=["random", "hyperband"],
)
def test_keras_tuners_own_tuners_accept_it(hypermodel, data, tmp_path, tuner_class, options):
    tuner = tuner_class(hypermodel, "val_accuracy", directory=tmp_path, project_name="search", seed=1, **options)
    tuner.search(data, verbose=0)
    best = tuner.get_best_hyperparameters()[0]
    assert 0.01 <= best["learning_rate"] <= 0.1
    assert tuner.get_best_models()[0].predict(np.zeros((4, 32, 32, 1)), verbose=0).shape == (4, 3)


def test_arrays_are_refused_with_a_remedy(hypermodel):
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    assert hp.values == {"learning_rate": 0.05, "augment": "none"}
    with pytest.raises(cnnzoo.InputError, match="what cnnzoo.load_data returns"):
        hypermodel.fit(hp, model, np.zeros((4, 28, 28, 1)))


@pytest.mark.parametrize("size", [{"image_size": 40}, {"image_size": (40, 40)}, {"input_shape": (40, 40, 1)}])
def test_the_size_of_the_images_can_be_set(size):
    hypermodel = cnnzoo.hypermodel("lenet5", classes=3, recipe=RECIPE, **size)
    assert hypermodel.build(keras_tuner.HyperParameters()).input_shape == (None, 40, 40, 1)

"""Models whose outputs are neither logits nor probabilities: they are used, with a warning."""

import warnings

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.surgery.outputs import NO_LOGITS, output_activation, warn_if_no_logits

L = keras.layers


def ending(*layers):
    return keras.Sequential([keras.Input((12, 12, 1)), L.Flatten(), *layers])


ENDS = {
    "relu": lambda: ending(L.Dense(3, activation="relu")),
    "relu layer": lambda: ending(L.Dense(3), L.ReLU()),
    "relu operation": lambda: keras.Model(x := keras.Input((12, 12, 1)), keras.ops.relu(L.Dense(3)(L.Flatten()(x)))),
    "relu, then a type": lambda: ending(L.Dense(3, activation="relu"), L.Activation("linear", dtype="float32")),
    "tanh": lambda: ending(L.Dense(3, activation="tanh")),
    "tanh activation": lambda: ending(L.Dense(3), L.Activation("tanh")),
    "unit_normalization": lambda: ending(L.Dense(3), L.UnitNormalization()),
    "leaky_relu": lambda: ending(L.Dense(3), L.LeakyReLU()),
    "gelu": lambda: ending(L.Dense(3, activation="gelu")),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_gives_no_logits_causes_a_warning(end):
    model = ENDS[end]()
    assert output_activation(model) == end.split(" ")[0].rstrip(",")
    with pytest.warns(
        UserWarning, match=r"ends in \w+, whose values .* They are used as logits.* Remove that activation"
    ):
        warn_if_no_logits(model)


@pytest.mark.parametrize("activation", [None, "linear", "softmax", "log_softmax"])
def test_other_ends_do_not(activation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_no_logits(ending(L.Dense(3, activation=activation)))


def test_each_name_is_one_of_keras():
    layers = {"prelu", "unit_normalization"}
    assert all(hasattr(keras.activations, name) for name in NO_LOGITS.keys() - layers)


def test_evaluate_classifiers_and_training_warn(data):
    model = ENDS["tanh"]()
    with pytest.warns(UserWarning, match="ends in tanh"):
        report = cnnzoo.evaluate(model, data)
    assert np.isfinite(report.probabilities).all()
    with pytest.warns(UserWarning, match="ends in tanh"):
        cnnzoo.Classifier.of(model, runtime="keras")
    with pytest.warns(UserWarning, match="ends in tanh"):
        cnnzoo.fit_and_evaluate(model, data, recipe=cnnzoo.recipe("sgd", epochs=1), verbose=False)


def test_a_softmax_that_is_not_recognized_causes_a_warning(data):
    model = ending(L.Dense(3), L.Lambda(lambda x: keras.ops.softmax(x), output_shape=(3,)))
    with pytest.warns(UserWarning, match="add up to one for every image, so they seem to be probabilities"):
        cnnzoo.evaluate(model, data)

"""Outputs of classifiers: logits or probabilities."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cnnzoo.surgery.outputs import has_softmax_output, output_activation, predict_probabilities


@pytest.mark.parametrize("head", ["logits", "softmax activation", "softmax layer", "softmax dense"])
def test_logits_and_probabilities_are_distinguished(head):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, activation="softmax" if head == "softmax dense" else None)(inputs)
    if head == "softmax activation":
        x = keras.layers.Activation("softmax")(x)
    if head == "softmax layer":
        x = keras.layers.Softmax()(x)
    model = keras.Model(inputs, x)
    assert has_softmax_output(model) == (head != "logits")
    np.testing.assert_allclose(predict_probabilities(model, np.ones((5, 4), "float32")).sum(axis=1), 1, rtol=1e-12)


def test_the_activation_is_found_in_nested_models_and_before_a_change_of_type():
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    outer_inputs = keras.Input((4,))
    x = keras.layers.Activation("linear", dtype="float32")(inner(outer_inputs))
    assert output_activation(keras.Model(outer_inputs, keras.layers.Identity()(x))) == "softmax"


@pytest.mark.parametrize("heads", [False, True])
def test_progress_counts_the_images_of_each_batch(heads):
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(3)(inputs)
    model = keras.Model(inputs, {"logits": logits, "aux1": logits} if heads else logits)
    counts = []
    progress = SimpleNamespace(advance=counts.append)
    predict_probabilities(model, np.ones((5, 4), "float32"), batch_size=2, progress=progress)
    assert counts == [2, 2, 1]

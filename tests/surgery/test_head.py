"""replace_head gives a model new last layers for other classes, and keeps every other weight."""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.surgery.head import replace_head


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_new_head_replaces_the_old_one(activation):
    model = cnnzoo.get("lenet5", classifier_activation=activation)
    before = {v.path: v.numpy() for v in model.variables}
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1))
    old_outputs = model.predict(images, verbose=0)
    restore = replace_head(model, ["ant", "bee", "cow"])
    assert model.output_shape == (None, 3)
    assert model.predict(images, verbose=0).shape == (2, 3)
    assert cnnzoo.card(model).classes == ("ant", "bee", "cow")

    after = {v.path: v.numpy() for v in model.variables}
    assert before.keys() == after.keys(), "names are API, and no variable of the old head is left"
    unchanged = {path for path in before if np.array_equal(before[path], after[path])}
    assert {path for path in before if not path.startswith("output")} <= unchanged
    assert before["output/kernel"].shape != after["output/kernel"].shape

    restore()
    np.testing.assert_array_equal(model.predict(images, verbose=0), old_outputs)


def test_auxiliary_heads_are_replaced_too():
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Flatten()(inputs)
    heads = {name: keras.layers.Dense(4, name=f"{name}_fc")(features) for name in ("logits", "aux1", "aux2")}
    model = keras.Model(inputs, heads)
    replace_head(model, ["a", "b"])
    assert {name: output.shape[-1] for name, output in model.output.items()} == {"logits": 2, "aux1": 2, "aux2": 2}


def test_a_head_that_is_not_dense_raises_an_error():
    model = cnnzoo.get("lenet5_1998")
    with pytest.raises(cnnzoo.InputError, match="ends in output, a RadialBasis"):
        replace_head(model, ["a", "b"])

"""Batch norm goes into the layers before it, and nothing changes."""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.surgery import fold as folding
from cnnzoo.surgery.fold import fold


def stirred(model):
    """Batch norms with statistics that are none of the fresh ones."""
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 1.5, w.shape).astype("float32") for w in layer.get_weights()])
    return model


def norms(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


# a batch norm behind every convolution; before them; none at all; layers of our own; separable and grouped ones
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet20", 0),
        ("resnext50_32x4d", 0),
        ("preresnet18", 9),
        ("googlenet_2014", 0),
        ("lenet5_1998", 0),
        ("vgg11_bn", 0),
    ],
)
def test_logits_stay(name, left):
    keras.utils.set_random_seed(0)
    row = cnnzoo.info(name).row
    size = (min(row.input_shape[0], 64),) * 2
    model = stirred(cnnzoo.get(name, classes=5, input_shape=(*size, row.input_shape[2])))
    images = np.random.default_rng(1).uniform(0, 255, (3, *model.input_shape[1:])).astype("float32")
    folded = fold(model)
    before, after = (np.asarray(each(images, training=False)) for each in (model, folded))
    np.testing.assert_allclose(after, before, atol=2e-4 * np.abs(before).max())
    assert norms(folded) <= left
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in folded.layers)
    assert cnnzoo.card(folded) == cnnzoo.card(model)
    assert norms(model) == norms(cnnzoo.get(name, classes=5)), "the model itself stays as it is"


def test_what_others_see_too_stays():
    """A convolution whose output goes elsewhere as well keeps its batch norm; so does one with an activation."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="shared")(inputs)
    y = keras.layers.Add()([x, keras.layers.BatchNormalization()(x)])
    y = keras.layers.Conv2D(4, 3, activation="relu")(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(y)
    y = keras.layers.BatchNormalization(center=False, scale=False)(y)
    y = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(y))
    model = stirred(keras.Model(inputs, keras.layers.BatchNormalization()(y)))
    assert norms(fold(model)) == 2


def test_a_wrong_fold_is_refused(monkeypatch):
    model = stirred(cnnzoo.get("resnet20", classes=3))
    real = folding._folded_weights
    monkeypatch.setattr(folding, "_folded_weights", lambda layer, norm: [0 * weights for weights in real(layer, norm)])
    with pytest.raises(cnnzoo.InputError, match="gives logits that differ by"):
        fold(model)

"""fold: batch normalization moves into the layers before it, and the outputs stay the same."""

import keras
import numpy as np
import pytest
from helpers.building import narrow_dense_layers
from helpers.designs import shallow

import cnnzoo
from cnnzoo.surgery import fold as fold_module
from cnnzoo.surgery.fold import fold


def randomize_norms(model):
    """Give the batch normalizations statistics that differ from the initial ones."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape).astype("float32") for w in layer.get_weights()])
    return model


def count_norms(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


# Batch normalization after every convolution, before convolutions, or nowhere; our own layers; grouped convolutions.
@pytest.mark.parametrize(
    ("name", "norms_left"),
    [
        ("resnet20", 0),
        pytest.param("resnext50_32x4d", 0, marks=pytest.mark.slow),
        ("preresnet18", 9),
        ("googlenet_2014", 0),
        ("lenet5_1998", 0),
        pytest.param("vgg11_bn", 0, marks=pytest.mark.slow),
    ],
)
def test_logits_stay_the_same(name, norms_left):
    keras.utils.set_random_seed(0)
    row = shallow(cnnzoo.info(name).row)
    size = (min(row.input_shape[0], 64),) * 2
    with narrow_dense_layers():
        model = randomize_norms(cnnzoo.get(row, classes=5, input_shape=(*size, row.input_shape[2])))
    norms_before = count_norms(model)
    images = np.random.default_rng(1).uniform(0, 255, (3, *model.input_shape[1:])).astype("float32")
    folded = fold(model)
    before, after = (np.asarray(each(images, training=False)) for each in (model, folded))
    np.testing.assert_allclose(after, before, atol=2e-4 * np.abs(before).max())
    assert count_norms(folded) <= norms_left
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in folded.layers)
    assert cnnzoo.card(folded) == cnnzoo.card(model)
    assert count_norms(model) == norms_before, "the model itself is left unchanged"


def test_a_norm_is_not_folded_if_other_layers_use_its_input():
    """A batch normalization also stays after a layer with an activation."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="shared")(inputs)
    y = keras.layers.Add()([x, keras.layers.BatchNormalization()(x)])
    y = keras.layers.Conv2D(4, 3, activation="relu")(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(y)
    y = keras.layers.BatchNormalization(center=False, scale=False)(y)
    y = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(y))
    model = randomize_norms(keras.Model(inputs, keras.layers.BatchNormalization()(y)))
    assert count_norms(fold(model)) == 2


def test_a_wrong_fold_is_an_error(monkeypatch):
    model = randomize_norms(cnnzoo.get("resnet20", classes=3))
    folded_weights = fold_module._folded_weights
    monkeypatch.setattr(fold_module, "_folded_weights", lambda *layers: [0 * w for w in folded_weights(*layers)])
    with pytest.raises(cnnzoo.InputError, match=r"changes its logits by .* too much"):
        fold(model)

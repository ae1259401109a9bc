"""feature_extractor: maps of the trunk at the strides that its levels mean."""

import numpy as np
import pytest

import cnnzoo
from cnnzoo.surgery.features import feature_layer_names


def test_a_pyramid_of_a_resnet():
    model = cnnzoo.get("resnet18", input_shape=(None, None, 3), classes=3)
    features = cnnzoo.feature_extractor(model)
    maps = features(np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3)))
    assert {name: tuple(x.shape) for name, x in maps.items()} == {
        "level2": (2, 24, 16, 64),
        "level3": (2, 12, 8, 128),
        "level4": (2, 6, 4, 256),
        "level5": (2, 3, 2, 512),
    }
    assert feature_layer_names(model)[2] == "layer1_1_relu"
    assert {id(v) for v in features.weights} <= {id(v) for v in model.weights}, "the same weights, no copies"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg16", {2: "relu3_3", 3: "relu4_3", 4: "relu5_3", 5: "pool5"}),
        ("googlenet", {2: "conv3_bn_relu", 3: "inception3b", 4: "inception4e", 5: "inception5b"}),
        ("resnet20", {0: "layer1_2_relu", 1: "layer2_2_relu", 2: "layer3_2_relu"}),
        ("preresnet18", {2: "layer2_0_bn1_relu", 5: "postact_bn_relu"}),
    ],
)
def test_taps_are_where_the_docs_say(name, expected):
    found = feature_layer_names(cnnzoo.get(name, include_top=False))
    assert {level: found[level] for level in expected} == expected


def test_auxiliary_heads_are_no_part_of_the_trunk():
    model = cnnzoo.get("googlenet", aux=True)
    assert feature_layer_names(model) == feature_layer_names(cnnzoo.get("googlenet"))


@pytest.mark.parametrize("levels", [(2, 6), (), "b", (2.5,), None, [[2]], {"a": 1}, [True]])
def test_levels_that_are_not_there(levels):
    with pytest.raises(cnnzoo.InputError, match=r"has the levels 0, 1, 2\. Received"):
        cnnzoo.feature_extractor(cnnzoo.get("resnet20"), levels)


def test_graphs_that_have_no_trunk():
    import keras

    flat = cnnzoo.get("resnet20", include_top=False)
    inputs = keras.Input((32, 32, 3))
    nested = keras.Model(inputs, flat(inputs))
    with pytest.raises(cnnzoo.InputError, match="no flat graph"):
        cnnzoo.feature_extractor(nested)
    up = keras.Model(inputs, keras.layers.Conv2DTranspose(3, 2, 2)(inputs))
    with pytest.raises(cnnzoo.InputError, match="only goes down"):
        cnnzoo.feature_extractor(up)
    for thing in (None, 5, "resnet18", keras.Sequential([])):
        with pytest.raises(cnnzoo.InputError, match="functional model"):
            cnnzoo.feature_extractor(thing)
    assert set(cnnzoo.feature_extractor(flat, {0, 1}).output) == {"level0", "level1"}

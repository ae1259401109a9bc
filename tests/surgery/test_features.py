"""feature_extractor and feature_layer_names: feature maps of the trunk at the strides that levels stand for."""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.surgery.features import feature_layer_names

pytestmark = pytest.mark.usefixtures("fast_variables")


@pytest.fixture(scope="module")
def headless_resnet20():
    return cnnzoo.get("resnet20", include_top=False)


def test_a_resnet_gives_a_feature_pyramid():
    model = cnnzoo.get("resnet18", input_shape=(None, None, 3), classes=3)
    extractor = cnnzoo.feature_extractor(model)
    maps = extractor(np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3)))
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        "level2": (2, 24, 16, 64),
        "level3": (2, 12, 8, 128),
        "level4": (2, 6, 4, 256),
        "level5": (2, 3, 2, 512),
    }
    assert feature_layer_names(model)[2] == "layer1_1_relu"
    assert {id(v) for v in extractor.weights} <= {id(v) for v in model.weights}, "weights are shared, not copied"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg16", {2: "relu3_3", 3: "relu4_3", 4: "relu5_3", 5: "pool5"}),
        ("googlenet", {2: "conv3_bn_relu", 3: "inception3b", 4: "inception4e", 5: "inception5b"}),
        ("resnet20", {0: "layer1_2_relu", 1: "layer2_2_relu", 2: "layer3_2_relu"}),
        ("preresnet18", {2: "layer2_0_bn1_relu", 5: "postact_bn_relu"}),
    ],
)
def test_feature_layers_are_those_that_the_docs_name(name, expected):
    names = feature_layer_names(cnnzoo.get(name, include_top=False))
    assert {level: names[level] for level in expected} == expected


def test_auxiliary_heads_do_not_belong_to_the_trunk():
    names = [feature_layer_names(cnnzoo.get("googlenet", aux=aux)) for aux in (True, False)]
    assert names[0] == names[1]


@pytest.mark.parametrize("levels", [(2, 6), (), "b", (2.5,), None, [[2]], {"a": 1}, [True]])
def test_missing_levels_are_an_error(headless_resnet20, levels):
    with pytest.raises(cnnzoo.InputError, match=r"has the levels 0, 1, 2\. Received"):
        cnnzoo.feature_extractor(headless_resnet20, levels)


def test_levels_may_be_any_iterable(headless_resnet20):
    assert set(cnnzoo.feature_extractor(headless_resnet20, {0, 1}).output) == {"level0", "level1"}


def test_graphs_without_a_trunk_are_an_error(headless_resnet20):
    inputs = keras.Input((32, 32, 3))
    nested = keras.Model(inputs, headless_resnet20(inputs))
    with pytest.raises(cnnzoo.InputError, match="flat graph that only downsamples"):
        cnnzoo.feature_extractor(nested)
    upsampling = keras.Model(inputs, keras.layers.Conv2DTranspose(3, 2, 2)(inputs))
    with pytest.raises(cnnzoo.InputError, match="only downsamples"):
        cnnzoo.feature_extractor(upsampling)
    for not_a_model in (None, 5, "resnet18", keras.Sequential([])):
        with pytest.raises(cnnzoo.InputError, match="functional Keras model"):
            cnnzoo.feature_extractor(not_a_model)

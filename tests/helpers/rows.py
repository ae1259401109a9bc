"""What holds for the network of every row: the figures that the row states, and the layer of its activation maps."""

import csv
import math
from pathlib import Path

import keras
import pytest

import cnnzoo
from cnnzoo.surgery.features import feature_layer_names
from cnnzoo.surgery.maps import choose_map_layer, list_map_layers
from helpers.counting import count_multiply_adds

LAST_BEFORE_POOL = {  # of networks that flatten
    "alexnet": "relu5",
    "alexnet_2012": "relu5",
    "lenet5": "c3",
    "lenet5_relu": "c3",
    "lenet5_1998": "s4",  # whose pool is trained and has the activation
    "lenet_caffe": "c3",
}
DEEPEST = ("resnet1202", "preresnet1001")  # resnet110 and preresnet164 with more blocks, whose layers take long to list
WITH_OWN_LAYERS = ("lenet5_1998", "alexnet_2012", "vgg11_lrn", "googlenet_2014")


def published_multiply_adds():
    """Return what others count at the same input size, in 1e9 multiply-adds, by model and publisher."""
    lines = (Path(__file__).parents[1] / "data" / "gmacs.csv").read_text().splitlines()
    published = {}
    for line in csv.DictReader(lines):
        published.setdefault(line["model"], {})[line["publisher"]] = float(line["gmacs"])
    return published


PUBLISHED = published_multiply_adds()


def count_parameters(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def check_row(model):
    """Check a network of a row, without auxiliary heads, against the figures of the row and of others."""
    name, row = model.name, cnnzoo.info(model.name).row
    assert count_parameters(model) == row.params
    assert count_multiply_adds(model) == row.macs
    for publisher, gmacs in PUBLISHED.get(name, {}).items():
        if publisher == "tf2cv":  # which also counts an operation for each output of a norm or an activation
            layers = keras.layers.BatchNormalization, keras.layers.Activation
            extra = sum(math.prod(layer.output.shape[1:]) for layer in model.layers if isinstance(layer, layers))
            assert row.macs + extra == pytest.approx(gmacs * 1e9, rel=0.01)
        else:
            assert row.macs == pytest.approx(gmacs * 1e9, rel=0.0005)
    assert model.input_shape == (None, *row.input_shape)
    assert model.output_shape == (None, row.classes)
    assert row.paper
    assert not any("." in layer.name or "/" in layer.name for layer in model.layers)
    is_stock = all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert is_stock or name in WITH_OWN_LAYERS
    assert set(feature_layer_names(model)) >= ({2, 3, 4, 5} if max(row.input_shape) > 100 else {0, 1, 2})
    if name not in DEEPEST:
        check_map_layer(model)


def check_map_layer(model):
    """The layer that heat maps are drawn from is the last one that has maps."""
    name, layer = model.name, choose_map_layer(model)
    assert min(layer.size) >= 4
    assert layer.is_trunk
    assert layer.strides
    if name.startswith("vgg"):
        assert layer.name.startswith("relu5_")
    elif name in LAST_BEFORE_POOL:
        assert layer.name == LAST_BEFORE_POOL[name]
    else:  # the last maps of all, which are pooled next
        last = [other for other in list_map_layers(model) if max(other.size) > 1 and other.is_trunk][-1]
        assert layer.name == last.name

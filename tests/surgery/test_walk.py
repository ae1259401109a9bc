"""Each function that reads Keras' private graph attributes, on a graph with a shared layer and a nested model."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cnnzoo.surgery import walk


@pytest.fixture
def graph():
    """Two images go through a shared layer; a nested model returns its second output last."""
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    shared = keras.layers.Dense(3, name="shared")
    added = keras.layers.Add(name="added")([shared(first), shared(second)])
    inner_input = keras.Input((3,))
    inner_outputs = [keras.layers.Dense(2, name=name)(inner_input) for name in ("inner_a", "inner_b")]
    nested = keras.Model(inner_input, inner_outputs, name="nested")
    output = nested(added)[1]
    model = keras.Model([first, second], output)
    return SimpleNamespace(model=model, first=first, second=second, shared=shared, nested=nested, output=output)


def names(layers):
    return [layer.name for layer in layers]


def test_the_layer_that_computed_a_tensor_is_known(graph):
    assert walk.producing_layer(graph.output) is graph.nested
    assert walk.has_producing_layer(graph.output)
    assert not walk.has_producing_layer(np.ones(3))


def test_the_output_of_a_nested_model_leads_to_the_layer_inside_it(graph):
    assert walk.producing_layer(walk.nested_output(graph.output)).name == "inner_b"


def test_the_input_of_a_shared_layer_is_that_of_the_right_call(graph):
    added = graph.model.get_layer("added")
    calls = [walk.producing_input(tensor) for tensor in added.input]
    assert [walk.producing_layer(tensor).name for tensor in calls] == ["first", "second"]
    assert [names(call) for call in walk.inputs_by_call(graph.shared)] == [["first"], ["second"]]
    assert names(walk.input_layers(graph.shared)) == ["first"], "of the first call"
    assert walk.input_layers(walk.producing_layer(graph.first)) == []


def test_a_layer_knows_the_layers_that_take_its_output(graph):
    assert names(walk.consuming_layers(graph.shared)) == ["added", "added"]
    assert names(walk.consuming_layers(walk.producing_layer(graph.first))) == ["shared"]


def test_layers_inside_nested_models_are_listed_too(graph):
    assert {"shared", "nested", "inner_a", "inner_b"} <= set(names(walk.all_layers(graph.model)))


def test_a_rebuilt_model_forgets_the_layers_of_its_old_head():
    inputs = keras.Input((4,))
    features = keras.layers.Dense(3, name="features")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="old")(features), name="model")
    kernel = model.get_layer("features").kernel
    walk.rebuild_in_place(model, keras.layers.Dense(5, name="new")(features))
    assert names(model.layers)[1:] == ["features", "new"]
    assert model.output_shape == (None, 5)
    assert model.name == "model"
    assert model.get_layer("features").kernel is kernel
    assert {variable.path.split("/")[0] for variable in model.variables} == {"features", "new"}

"""Walk over the graph of a Keras model: the only file that uses Keras' private graph attributes.

Keras records which layer computed a tensor, and which layers took it, in attributes that start with an underscore.
They may change in any release of Keras, so every other file of the package asks the functions below.

A "layer" here is a Keras layer or any other `keras.Operation` of a functional model. A "call" is one use of a layer in
a graph: a shared layer has several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def producing_layer(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the layer whose call computed `tensor`."""
    return tensor._keras_history.operation


def has_producing_layer(tensor: keras.KerasTensor) -> bool:
    """Return whether Keras recorded which layer computed `tensor`; a `Sequential` that is not built has no record."""
    return getattr(tensor, "_keras_history", None) is not None


def producing_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return the first input of the call that computed `tensor`, also if its layer is shared between calls."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index].input_tensors[0]


def nested_output(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return the tensor inside a nested model that becomes `tensor`, an output of that nested model."""
    history = tensor._keras_history
    return history.operation.outputs[history.tensor_index]


def inputs_by_call(layer: keras.Operation) -> list[list[keras.Operation]]:
    """Return, for each call of `layer`, the layers whose outputs that call takes."""
    return [[producing_layer(tensor) for tensor in node.input_tensors] for node in layer._inbound_nodes]


def input_layers(layer: keras.Operation) -> list[keras.Operation]:
    """Return the layers whose outputs the first call of `layer` takes: none for an input layer."""
    return [producing_layer(tensor) for node in layer._inbound_nodes[:1] for tensor in node.input_tensors]


def consuming_layers(layer: keras.Operation) -> list[keras.Operation]:
    """Return the layers that take an output of `layer`, once per call, in this model or in others that share it."""
    return [node.operation for node in layer._outbound_nodes]


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of `model`, those inside nested models included."""
    return list(model._flatten_layers(include_self=False))


def rebuild_in_place(model: keras.Model, outputs: keras.KerasTensor | dict[str, keras.KerasTensor]) -> None:
    """Make `model` a functional model from its own inputs to `outputs`; layers that both share keep their weights."""
    inputs, name = model.input, model.name
    del model._tracker  # Otherwise Keras would still count the layers of the old head.
    model.__init__(inputs, outputs, name=name)

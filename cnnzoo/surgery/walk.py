"""Walk over the graph of a Keras model: the only file that uses Keras' private graph attributes.

Keras records which layer computed a tensor, and which layers took it, in attributes that start with an underscore.
They may change in any release of Keras, so every other file of the package asks the functions below.

A "layer" here is a Keras layer or any other `keras.Operation` of a functional model. A "call" is one use of a layer in
a graph: a shared layer has several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Call(NamedTuple):
    """One call of a layer in a graph.

    Attributes:
        layer: the layer.
        key: identifies the call.
        sources: the keys of the calls whose outputs it takes.
        shape: the shape of its first output.
    """

    layer: keras.Operation
    key: int
    sources: tuple[int, ...]
    shape: tuple[int | None, ...]


def list_calls(model: keras.Model) -> list[Call]:
    """Return the calls of a functional graph, each after those whose outputs it takes; other graphs do not count."""
    nodes_by_depth = functional_graph(model)._nodes_by_depth
    calls = []
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            histories = [tensor._keras_history for tensor in node.input_tensors]
            sources = tuple(id(history.operation._inbound_nodes[history.node_index]) for history in histories)
            calls.append(Call(node.operation, id(node), sources, tuple(node.outputs[0].shape)))
    return calls


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of `model`, those inside nested models included."""
    return list(model._flatten_layers(include_self=False))


def rebuild_in_place(model: keras.Model, outputs: keras.KerasTensor | dict[str, keras.KerasTensor]) -> None:
    """Make `model` a functional model from its own inputs to `outputs`; layers that both share keep their weights."""
    inputs, name = model.input, model.name
    del model._tracker  # Otherwise Keras would still count the layers of the old head.
    model.__init__(inputs, outputs, name=name)


def run_graph(model: keras.Model, images: Any, call: Callable[..., Any]) -> Any:
    """Compute the outputs of a functional model, layer by layer; nested models are taken apart.

    Args:
        model: a functional model, or a `Sequential` that is built.
        images: its input.
        call: computes one layer, `call(layer, *args, **kwargs)`, instead of the layer itself.
    """

    def operate(layer: Any) -> Callable[..., Any]:
        if is_graph(layer):
            return lambda images, **kwargs: run_graph(layer, images, call)
        return lambda *args, **kwargs: call(layer, *args, **kwargs)

    return functional_graph(model)._run_through_graph(images, operation_fn=operate)


def is_graph(layer: keras.Operation) -> bool:
    """Return whether a layer is a nested model whose layers can be called one by one."""
    return getattr(layer, "_functional", None) is not None or hasattr(layer, "_run_through_graph")


def functional_graph(model: keras.Model) -> keras.Model:
    """Return the functional model of a `Sequential` that is built, or a functional model itself."""
    return getattr(model, "_functional", None) or model

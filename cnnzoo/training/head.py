"""The last layer of a model, for other classes."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.errors import InputError


def replace(model: Any, classes: Sequence[str]) -> Callable[[], None]:
    """Give `model` itself new last layers for `classes`, freshly initialised; every other layer keeps its weights.

    Auxiliary heads get theirs too. What is returned puts the old head back. Raises InputError where a head does not end
    in a dense layer.
    """
    before, card = model.output, cards.card(model)
    outputs = keras.tree.map_structure(lambda x: _again(model, x, len(classes)), model.output)
    _again_from(model, outputs, cards.renamed(card, classes))
    return lambda: _again_from(model, before, card)


def _again_from(model: Any, outputs: Any, card: Any) -> None:
    """Make the model anew over its layers, up to other outputs."""
    inputs, name = model.input, model.name
    del model._tracker  # or it would go on to count the old head among the model's layers
    model.__init__(inputs, outputs, name=name)
    cards.attach(model, card)


def _again(model: Any, output: Any, classes: int) -> Any:
    """The output with a new dense layer; what activates it comes after the new one too."""
    layer = output._keras_history.operation
    if layer.weights and not isinstance(layer, keras.layers.Dense):
        raise InputError(
            f"{model.name} ends in {layer.name}, a {type(layer).__name__}, which fits no other classes; "
            "a new head takes the place of a Dense layer only"
        )
    new = type(layer).from_config(layer.get_config() | ({"units": classes} if layer.weights else {}))
    return new(layer.input if layer.weights else _again(model, layer.input, classes))

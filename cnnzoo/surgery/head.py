"""The last layer of a model, for other classes."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.core.errors import InputError


def replace_head(model: Any, classes: Sequence[str]) -> Callable[[], None]:
    """Give `model` itself new last layers for `classes`, freshly initialised; every other layer keeps its weights.

    Auxiliary heads get theirs too. What is returned puts the old head back. Raises InputError where a head does not end
    in a dense layer.
    """
    before, card = model.output, cards.card(model)
    outputs = keras.tree.map_structure(lambda x: _new_output(model, x, len(classes)), model.output)
    _rebuild_in_place(model, outputs, cards.replace_classes(card, classes))
    return lambda: _rebuild_in_place(model, before, card)


def _rebuild_in_place(model: Any, outputs: Any, card: Any) -> None:
    """Make the model anew over its layers, up to other outputs."""
    inputs, name = model.input, model.name
    del model._tracker  # or it would go on to count the old head among the model's layers
    model.__init__(inputs, outputs, name=name)
    cards.attach_card(model, card)


def _new_output(model: Any, output: Any, classes: int) -> Any:
    """The output with a new dense layer; what activates it comes after the new one too."""
    layer = output._keras_history.operation
    if layer.weights and not isinstance(layer, keras.layers.Dense):
        raise InputError(
            f"{model.name} ends in {layer.name}, a {type(layer).__name__}, which fits no other classes; "
            "a new head takes the place of a Dense layer only"
        )
    new = type(layer).from_config(layer.get_config() | ({"units": classes} if layer.weights else {}))
    return new(layer.input if layer.weights else _new_output(model, layer.input, classes))

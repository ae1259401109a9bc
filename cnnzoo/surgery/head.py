"""Replace the head of a model for other classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")


def replace_head(model: keras.Model, classes: Sequence[str]) -> Callable[[], None]:
    """Replace the last layers of `model`, in place, by new ones for `classes`; return a function that undoes it.

    The new layers have fresh weights; all other layers keep theirs. Auxiliary heads are replaced too.

    Args:
        model: a functional Keras classifier.
        classes: names of the new classes.

    Returns:
        A function without arguments that puts the old heads, and the old card, back.

    Raises:
        InputError: if a head does not end in a dense layer.
    """
    old_outputs, old_card = model.output, cards.card(model)
    new_outputs = keras.tree.map_structure(lambda output: _new_output(model, output, len(classes)), old_outputs)

    def rebuild(outputs: keras.KerasTensor | dict[str, keras.KerasTensor], card: cards.Card) -> None:
        walk.rebuild_in_place(model, outputs)
        cards.attach_card(model, card)

    rebuild(new_outputs, cards.replace_classes(old_card, classes))
    return lambda: rebuild(old_outputs, old_card)


def adopt_head(received: keras.Model, model: keras.Model) -> None:
    """Give `received` the head of `model`, which `as_functional` made of it and `replace_head` changed since."""
    if received is model:
        return
    if not isinstance(received, keras.Sequential):  # its only output is in a list
        walk.rebuild_in_place(received, model.output)
        return
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    while received.layers and all(received.layers[-1] is not layer for layer in layers):
        received.pop(rebuild=False)
    for layer in layers[len(received.layers) :]:
        received.add(layer, rebuild=layer is layers[-1])


def _new_output(model: keras.Model, output: keras.KerasTensor, class_count: int) -> keras.KerasTensor:
    """Return the output of a new dense layer, followed by copies of the activations that follow the old one."""
    layer = walk.producing_layer(output)
    if layer.weights and not isinstance(layer, keras.layers.Dense):
        raise InputError(
            f"The head of {model.name} ends in {layer.name}, a {type(layer).__name__}, which cannot be replaced for "
            "other classes; only a Dense layer can"
        )
    if layer.weights:
        config, inputs = layer.get_config() | {"units": class_count}, layer.input
    else:
        config, inputs = layer.get_config(), _new_output(model, layer.input, class_count)
    return type(layer).from_config(config)(inputs)

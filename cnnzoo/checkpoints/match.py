"""Match the tensors of a checkpoint to the variables of a network, and load them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Receipt
from cnnzoo.checkpoints.source import WeightsSource
from cnnzoo.checkpoints.tensors import assign_tensors, named_variables
from cnnzoo.checkpoints.translate import translate_tensors

if TYPE_CHECKING:
    import keras

AUXILIARY = re.compile(r"aux\d_")  # how the layers of auxiliary heads begin


@dataclass(frozen=True)
class MatchedTensors:
    """The tensors of a checkpoint, under the names of our variables."""

    tensors: dict[str, Any]  # by "layer.variable"
    dropped: tuple[str, ...] = ()  # tensors that no network needs, by their names in the checkpoint
    classes: int | None = None  # of the head in the checkpoint, if it has one that fits the network


def match_tensors(source: WeightsSource, model: keras.Model, logits_layer: str) -> MatchedTensors:
    """Give the tensors of `source` the names of the variables of `model`, which has all of its heads.

    Files written by cnnzoo have these names already; the layout of any other is recognized and translated.
    """
    ours = source.tensors.keys() & named_variables(model).keys()
    if source.ours or len(ours) > len(source.tensors) / 2:
        return MatchedTensors(source.tensors)
    translation = translate_tensors(source.tensors, model, source.name)
    kernel: Any = translation.tensors.get(f"{logits_layer}.kernel")
    bias: Any = translation.tensors.get(f"{logits_layer}.bias")
    if kernel is None or bias is None:
        return MatchedTensors(translation.tensors, translation.dropped)
    # The number of classes may differ from the network's, but not the number of features.
    fits = kernel.shape == (model.get_layer(logits_layer).input.shape[-1], *bias.shape)
    return MatchedTensors(translation.tensors, translation.dropped, len(bias) if fits else None)


def load_matched(
    model: keras.Model,
    complete: keras.Model,
    matched: MatchedTensors,
    source: str,
    replaced_layers: set[str],
    aux: bool | None,
) -> Receipt:
    """Assign the matched tensors to `model`, strictly, and return the receipt of each tensor.

    Args:
        model: the model to load, which may lack heads.
        complete: the same network with all of its heads; the two share their variables.
        matched: the result of `match_tensors`.
        source: the name of the checkpoint, for error messages.
        replaced_layers: the layers of new heads, which keep their fresh values.
        aux: whether the model has its auxiliary heads; `None` if the network has none.
    """
    variables = named_variables(complete).keys()
    optional = variables - named_variables(model).keys()
    optional |= {name for name in variables if name.partition(".")[0] in replaced_layers}

    # Auxiliary heads are optional on either side: a checkpoint may lack them, and a model may be built without them.
    in_file = {name for name in matched.tensors if aux is not None and AUXILIARY.match(name)}
    if not aux:
        optional |= in_file
    elif not in_file:
        optional |= {name for name in variables if AUXILIARY.match(name)}

    receipt = assign_tensors(model, matched.tensors, source, optional)
    return replace(receipt, dropped=(*receipt.dropped, *matched.dropped))

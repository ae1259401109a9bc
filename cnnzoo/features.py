"""Feature maps of any model, at the strides where they are wanted."""

from collections.abc import Sequence
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.lazy import Lazy

keras = Lazy("keras")

RESHAPING = ("InputLayer", "Rescaling", "ZeroPadding2D", "AdaptiveAveragePooling2D")  # no features of their own


def feature_extractor(model: Any, levels: Sequence[int] = (2, 3, 4, 5)) -> Any:
    """A model of the same layers and weights that gives {"level2": maps, ...}: level l has strides of 2**l.

    Images (B, H, W, C) to maps (B, about H / 2**l, about W / 2**l, c) of the last layer on the trunk at that stride;
    `taps` names it. Raises InputError for a level that the model does not have.
    """
    found = taps(model)
    chosen = list(levels) if isinstance(levels, Sequence) and not isinstance(levels, str) else [levels]
    if not chosen or any(level not in found for level in chosen):
        raise InputError(f"{model.name} has the levels {', '.join(map(str, found))}. Received: {levels!r}")
    outputs = {f"level{level}": model.get_layer(found[level]).output for level in chosen}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def taps(model: Any) -> dict[int, str]:
    """The last layer of maps on the trunk at each stride: {level: name}, strides being 2**level.

    The trunk is what every path from the images passes through: not the inside of a block, but its sum or
    concatenation, after the activation where there is one.
    """
    if isinstance(model.output, dict):  # auxiliary heads are no part of the trunk
        model = keras.Model(model.input, model.output["logits"])
    layers = {id(layer) for layer in model.operations}
    strides: dict[str, int] = {}
    waiting: dict[str, int] = {}  # layers whose maps are still to be used, and by how many
    found = {}
    for layer in model.operations:
        before = [x._keras_history.operation.name for node in layer._inbound_nodes[:1] for x in node.input_tensors]
        for name in before:
            waiting[name] -= 1
            if not waiting[name]:
                del waiting[name]
        stride = layer.strides[0] if getattr(layer, "strides", None) else 1
        strides[layer.name] = stride * max((strides[name] for name in before), default=1)
        if not waiting and len(layer.output.shape) == 4 and type(layer).__name__ not in RESHAPING:
            found[strides[layer.name].bit_length() - 1] = layer.name
        if uses := sum(id(node.operation) in layers for node in layer._outbound_nodes):
            waiting[layer.name] = uses
    return dict(sorted(found.items()))

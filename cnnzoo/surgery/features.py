"""Feature maps of any model, at the strides where they are wanted."""

from collections.abc import Iterable
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")

NON_FEATURE_LAYERS = (
    "InputLayer",
    "Rescaling",
    "ZeroPadding2D",
    "AdaptiveAveragePooling2D",
)  # no features of their own


def feature_extractor(model: Any, levels: Iterable[int] = (2, 3, 4, 5)) -> Any:
    """A model of the same layers and weights that gives {"level2": maps, ...}: level l has strides of 2**l.

    Images (B, H, W, C) to maps (B, about H / 2**l, about W / 2**l, c) of the last layer on the trunk at that stride;
    `taps` names it. Raises InputError for a level that the model does not have, or a model that is no flat graph.
    """
    found = _feature_layers(model)
    try:
        chosen = [
            level for level in levels if not isinstance(level, bool) and found[int(level)] and int(level) == level
        ]
    except (TypeError, ValueError, KeyError):
        chosen = []
    if not chosen:
        raise InputError(f"{model.name} has the levels {', '.join(map(str, found))}. Received: {levels!r}")
    outputs = {f"level{int(level)}": found[int(level)].output for level in chosen}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def feature_layer_names(model: Any) -> dict[int, str]:
    """The last layer of maps on the trunk at each stride: {level: name}, strides being 2**level.

    The trunk is what every path from the images passes through: not the inside of a block, but its sum or
    concatenation, after the activation where there is one.
    """
    return {level: layer.name for level, layer in _feature_layers(model).items()}


def _feature_layers(model: Any) -> dict[int, Any]:
    """The layers that `taps` names."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None) or len(model.inputs) != 1:
        raise InputError(f"Features are taken from a Keras functional model of one input. Received: {model!r:.200}")
    name = model.name
    if isinstance(model.output, dict) and "logits" in model.output:  # auxiliary heads are no part of the trunk
        model = keras.Model(model.input, model.output["logits"])
    layers = {id(layer) for layer in model.operations}
    strides = _cumulative_strides(model)
    waiting: dict[str, int] = {}  # layers whose maps are still to be used, and by how many
    found = {}
    for layer in model.operations:
        uses = sum(id(node.operation) in layers for node in layer._outbound_nodes)
        kind = type(layer).__name__
        if isinstance(layer, keras.Model) or "Transpose" in kind or "UpSampling" in kind:
            raise InputError(f"{name} is no flat graph that only goes down: its {layer.name} is a {kind}")
        before = _input_layer_names(layer)
        if any(other not in waiting for other in before):
            raise InputError(f"{name} is no flat graph: what comes before its {layer.name} is used elsewhere too")
        for other in before:
            waiting[other] -= 1
            if not waiting[other]:
                del waiting[other]
        level = strides[layer.name].bit_length() - 1
        maps = len(getattr(layer.output, "shape", ())) == 4 and kind not in NON_FEATURE_LAYERS
        if maps and not waiting and strides[layer.name] == 2**level:
            found[level] = layer
        if uses:
            waiting[layer.name] = uses
    return dict(sorted(found.items()))


def group_layers_by_stage(model: Any) -> list[list[Any]]:
    """The layers with weights in groups, from the images on: maps of one stride each, hidden dense layers, the head.

    The head is the last layer, of auxiliary heads all layers. Any functional model of one input will do.
    """
    outputs = model.output
    logits = outputs["logits"] if isinstance(outputs, dict) and "logits" in outputs else keras.tree.flatten(outputs)[0]
    strides, trunk = _cumulative_strides(model), {id(op) for op in keras.Model(model.input, logits).operations}
    last = find_head_layer(model)
    hidden = 1 + max(strides.values())  # maps come before
    groups: dict[int, list[Any]] = {}
    for layer in model.operations:
        if getattr(layer, "weights", None):
            maps = len(keras.tree.flatten(layer.output)[0].shape) == 4
            stage = strides[layer.name] if maps else hidden
            groups.setdefault(hidden + 1 if layer is last or id(layer) not in trunk else stage, []).append(layer)
    return [groups[stage] for stage in sorted(groups)]


def find_head_layer(model: Any) -> Any:
    """The last layer with weights before the logits, or the one that is nearest to them."""
    outputs = model.output
    x = outputs["logits"] if isinstance(outputs, dict) and "logits" in outputs else keras.tree.flatten(outputs)[0]
    layer = x._keras_history.operation
    while not layer.weights and (before := keras.tree.flatten(layer.input)):
        layer = before[0]._keras_history.operation
    return layer


def _input_layer_names(layer: Any) -> list[str]:
    """The names of the layers whose output a layer takes."""
    return [x._keras_history.operation.name for node in layer._inbound_nodes[:1] for x in node.input_tensors]


def _cumulative_strides(model: Any) -> dict[str, int]:
    """How many pixels of the images lie between two of each layer's maps."""
    strides: dict[str, int] = {}
    for layer in model.operations:
        own = getattr(layer, "strides", None) or 1
        own = own if isinstance(own, int) else max(own)
        strides[layer.name] = own * max((strides[other] for other in _input_layer_names(layer)), default=1)
    return strides

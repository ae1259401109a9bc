"""Feature maps of any model by stride, and its layers in stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# These layers only scale, pad or resize; their outputs are not features.
NON_FEATURE_LAYERS = ("InputLayer", "Rescaling", "ZeroPadding2D", "AdaptiveAveragePooling2D")


@check_arguments()
def feature_extractor(model: keras.Model, levels: Iterable[int] = (2, 3, 4, 5)) -> keras.Model:
    """Return a model that computes feature maps at several strides, as a feature pyramid or a detector needs them.

    It shares layers and weights with `model`. The feature maps of a level come from the last layer of the trunk at that
    stride; `cnnzoo.surgery.features.feature_layer_names` returns its name.

    Args:
        model: a functional Keras model with one input of images (B, H, W, C).
        levels: level l stands for a stride of 2**l, that is, for maps of about H / 2**l times W / 2**l.

    Returns:
        A model whose output is a dict {"level2": maps, "level3": maps, ...}.

    Raises:
        InputError: if the model does not have one of the levels, or if its graph is not flat.

    Example:
        >>> model = cnnzoo.get("resnet20")
        >>> extractor = cnnzoo.feature_extractor(model, levels=[1, 2])
        >>> maps = extractor(np.zeros((1, 32, 32, 3)))
        >>> {name: tuple(value.shape) for name, value in maps.items()}
        {'level1': (1, 16, 16, 32), 'level2': (1, 8, 8, 64)}
    """
    layers = _feature_layers(model)
    try:
        chosen = [
            level for level in levels if not isinstance(level, bool) and layers[int(level)] and int(level) == level
        ]
    except (TypeError, ValueError, KeyError):
        chosen = []
    if not chosen:
        raise InputError(f"{model.name} has the levels {', '.join(map(str, layers))}. Received: {levels!r}")
    outputs = {f"level{int(level)}": layers[int(level)].output for level in chosen}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def feature_layer_names(model: keras.Model) -> dict[int, str]:
    """Return the name of the last feature layer at each level: {level: name}; level l has a stride of 2**l.

    Only layers of the trunk count, through which every path from the images to the output leads. So the layer of a
    block is its sum or concatenation (after the activation, if there is one), never one of its branches.

    Args:
        model: a functional Keras model with one input.

    Raises:
        InputError: if the graph is not flat: if it contains another model, or upsampling, or several inputs.

    Example:
        >>> from cnnzoo.surgery.features import feature_layer_names
        >>> feature_layer_names(cnnzoo.get("resnet20"))
        {0: 'layer1_2_relu', 1: 'layer2_2_relu', 2: 'layer3_2_relu'}
    """
    return {level: layer.name for level, layer in _feature_layers(model).items()}


def _feature_layers(model: keras.Model) -> dict[int, keras.Operation]:
    """Return the layers that `feature_layer_names` names, by level."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None) or len(model.inputs) != 1:
        raise InputError(f"Features need a functional Keras model with one input. Received: {model!r:.200}")
    name = model.name
    if isinstance(model.output, dict) and "logits" in model.output:  # Auxiliary heads do not belong to the trunk.
        model = keras.Model(model.input, model.output["logits"])
    model_layers = {id(layer) for layer in model.operations}
    strides = _cumulative_strides(model)

    # Go through the layers in order, and count how often each output is still needed. At a layer after which nothing
    # but its own output is needed, all paths meet: it belongs to the trunk.
    pending_uses: dict[str, int] = {}
    feature_layers = {}
    for layer in model.operations:
        kind = type(layer).__name__
        if isinstance(layer, keras.Model) or "Transpose" in kind or "UpSampling" in kind:
            raise InputError(f"{name} must be a flat graph that only downsamples. Its layer {layer.name} is a {kind}")
        sources = [source.name for source in walk.input_layers(layer)]
        if any(source not in pending_uses for source in sources):
            raise InputError(f"{name} must be a flat graph. An input of its layer {layer.name} is used elsewhere too")
        for source in sources:
            pending_uses[source] -= 1
            if not pending_uses[source]:
                del pending_uses[source]

        level = strides[layer.name].bit_length() - 1
        has_maps = len(getattr(layer.output, "shape", ())) == 4 and kind not in NON_FEATURE_LAYERS
        if has_maps and not pending_uses and strides[layer.name] == 2**level:
            feature_layers[level] = layer

        uses = sum(id(consumer) in model_layers for consumer in walk.consuming_layers(layer))
        if uses:
            pending_uses[layer.name] = uses
    return dict(sorted(feature_layers.items()))


def group_layers_by_stage(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Return the layers with weights in groups, from the images to the head.

    Layers whose feature maps share one stride are a stage. Then come hidden dense layers, and then the head: the last
    layer with weights, and all layers of auxiliary heads.

    Args:
        model: a functional Keras model with one input.
    """
    logits = _logits_or_first_output(model)
    strides = _cumulative_strides(model)
    trunk = {id(operation) for operation in keras.Model(model.input, logits).operations}
    head = find_head_layer(model)
    hidden_stage = 1 + max(strides.values())  # Feature maps come before, the head comes after.
    stages: dict[int, list[Any]] = {}
    for layer in model.operations:
        if getattr(layer, "weights", None):
            has_maps = len(keras.tree.flatten(layer.output)[0].shape) == 4
            stage = strides[layer.name] if has_maps else hidden_stage
            if layer is head or id(layer) not in trunk:
                stage = hidden_stage + 1
            stages.setdefault(stage, []).append(layer)
    return [stages[stage] for stage in sorted(stages)]


def find_head_layer(model: keras.Model) -> keras.layers.Layer:
    """Return the last layer with weights before the logits."""
    layer = walk.producing_layer(_logits_or_first_output(model))
    while not layer.weights and (inputs := keras.tree.flatten(layer.input)):
        layer = walk.producing_layer(inputs[0])
    return layer


def _logits_or_first_output(model: keras.Model) -> keras.KerasTensor:
    """Return the output named "logits", or the first one of a model that has none of that name."""
    outputs = model.output
    if isinstance(outputs, dict) and "logits" in outputs:
        return outputs["logits"]
    return keras.tree.flatten(outputs)[0]


def _cumulative_strides(model: keras.Model) -> dict[str, int]:
    """Return, for each layer, the distance in image pixels between two neighbors in its feature maps."""
    strides: dict[str, int] = {}
    for layer in model.operations:
        input_strides = (strides[source.name] for source in walk.input_layers(layer))
        strides[layer.name] = own_stride(layer) * max(input_strides, default=1)
    return strides


def own_stride(layer: keras.Operation) -> int:
    """Return the stride of one layer; 1 if it has none."""
    return max(own_strides(layer))


def own_strides(layer: keras.Operation) -> tuple[int, int]:
    """Return the vertical and the horizontal stride of one layer; (1, 1) if it has none."""
    strides: int | tuple[int, ...] = getattr(layer, "strides", None) or 1
    rows, columns = (strides, strides) if isinstance(strides, int) else (strides[0], strides[-1])
    return rows, columns

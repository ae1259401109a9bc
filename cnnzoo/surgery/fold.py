"""Fold batch normalization into the layers before it, and remove layers that do nothing at inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# Allowed difference of the logits, as a share of the largest one: float32 rounds differently in another order.
TOLERANCE = 1e-3
INFERENCE_NOOPS = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
)


def fold(model: keras.Model) -> keras.Model:
    """Return a faster model with the same outputs at inference.

    Each batch normalization that follows a convolution or a dense layer is folded into its weights, and layers such as
    dropout are removed. The new model carries the card of `model`, which is left unchanged.

    Args:
        model: a functional Keras classifier.

    Raises:
        InputError: if the outputs differ on random images, or if Keras does not know the class of a layer.
    """
    layers = {operation.name: operation for operation in model.operations}
    layer_of_norm = _match_norms_to_layers(model)
    norm_of_layer = {layer: layers[norm] for norm, layer in layer_of_norm.items()}

    def clone_layer(layer: Any) -> Any:
        kind = type(layer)
        is_keras_class = kind.__module__.split(".")[0] == "keras"
        if not is_keras_class and keras.saving.get_registered_name(kind) == kind.__name__:
            raise InputError(
                f"The layer {layer.name} has the class {kind.__name__}, which Keras does not know. Write "
                "@keras.saving.register_keras_serializable() above the class"
            )
        if layer.name in layer_of_norm or _is_noop(layer):
            return keras.layers.Identity(name=layer.name)
        config = layer.get_config()
        if layer.name in norm_of_layer:
            config |= {"use_bias": True}
        return kind.from_config(config)

    def call_layer(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, keras.layers.Identity) else layer(*args, **kwargs)

    folded = keras.models.clone_model(model, clone_function=clone_layer, call_function=call_layer)
    for layer in folded.layers:
        if layer.weights:
            original, norm = layers[layer.name], norm_of_layer.get(layer.name)
            layer.set_weights(original.get_weights() if norm is None else _folded_weights(original, norm))
    _check_same_outputs(model, folded)
    return cards.attach_card(folded, cards.card(model))


def _is_noop(layer: keras.Operation) -> bool:
    """Return whether a layer does nothing at inference."""
    kind = type(layer).__name__
    is_linear = kind == "Activation" and getattr(layer.activation, "__name__", "") == "linear"
    return kind in INFERENCE_NOOPS or kind == "Identity" or is_linear


def _match_norms_to_layers(model: keras.Model) -> dict[str, str]:
    """Return the names of the batch normalizations that can be folded, and of the layers to fold them into."""
    consumers: dict[str, list[Any]] = {}
    for operation in model.operations:
        for parent in (parent for call in walk.inputs_by_call(operation) for parent in call):
            consumers.setdefault(parent.name, []).append(operation)
    output_names = {walk.producing_layer(tensor).name for tensor in keras.tree.flatten(model.outputs)}

    foldable_kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    matches = {}
    for norm in model.operations:
        calls = walk.inputs_by_call(norm)
        if type(norm) is not keras.layers.BatchNormalization or len(calls) != 1:
            continue
        (layer,) = set(calls[0])
        # The layer must be linear, and the batch normalization must be the only layer that uses its output.
        if (
            type(layer) in foldable_kinds
            and len(walk.inputs_by_call(layer)) == 1
            and layer.name not in output_names
            and getattr(layer.activation, "__name__", "") == "linear"
            and norm.axis in (-1, layer.output.ndim - 1)
            and consumers[layer.name] == [norm]
        ):
            matches[norm.name] = layer.name
    return matches


def _folded_weights(layer: Any, norm: Any) -> list[np.ndarray]:
    """Return kernel and bias that make `layer` compute what it and `norm` compute together, rounded to float32 last."""
    mean, variance = (np.asarray(value, "float64") for value in (norm.moving_mean, norm.moving_variance))
    scale = 1 / np.sqrt(variance + norm.epsilon)
    scale *= np.asarray(norm.gamma, "float64") if norm.scale else 1
    kernel = np.asarray(layer.kernel, "float64")
    bias = np.asarray(layer.bias, "float64") if layer.use_bias else 0
    shift = np.asarray(norm.beta, "float64") if norm.center else 0
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel_scale = scale.reshape(kernel.shape[-2:]) if is_depthwise else scale
    return [(kernel * kernel_scale).astype("float32"), ((bias - mean) * scale + shift).astype("float32")]


def _check_same_outputs(model: keras.Model, folded: keras.Model) -> None:
    """Raise InputError if the models differ on random images."""
    rng = np.random.default_rng(0)
    height, width = (side or 64 for side in model.input_shape[1:3])
    images = rng.integers(0, 256, (4, height, width, model.input_shape[3])).astype("float32")
    before, after = (np.asarray(each(images, training=False), "float64") for each in (model, folded))
    difference = float(np.abs(before - after).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(before).max())):
        raise InputError(
            f"Folding the batch normalization of {model.name} changes its logits by {difference:.2g}, which is too much"
        )

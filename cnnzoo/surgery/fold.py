"""The same function with fewer layers: batch norm goes into the convolutions, and layers that do nothing go."""

from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")

TOLERANCE = 1e-3  # of a logit, as a share of the largest: float32 rounds in another order
INFERENCE_NOOPS = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
)


def fold(model: Any) -> Any:
    """A model of the same outputs at inference, without its batch norms that follow a convolution or a dense layer.

    Dropout and other layers that do nothing at inference go too. The card comes along.

    Raises:
        InputError: where the outputs differ from the model's on seeded images.
    """
    layers = {operation.name: operation for operation in model.operations}
    into = _match_norms_to_layers(model)  # the layer that each batch norm goes into, by its name
    norms = {target: layers[name] for name, target in into.items()}

    def clone(layer: Any) -> Any:
        kind = type(layer)
        if kind.__module__.split(".")[0] != "keras" and keras.saving.get_registered_name(kind) == kind.__name__:
            raise InputError(
                f"The layer {layer.name} is of the class {kind.__name__}, which Keras does not know: "
                "@keras.saving.register_keras_serializable() above the class makes it known"
            )
        if layer.name in into or _is_noop(layer):
            return keras.layers.Identity(name=layer.name)
        config = layer.get_config()
        if layer.name in norms:
            config |= {"use_bias": True}
        return kind.from_config(config)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, keras.layers.Identity) else layer(*args, **kwargs)

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in folded.layers:
        if not layer.weights:
            continue
        old = layers[layer.name]
        layer.set_weights(_folded_weights(old, norms[layer.name]) if layer.name in norms else old.get_weights())
    _check_same_outputs(model, folded)
    return cards.attach_card(folded, cards.card(model))


def _is_noop(layer: Any) -> bool:
    kind = type(layer).__name__
    linear = kind == "Activation" and getattr(layer.activation, "__name__", "") == "linear"
    return kind in INFERENCE_NOOPS or kind == "Identity" or linear


def _match_norms_to_layers(model: Any) -> dict[str, str]:
    """Names of batch norms and of the layers before them that nothing else sees: name to name."""
    seen: dict[str, list[Any]] = {}  # who takes what an operation gives
    for operation in model.operations:
        for node in operation._inbound_nodes:
            for parent in node.parent_nodes:
                seen.setdefault(parent.operation.name, []).append(operation)
    outputs = {tensor._keras_history.operation.name for tensor in keras.tree.flatten(model.outputs)}
    found = {}
    for norm in model.operations:
        if type(norm) is not keras.layers.BatchNormalization or len(norm._inbound_nodes) != 1:
            continue
        (parent,) = {node.operation for node in norm._inbound_nodes[0].parent_nodes}
        kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
        fits = type(parent) in kinds and len(parent._inbound_nodes) == 1 and parent.name not in outputs
        last = (
            fits
            and getattr(parent.activation, "__name__", "") == "linear"
            and norm.axis in (-1, parent.output.ndim - 1)
        )
        if last and seen[parent.name] == [norm]:
            found[norm.name] = parent.name
    return found


def _folded_weights(layer: Any, norm: Any) -> list[np.ndarray]:
    """Kernel and bias of a layer that does what a batch norm after it did, in float64 until the end."""
    values = {name: np.asarray(getattr(norm, name), "float64") for name in ("moving_mean", "moving_variance")}
    scale = 1 / np.sqrt(values["moving_variance"] + norm.epsilon)
    scale *= np.asarray(norm.gamma, "float64") if norm.scale else 1
    kernel = np.asarray(layer.kernel, "float64")
    bias = np.asarray(layer.bias, "float64") if layer.use_bias else 0
    shift = np.asarray(norm.beta, "float64") if norm.center else 0
    channels = scale.reshape(kernel.shape[-2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else scale
    return [(kernel * channels).astype("float32"), ((bias - values["moving_mean"]) * scale + shift).astype("float32")]


def _check_same_outputs(model: Any, folded: Any) -> None:
    draw = np.random.default_rng(0)
    shape = [side or 64 for side in model.input_shape[1:3]]
    images = draw.integers(0, 256, (4, *shape, model.input_shape[3])).astype("float32")
    before, after = (np.asarray(each(images, training=False), "float64") for each in (model, folded))
    distance = float(np.abs(before - after).max())
    if not distance <= TOLERANCE * max(1.0, float(np.abs(before).max())):
        raise InputError(f"Without its batch norms {model.name} gives logits that differ by {distance:.2g}")

"""The outputs of a classifier: which one holds the logits, what activates it, and its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")


def logits_output(model: keras.Model) -> keras.KerasTensor:
    """Return the output that classifies, also for a model that has auxiliary heads."""
    return model.output["logits"] if isinstance(model.output, dict) else model.output


def as_functional(model: keras.Model) -> keras.Model:
    """Return `model` as a functional model that carries the same card.

    A `Sequential` model is rebuilt from its own layers, so weights stay shared; any other model, and a `Sequential`
    that is not built yet, is returned unchanged.

    Raises:
        InputError: if `model` is not a Keras model.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"model must be a Keras model, such as cnnzoo.get returns. Received: {model!r:.200}")
    if not isinstance(model, keras.Sequential) or not model.built:
        return model
    functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return cards.attach_card(functional, cards.card(model))


def without_aux_heads(model: keras.Model) -> keras.Model:
    """Return `model` without its auxiliary heads, which serve training only; layers and weights are shared."""
    if not isinstance(model.output, dict):
        return model
    single_output = keras.Model(model.input, logits_output(model), name=model.name)
    return cards.attach_card(single_output, cards.card(model))


def has_softmax_output(model: keras.Model) -> bool:
    """Return whether the model returns probabilities; otherwise it returns logits."""
    return output_activation(model) == "softmax"


def output_activation(model: keras.Model) -> str:
    """Return the name of the activation in which the classifying output ends, such as "softmax" or "linear".

    Linear layers at the end (a change of data type, for example) are skipped, and nested models are searched.
    """
    output = logits_output(model)
    while walk.has_producing_layer(output):
        layer = walk.producing_layer(output)
        is_model = hasattr(layer, "layers") and hasattr(layer, "outputs")
        name = _activation_name(layer)
        if is_model:
            output = walk.nested_output(output)
        elif name == "linear" and type(layer).__name__ in ("Activation", "Identity"):
            output = walk.producing_input(output)
        else:
            return name
    return _activation_name(model.layers[-1])


def _activation_name(layer: keras.Operation) -> str:
    """Return the name of a layer's activation, or "" if it has none."""
    names = {"Softmax": "softmax", "Identity": "linear"}
    return names.get(type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", ""))


def predict_probabilities(model: keras.Model, images: Any, batch_size: int | None = None) -> np.ndarray:
    """Return probabilities (N, classes) in float64 for images (N, H, W, C), an array or a `keras.utils.PyDataset`."""
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    scores = np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs, "float64")
    # Probabilities in float32 add up to one only within 1e-7, so they are divided by their sum in float64.
    is_softmax = has_softmax_output(model)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True) if is_softmax else softmax(scores, axis=1))

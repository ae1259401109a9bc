"""One pass of predictions over any Keras classifier."""

from typing import Any

import numpy as np
from scipy.special import softmax

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")


def logits_output(model: Any) -> Any:
    """The output that tells the classes, which a model with auxiliary heads has among others."""
    return model.output["logits"] if isinstance(model.output, dict) else model.output


def as_functional(model: Any) -> Any:
    """The model, or of a Sequential one a functional model of the same layers, with the same card."""
    if not isinstance(model, keras.Model):
        raise InputError(f"model is a Keras model, such as cnnzoo.get gives. Received: {model!r:.200}")
    if not isinstance(model, keras.Sequential) or not model.built:
        return model
    return cards.attach_card(keras.Model(model.inputs[0], model.outputs[0], name=model.name), cards.card(model))


def without_aux_heads(model: Any) -> Any:
    """The model without its auxiliary heads, which are for training."""
    if not isinstance(model.output, dict):
        return model
    return cards.attach_card(keras.Model(model.input, logits_output(model), name=model.name), cards.card(model))


def has_softmax_output(model: Any) -> bool:
    """Whether that output ends in a softmax; else it is logits."""
    return output_activation(model) == "softmax"


def output_activation(model: Any) -> str:
    """The name of the activation that the output ends in, also within a model inside, or before a change of type."""
    output = logits_output(model)
    while history := getattr(output, "_keras_history", None):
        last = history.operation
        if hasattr(last, "layers") and hasattr(last, "outputs"):
            output = last.outputs[history.tensor_index]
        elif (name := _activation_name(last)) == "linear" and type(last).__name__ in ("Activation", "Identity"):
            output = last._inbound_nodes[history.node_index].input_tensors[0]
        else:
            return name
    return _activation_name(model.layers[-1])


def _activation_name(layer: Any) -> str:
    kinds = {"Softmax": "softmax", "Identity": "linear"}
    return kinds.get(type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", ""))


def predict_probabilities(model: Any, images: Any, batch_size: int | None = None) -> np.ndarray:
    """Probabilities (N, classes) in float64 for arrays (N, H, W, C) or a keras.utils.PyDataset."""
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    outputs = np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs, "float64")
    if has_softmax_output(model):
        return outputs / outputs.sum(axis=1, keepdims=True)  # float32 rows add up to one within 1e-7 only
    return softmax(outputs, axis=1)

"""The outputs of a classifier: which one holds the logits, what activates it, and its predictions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import card_storage, cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.progress import Progress
from cnnzoo.core.warn import warn_caller
from cnnzoo.surgery import walk
from cnnzoo.surgery.accelerator import without_distribution

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

LINEAR_LAYERS = ("Activation", "Identity")  # they change nothing, or only the data type, if they activate nothing
SHAPE_LAYERS = ("Flatten", "Reshape", "Dropout")  # they keep the values at inference
OPERATIONS = {  # the names of activations that Keras has as layers and operations of their own
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "Identity": "linear",
    "ReLU": "relu",
    "Relu": "relu",
    "Relu6": "relu6",
    "LeakyReLU": "leaky_relu",
    "LeakyRelu": "leaky_relu",
    "ELU": "elu",
    "Elu": "elu",
    "PReLU": "prelu",
    "Tanh": "tanh",
    "Exp": "exponential",
    "UnitNormalization": "unit_normalization",
}
# Ends whose values are neither logits nor probabilities, and what keeps them from being logits
NO_LOGITS = {
    **dict.fromkeys(("relu", "softplus", "exponential"), "cannot be negative"),
    **dict.fromkeys(("relu6", "tanh", "hard_tanh", "softsign", "unit_normalization"), "cannot be large"),
    **dict.fromkeys(
        ("leaky_relu", "elu", "prelu", "selu", "celu", "gelu", "silu", "swish", "hard_silu", "mish"),
        "are compressed where they are negative",
    ),
}
SMALLEST_PROBABILITY = 1e-37  # its logarithm is finite in float32
INDEPENDENT_ACTIVATIONS = ("sigmoid", "hard_sigmoid")  # each class for itself, so the scores do not sum to one


def logits_output(model: keras.Model) -> keras.KerasTensor:
    """Return the output that classifies, also for a model that has auxiliary heads."""
    if len(model.outputs) == 1:  # in Keras a single output may be in a list, and a Sequential has no `output`
        return model.outputs[0]
    return model.output["logits"] if isinstance(model.output, dict) else model.output


def as_functional(model: keras.Model) -> keras.Model:
    """Return `model` as a functional classifier with one output, or with the logits among auxiliary heads.

    A `Sequential` model, and one whose only output is in a list, is rebuilt from its own layers, so weights and card
    stay shared. Any other model is returned unchanged. A model of ours that has lost its card causes a warning.

    Raises:
        InputError: if `model` cannot be used as a classifier; the message says how to change that. See
            `check_is_classifier`.
    """
    check_is_classifier(model)
    cards.warn_if_card_is_missing(model)
    output = None if isinstance(model, keras.Sequential) else model.output
    if isinstance(output, keras.KerasTensor) or (isinstance(output, dict) and "logits" in output):
        return model
    return cards.share_card(model, keras.Model(model.inputs[0], model.outputs[0], name=model.name))


def check_is_classifier(model: object) -> None:
    """Raise InputError, with the remedy, if `model` cannot classify images.

    It needs a graph of layers with one input of images and one classifying output, which ends in logits or a softmax.
    """
    card_storage.check_has_graph(model)
    assert isinstance(model, keras.Model)
    name, shapes = model.name, [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise InputError(
            f"{name} takes inputs of shape {', '.join(map(str, shapes))}; a classifier of images takes one input of "
            "shape (None, height, width, channels)"
        )
    if not has_one_classifying_output(model):
        names = list(model.output) if isinstance(model.output, dict) else range(len(model.outputs))
        raise InputError(
            f"{name} has {len(model.outputs)} outputs ({', '.join(map(str, names))}); a classifier has one. Choose it: "
            "keras.Model(model.inputs, model.outputs[0])"
        )
    check_output(model)


def check_output(model: keras.Model) -> None:
    """Raise InputError, with the remedy, if the output is a single number or ends in a sigmoid."""
    name, shape, activation = model.name, tuple(logits_output(model).shape), output_activation(model)
    is_single = len(shape) == 2 and shape[1] == 1
    if is_single or activation in INDEPENDENT_ACTIVATIONS:
        source = "its last layer" if activation in ("", "linear") else activation
        raise InputError(
            f"{name} returns outputs {shape} from {source}, which are not probabilities of two or more mutually "
            f"exclusive classes{'; two classes need two outputs' if is_single else ''}. End it in logits or a softmax, "
            f"and train it again: keras.Model(model.inputs, keras.layers.Dense({max(shape[-1] or 2, 2)})"
            "(model.layers[-2].output))"
        )


def warn_if_no_logits(model: keras.Model) -> None:
    """Warn of a model that ends in an activation whose values are neither logits nor probabilities, such as a ReLU."""
    activation = output_activation(model)
    if activation in NO_LOGITS:
        warn_caller(
            f"{model.name} ends in {activation}, whose values {NO_LOGITS[activation]}. They are used as logits: the "
            "order of the classes counts, but the probabilities mean little. Remove that activation from the last "
            "layer, and train the model again"
        )


def has_one_classifying_output(model: keras.Model) -> bool:
    """Return whether the model has one output, or the logits among auxiliary heads."""
    is_sequential = isinstance(model, keras.Sequential)
    return len(model.outputs) == 1 or (
        not is_sequential and isinstance(model.output, dict) and "logits" in model.output
    )


def without_aux_heads(model: keras.Model) -> keras.Model:
    """Return `model` without its auxiliary heads, which serve training only; layers and weights are shared."""
    if not isinstance(model.output, dict):
        return model
    single_output = keras.Model(model.input, logits_output(model), name=model.name)
    return cards.share_card(model, single_output)


def has_softmax_output(model: keras.Model) -> bool:
    """Return whether the model returns probabilities; otherwise it returns logits."""
    return output_activation(model) == "softmax"


def output_activation(model: keras.Model) -> str:
    """Return the name of the activation in which the classifying output ends, such as "softmax" or "linear".

    Layers at the end that keep the values (a change of data type or of shape, for example) are skipped, and nested
    models are searched.
    """
    output = logits_output(model)
    while walk.has_producing_layer(output):
        layer = walk.producing_layer(output)
        is_model = hasattr(layer, "layers") and hasattr(layer, "outputs")
        name, kind = _activation_name(layer), type(layer).__name__
        if is_model:
            output = walk.nested_output(output)
        elif kind in SHAPE_LAYERS or (name == "linear" and kind in LINEAR_LAYERS):
            output = walk.producing_input(output)
        else:
            return name
    return _activation_name(model.layers[-1])


def _activation_name(layer: keras.Operation) -> str:
    """Return the name of a layer's activation, or "" if it has none."""
    return OPERATIONS.get(type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", ""))


def predict_probabilities(
    model: keras.Model,
    images: Any,
    batch_size: int | None = None,
    progress: Progress | None = None,
    count: int | None = None,
) -> np.ndarray:
    """Return probabilities (N, classes) in float64 for images (N, H, W, C), an array or a `keras.utils.PyDataset`.

    Args:
        model: a Keras classifier.
        images: the images.
        batch_size: how many of an array are predicted at a time.
        progress: is advanced by the images of each batch.
        count: the number of images, if others follow them that complete the last batch.
    """
    callbacks = count_images(model, progress, count) if progress else None
    with without_distribution():
        outputs = model.predict(images, batch_size=batch_size, verbose=0, callbacks=callbacks)
    scores = np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs, "float64")[:count]
    if not has_softmax_output(model):
        from scipy.special import softmax  # slow to import, and commands that only check their words need no scores

        _warn_if_probabilities(model, scores)
        return np.asarray(softmax(scores, axis=1))
    # Probabilities in float32 add up to one only within 1e-7, so they are divided by their sum in float64. Zeros become
    # what they are in the runtimes, so that a temperature gives the same probabilities.
    scores = np.maximum(scores, SMALLEST_PROBABILITY)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _warn_if_probabilities(model: keras.Model, scores: np.ndarray) -> None:
    """Warn if what is taken for logits adds up to one in every row, as after a softmax that is not recognized."""
    if scores.min(initial=0) >= 0 and len(scores) and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        warn_caller(
            f"The outputs of {model.name} add up to one for every image, so they seem to be probabilities. Its last "
            "layer is not recognized as a softmax, so they are taken for logits, and probabilities become too even. "
            'End the model in keras.layers.Softmax() or activation="softmax"'
        )


def count_images(model: keras.Model, progress: Progress, count: int | None = None) -> keras.callbacks.CallbackList:
    """Return callbacks of Keras' `predict` that advance `progress` by the images of each batch, up to `count` of them.

    The outputs stay on the device, so that it need not wait between two batches.
    """
    from cnnzoo.surgery.lazy_logs import LazyCallbackList  # imports Keras

    images_left = sys.maxsize if count is None else count

    def advance(batch: int, logs: Any) -> None:
        nonlocal images_left
        images = min(next(iter(logs.unread.values())).shape[0], images_left)  # of the only output, or of the first
        images_left -= images
        progress.advance(images)

    return LazyCallbackList([keras.callbacks.LambdaCallback(on_predict_batch_end=advance)], model=model)

"""From pixels of the network's size to probabilities: the function that every runtime and export computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.data.transform import transform
from cnnzoo.runtimes.resize_graph import resize_in_graph
from cnnzoo.surgery.outputs import SMALLEST_PROBABILITY, has_softmax_output

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras, tf = Lazy("keras"), Lazy("tensorflow")


def make_probability_function(model: keras.Model) -> Callable[[Any], Any]:
    """Return a function from images to probabilities.

    It takes images (N, height, width, channels) with values 0 to 255 and returns float32 probabilities (N, classes).
    If the card of the model has a temperature, the logits are divided by it.
    """
    temperature, is_softmax = cards.card(model).temperature or 1.0, has_softmax_output(model)

    def network(images: Any) -> Any:
        outputs = model(keras.ops.cast(images, "float32"), training=False)
        outputs = keras.ops.cast(outputs["logits"] if isinstance(outputs, dict) else outputs, "float32")
        if is_softmax and temperature == 1:
            return outputs
        logits = keras.ops.log(keras.ops.maximum(outputs, SMALLEST_PROBABILITY)) if is_softmax else outputs
        return keras.ops.softmax(logits / temperature)

    return network


def check_tensorflow_backend() -> None:
    """Raise InputError, with the remedy, if Keras does not run on TensorFlow, whose converters every format needs."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"Converting a model requires Keras' TensorFlow backend. Received: KERAS_BACKEND={backend}. Save the "
            "model, and export its file in a process with KERAS_BACKEND=tensorflow, where TensorFlow is installed"
        )


def build_graph(
    model: keras.Model, any_size: bool = False, weights: bool = False
) -> tf.types.experimental.GenericFunction:
    """Return the network as a `tf.function` of uint8 `images`.

    Args:
        model: a Keras classifier.
        any_size: whether to take images of any size and resize them inside the graph.
        weights: whether the model's variables are inputs too, named weight_0, weight_1, ...

    Raises:
        InputError: if Keras does not run on TensorFlow.
    """
    check_tensorflow_backend()
    network, image_transform = make_probability_function(model), transform(model)
    height, width, channels = model.input_shape[1:]
    image_size = (None, None) if any_size else (height, width)
    variables = model.variables if weights else ()
    signature = [tf.TensorSpec((None, *image_size, channels), tf.uint8, name="images")]
    signature += [tf.TensorSpec(v.shape, v.dtype, name=f"weight_{i}") for i, v in enumerate(variables)]

    def graph(images: Any, *values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return network(resize_in_graph(images, image_transform) if any_size else images)

    return tf.function(graph, input_signature=signature)

"""From pixels of the right size to probabilities: what every export and runtime computes."""

from collections.abc import Callable
from typing import Any

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.data.transform import transform
from cnnzoo.runtimes.resize_graph import resize_in_graph
from cnnzoo.surgery.outputs import has_softmax_output

keras, tf = Lazy("keras"), Lazy("tensorflow")


def build_network(model: Any) -> Callable[[Any], Any]:
    """A function from images (N, height, width, channels) of 0 to 255 to probabilities (N, classes), float32.

    The logits are divided by the card's temperature, if it has one.
    """
    divisor, softmax = cards.card(model).temperature or 1.0, has_softmax_output(model)

    def run(images: Any) -> Any:
        outputs = model(keras.ops.cast(images, "float32"), training=False)
        outputs = keras.ops.cast(outputs["logits"] if isinstance(outputs, dict) else outputs, "float32")
        if softmax and divisor == 1:
            return outputs
        logits = keras.ops.log(keras.ops.maximum(outputs, 1e-37)) if softmax else outputs
        return keras.ops.softmax(logits / divisor)

    return run


def build_graph(model: Any, any_size: bool = False, weights: bool = False) -> Any:
    """The same as a `tf.function` from uint8 `images`, of the network's own size or of any, which are resized inside.

    With `weights`, the model's variables are inputs too, by the names weight_0, weight_1, ... Raises InputError on
    another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Models are converted on Keras' TensorFlow backend. Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    run, change, (height, width, channels) = build_network(model), transform(model), model.input_shape[1:]
    sides = (None, None) if any_size else (height, width)
    variables = model.variables if weights else ()
    specs = [tf.TensorSpec((None, *sides, channels), tf.uint8, name="images")]
    specs += [tf.TensorSpec(v.shape, v.dtype, name=f"weight_{i}") for i, v in enumerate(variables)]

    def answer(images: Any, *values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return run(resize_in_graph(images, change) if any_size else images)

    return tf.function(answer, input_signature=specs)

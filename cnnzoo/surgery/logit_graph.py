"""A classifier as a function from images to logits, in float32, whose feature maps can be read and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk
from cnnzoo.surgery.outputs import LINEAR_LAYERS, SHAPE_LAYERS, logits_output

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")


class LogitGraph:
    """The logits of a classifier, before its softmax if it ends in one.

    Attributes:
        model: the classifier without auxiliary heads.
    """

    def __init__(self, model: keras.Model) -> None:
        """Use the layers of `model`, which stays as it is."""
        output = logits_output(model)
        self.model = keras.Model(model.inputs, output)
        self._softmax_layer = _find_softmax_layer(output)

    def run(self, images: Any, layer: keras.Operation | None = None, change: Any = 0.0) -> tuple[Any, Any]:
        """Return the logits (B, classes), and the feature maps of a layer, or None if no layer is given.

        Args:
            images: a tensor (B, height, width, channels) with values 0 to 255.
            layer: the layer whose maps are returned.
            change: what is added to these maps before the layers behind them; the derivative by it is that by the maps.
        """
        maps = []

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if operation is self._softmax_layer:
                return _without_softmax(operation, *args, **kwargs)
            outputs = operation(*args, **kwargs)
            if operation is not layer:
                return outputs
            maps.append(outputs)
            return outputs + keras.ops.cast(change, outputs.dtype)

        logits = keras.ops.cast(walk.run_graph(self.model, images, call), "float32")
        return logits, maps[0] if maps else None


def _without_softmax(layer: keras.Operation, inputs: Any, **kwargs: Any) -> Any:
    """Call a layer without its softmax."""
    if not hasattr(layer, "activation") or type(layer).__name__ == "Softmax":
        return inputs
    # A twin with the same variables: the layer itself may be predicting in another thread, as in a server
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__ | {"activation": keras.activations.linear})
    return twin(inputs, **kwargs)


def _find_softmax_layer(output: keras.KerasTensor) -> keras.Operation | None:
    """Return the layer that turns logits into probabilities; None if the model returns logits."""
    while walk.has_producing_layer(output):
        layer = walk.producing_layer(output)
        kind, activation = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")
        if walk.is_graph(layer):
            output = walk.nested_output(output)
        elif kind == "Softmax" or activation == "softmax":
            return layer
        elif kind in SHAPE_LAYERS or (kind in LINEAR_LAYERS and activation in ("", "linear")):
            output = walk.producing_input(output)
        else:
            return None
    return None

"""Where the card of a Keras model is stored inside the model, and what it needs to know of the graph.

The card is a text that stays with the layers, however the model is copied or saved.

Keras has no field for notes, and a layer whose configuration holds an unknown key loads in no other program. But the
dtype policy of a layer may be a `keras.DTypePolicyMap`: a table of policies by the path of a layer. Keras copies the
table with the layer, writes it to every file and reads it back, with or without cnnzoo. An entry whose key is the path
of no layer has no effect, so the key of such an entry can hold a text.

A model can hold several texts, one for each head that was built on its layers.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

PREFIX = "model-card"
MAX_TEXT_BYTES = 2**24  # more is a mistake or an attack; the card of the largest network takes 2**18


def read_texts(model: keras.Model) -> dict[str, str]:
    """Return the texts inside `model`, by the name of the head that each belongs to.

    Raises:
        InputError: if a text is damaged.
    """
    return {_decode_head(key): _decode_text(key) for table in _iter_tables(model) for key in _text_keys(table)}


def find_texts(config: object) -> list[str]:
    """Return the texts in the configuration of a model, as a .keras file holds it; without loading the model."""
    texts, values = [], [config]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            texts += [_decode_text(key) for key in value if str(key).startswith(f"{PREFIX}:")]
            values += value.values()
        elif isinstance(value, list):
            values += value
    return texts


def write_text(model: keras.Model, head: str, text: str | None) -> bool:
    """Put `text` for a head into `model`, in the place of an earlier one; None only removes that.

    Returns:
        False if the model has no layer that can hold a text.
    """
    tables = list(_iter_tables(model))
    for table in tables:
        for key in _text_keys(table):
            if _decode_head(key) == head:
                del table[key]
    if text is None:
        return True

    holders = [table for table in tables if any(_text_keys(table))]
    table = next(iter(holders or tables), None)
    if table is None:
        layer = _find_holder(model)
        if layer is None:
            return False
        policy = layer.dtype_policy
        # A plain policy is given by its name, which every version of Keras reads.
        default = policy.name if type(policy) is keras.DTypePolicy else policy
        layer.dtype_policy = table = keras.dtype_policies.DTypePolicyMap(default)
    table[_encode(head, text)] = keras.DTypePolicy("float32")
    return True


def iter_layers(model: keras.Model) -> Iterator[Any]:
    """Yield the layers of a model in order, each nested model followed by its own layers."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from iter_layers(layer)


def count_classes(model: keras.Model) -> int:
    """Return the number of values that the model returns for each image, or 0 if they are no scores of classes."""
    output = _output_of_model(model)
    output = output.get("logits") if isinstance(output, dict) else output  # auxiliary heads beside the logits
    shape = tuple(getattr(output, "shape", ()))
    return shape[-1] or 0 if len(shape) == 2 else 0


def check_has_graph(model: object) -> None:
    """Raise InputError, with the remedy, unless `model` is a Keras model whose inputs and outputs are known.

    A `Sequential` model knows them once it is built; a subclassed model never does.
    """
    if not isinstance(model, keras.Model):
        hint = f"; write cnnzoo.get({model!r:.100}, ...)" if isinstance(model, str) else ""
        raise InputError(
            f"model must be a Keras model, such as cnnzoo.get returns (a Classifier has one as `.model`). "
            f"Received: {model!r:.200}{hint}"
        )
    if getattr(model, "inputs", None):
        return
    if isinstance(model, keras.Sequential):
        raise InputError(
            f"The Sequential model {model.name} is not built, so its input size is unknown. Call "
            "model.build((None, height, width, 3)) first, or begin it with keras.Input((height, width, 3))"
        )
    raise InputError(
        f"{model.name} is a subclassed model ({type(model).__name__}) without a graph of layers, which cannot be "
        "exported or changed. Make a functional model of it: inputs = keras.Input((height, width, 3)); "
        "model = keras.Model(inputs, model.call(inputs))"
    )


def head_name(model: keras.Model) -> str:
    """Return the name of the last layer with weights, which computes the logits; "" if no layer has any."""
    output, layers = _output_of_model(model), list(iter_layers(model))[::-1]
    if isinstance(output, dict) and "logits" in output:  # go past the auxiliary heads
        start = next((i for i, layer in enumerate(layers) if _output_of(layer) is output["logits"]), 0)
        layers = layers[start:]
    leaves = (layer for layer in layers if not hasattr(layer, "layers"))
    return next((layer.name for layer in leaves if layer.weights), "")


def _output_of_model(model: keras.Model) -> Any:
    """Return the output of a model: a tensor, or a structure of several."""
    return model.outputs[0] if len(model.outputs) == 1 else model.output


def _output_of(layer: keras.Layer) -> Any:
    try:
        return layer.output
    except (AttributeError, ValueError):  # it was never called
        return None


def is_built_by_cnnzoo(model: keras.Model) -> bool:
    """Return whether the first layers have the names that `get` gives them."""
    names = [layer.name for layer in model.layers[:3]]
    return (isinstance(model, keras.Sequential) or names[0] == "images") and "normalise" in names


def _find_holder(model: keras.Model) -> Any:
    """Return the layer that a text is put into: the first without weights, or else the first of Keras' own."""
    layers = [layer for layer in iter_layers(model) if _can_hold(layer)]
    without_weights = (layer for layer in layers if not layer.weights)
    return next(without_weights, next(iter(layers), None))


def _can_hold(layer: Any) -> bool:
    """Return whether a layer is one of Keras' own that keeps its dtype policy in its configuration."""
    return (
        type(layer).__module__.split(".")[0] == "keras"
        and isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, keras.layers.InputLayer | keras.Model | keras.layers.Wrapper | keras.layers.Lambda)
        and "dtype" in layer.get_config()
    )


def _iter_tables(model: keras.Model) -> Iterator[Any]:
    for layer in iter_layers(model):
        if isinstance(getattr(layer, "dtype_policy", None), keras.dtype_policies.DTypePolicyMap):
            yield layer.dtype_policy


def _text_keys(table: Any) -> list[str]:
    return [key for key in table if key.startswith(f"{PREFIX}:")]


# Keys: model-card:HEAD:TEXT, of letters, digits and - _ . ~ % = :, because Keras takes keys for regular expressions


def _encode(head: str, text: str) -> str:
    content = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()
    return f"{PREFIX}:{quote(head, safe='')}:{content}"


def _decode_head(key: str) -> str:
    return unquote(key.split(":")[1])


@lru_cache(maxsize=32)
def _decode_text(key: str) -> str:
    try:
        compressed = base64.b64decode(key.split(":")[2], altchars=b"-_", validate=True)
        decompressor = zlib.decompressobj()
        content = decompressor.decompress(compressed, MAX_TEXT_BYTES)
        if not decompressor.eof:
            raise ValueError("it is cut off or too long")
        return content.decode()
    except (LookupError, ValueError, binascii.Error, zlib.error) as error:
        raise InputError(f"The card inside the model is damaged: {error}") from None

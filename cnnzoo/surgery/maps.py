"""The layers of a model whose feature maps can be shown, and the one that class activation maps are made of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk
from cnnzoo.surgery.features import NON_FEATURE_LAYERS, own_strides
from cnnzoo.surgery.outputs import logits_output

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

MIN_CELLS = 4  # of a side; smaller feature maps say too little about the place
POOLS = ("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "AveragePool", "MaxPool")
COPIES = ("Dropout", "SpatialDropout2D", "Identity", "GaussianNoise", "GaussianDropout", "AlphaDropout")
RESIZING = ("Transpose", "UpSampling", "Resizing", "Adaptive", "Cropping", "RandomCrop", "CenterCrop")


Strides = tuple[int, int]  # vertical, horizontal


class MapLayer(NamedTuple):
    """A layer with feature maps.

    Attributes:
        layer: the layer.
        size: (height, width) of its maps.
        channels: the number of its maps.
        strides: the distances of neighboring cells, vertical and horizontal, in pixels of the model's input; None if
            they are not known.
        is_trunk: whether every path from the images to the logits leads through it.
        is_last: whether no convolution follows.
        calls: how often the model calls the layer.
    """

    layer: keras.Operation
    size: tuple[int, int]
    channels: int
    strides: Strides | None
    is_trunk: bool
    calls: int = 1
    is_last: bool = False

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.layer.name)


def list_map_layers(model: keras.Model) -> list[MapLayer]:
    """Return the layers with feature maps on the way to the logits, from the images on; nested models are searched.

    Args:
        model: a functional Keras classifier with an input of a fixed size. Auxiliary heads are left out.
    """
    layers = _list_layers(keras.Model(model.inputs, logits_output(model)), (1, 1), True)[0]
    convolutions = [i for i, layer in enumerate(layers) if "Conv" in type(layer.layer).__name__]
    last = max(convolutions, default=-1)
    return [layer._replace(is_last=i >= last) for i, layer in enumerate(layers)]


def choose_map_layer(model: keras.Model, name: str | None = None) -> MapLayer:
    """Return the layer that class activation maps are made of.

    By default it is the last one of the trunk before pooling whose maps are larger than 3x3: the output of the last
    block, or in networks that flatten the last activation before the pool.

    Args:
        model: a functional Keras classifier.
        name: the name of another layer, which may lie in a branch.

    Raises:
        InputError: if there is no such layer, it has no spatial extent, or no layer of the model has feature maps.
    """
    layers = list_map_layers(model)
    if name is not None:
        return _find_map_layer(model, layers, name)
    trunk = [layer for layer in layers if layer.is_trunk and layer.calls == 1 and _is_feature(layer.layer)]
    if not trunk:
        hint = f"Name one in a branch: {_summarize(layers)}" if layers else 'Use method="occlusion", which needs none'
        raise InputError(f"{model.name} has no layer with feature maps through which all paths lead. {hint}")
    large = [layer for layer in trunk if min(layer.size) >= MIN_CELLS]
    if large:
        return large[-1]
    largest = max(min(layer.size) for layer in trunk)
    return [layer for layer in trunk if min(layer.size) == largest][-1]


def _find_map_layer(model: keras.Model, layers: list[MapLayer], name: str) -> MapLayer:
    """Return the layer of this name; raise InputError if it cannot be explained by."""
    matches = [layer for layer in layers if layer.name == name]
    if not matches:
        others = {layer.name for layer in walk.all_layers(model)}
        if name in others:
            raise InputError(
                f"The layer {name!r} of {model.name} has no feature maps with height and width before the logits. "
                f"Allowed: {_summarize(layers)}"
            )
        raise unknown_name("layer", name, [layer.name for layer in layers])
    if max(matches[-1].size) == 1:
        raise InputError(
            f"The layer {name!r} of {model.name} has no spatial extent: its maps are 1x1. Allowed: "
            f"{_summarize([layer for layer in layers if max(layer.size) > 1])}"
        )
    if len(matches) > 1 or matches[0].calls > 1:
        raise InputError(f"The layer {name!r} of {model.name} is called {matches[0].calls} times; name another one")
    return matches[0]


def _summarize(layers: list[MapLayer]) -> str:
    """Return the last layers of each size, for a message."""
    last = {layer.size: layer.name for layer in layers if _is_feature(layer.layer)}
    return ", ".join(f"{name} ({height}x{width})" for (height, width), name in list(last.items())[-6:])


def _is_feature(layer: keras.Operation) -> bool:
    kind = type(layer).__name__
    return kind not in (*NON_FEATURE_LAYERS, *POOLS, *COPIES) and not any(word in kind for word in RESIZING)


def _list_layers(model: keras.Model, own: Strides | None, is_trunk: bool) -> tuple[list[MapLayer], Strides | None]:
    """Return the layers with feature maps of a graph, and the strides of its output.

    Args:
        model: a functional model, which may be nested in another.
        own: the strides of its input.
        is_trunk: whether the model itself belongs to the trunk.
    """
    calls = walk.list_calls(model)
    uses = Counter(source for call in calls for source in call.sources)
    counts = Counter(id(call.layer) for call in calls)
    strides: dict[int, Strides | None] = {}
    pending_uses: Counter[int] = Counter()
    layers: list[MapLayer] = []
    for call in calls:
        # Where no output of an earlier call is needed any more, all paths meet
        for source in call.sources:
            pending_uses[source] -= 1
        pending_uses += Counter()  # drops what is not needed
        meets = is_trunk and not pending_uses
        steps = [strides[source] for source in call.sources] or [own]
        known = [step for step in steps if step is not None]
        before = None if len(known) < len(steps) else (max(rows for rows, _ in known), max(cols for _, cols in known))

        kind = type(call.layer).__name__
        if walk.is_graph(call.layer):
            nested, strides[call.key] = _list_layers(call.layer, before, meets)
            layers += [layer._replace(calls=max(layer.calls, counts[id(call.layer)])) for layer in nested]
        else:
            strides[call.key] = None
            if before is not None and not any(word in kind for word in RESIZING):
                rows, columns = own_strides(call.layer)
                strides[call.key] = before[0] * rows, before[1] * columns
            sides = [side for side in call.shape[1:] if side is not None]
            if len(call.shape) == 4 and len(sides) == 3 and kind != "InputLayer":
                size = sides[0], sides[1]
                layers.append(MapLayer(call.layer, size, sides[2], strides[call.key], meets, counts[id(call.layer)]))
        pending_uses[call.key] = uses[call.key]
        pending_uses += Counter()
    return layers, strides[calls[-1].key]

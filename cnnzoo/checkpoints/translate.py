"""Translate the tensors of a published checkpoint to the names and axes of our models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnzoo.checkpoints.layouts import LAYOUTS, Layout
from cnnzoo.checkpoints.weight_sets import WeightSet
from cnnzoo.core.errors import InputError
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
    import numpy as np

# The last part of a tensor's name, and our names of that variable: in a convolution or dense layer, and in a batch
# normalization.
VARIABLE_NAMES = {
    "weight": ("kernel", "gamma"),
    "weights": ("kernel", "gamma"),
    "biases": ("bias", "beta"),
    "bias": ("bias", "beta"),
    "running_mean": ("", "moving_mean"),
    "running_var": ("", "moving_variance"),
}
OUTER_HEAD = "head:"  # the names of layers beside the network's prefix begin so
TOP_LAYERS = ("Dense", "RadialBasis")  # classes of layers that are in heads only
# The order in which keras.applications creates the modules, and the branches of an Inception module.
BRANCH_ORDER = ("1x1", "5x5", "3x3", "3x3dbl", "7x7", "7x7dbl", "7x7x3", "_pool")
MODULE_ORDER = ("conv2d", "mixed_5", "block35", "mixed_6a", "mixed_6", "block17", "mixed_7a", "mixed_7", "block8")


@dataclass(frozen=True)
class Translation:
    """A checkpoint in our names; arrays are views of the file's wherever possible."""

    tensors: dict[str, np.ndarray]  # by "layer.variable"
    dropped: tuple[str, ...]  # tensors that no network needs: PyTorch's counters of batches, and what lies outside
    names: dict[str, str]  # the names in the file


def translate_tensors(weight_set: WeightSet, model: keras.Model, source: str) -> Translation:
    """Name and shape tensors as `model` has them, by the layout that was recognized from their names.

    A tensor for which the model has no place keeps a name of the same kind, so that strict loading can report it.

    Args:
        weight_set: the tensors of the file, and what hangs in the place of the head.
        model: the network with its head.
        source: the name of the file, for messages.

    Raises:
        InputError: if no layout was recognized, or the tensors do not fit the model.
    """
    layout = weight_set.layout
    if layout is None:
        publishers = ", ".join(sorted({layout.publisher for layout in LAYOUTS}))
        first_names = ", ".join(list(weight_set.tensors)[:5]) or "none: it is empty"
        raise InputError(
            f"{source} has no known layout ({publishers}, or cnnzoo's own). The names of its tensors start with: "
            f"{first_names}"
        )
    try:
        return _translate_by_layout(weight_set, model, source, layout)
    except (TypeError, ValueError, IndexError, OverflowError) as error:  # names and shapes that no publisher has
        raise InputError(f"{source} does not fit {model.name} in the layout of {layout.publisher}: {error}") from error


def _translate_by_layout(weight_set: WeightSet, model: keras.Model, source: str, layout: Layout) -> Translation:
    layers = {layer.name: layer for layer in model.layers}
    inner = weight_set.tensors
    matched = _match_by_order(layout, inner, model) | _match_by_number(layout, inner, layers)

    translated: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    dropped = []
    for name, value in inner.items():
        their_layer, leaf = _split_name(name)
        if leaf == "num_batches_tracked":
            dropped.append(weight_set.full_names[name])
            continue
        layer, variable = _rename_variable(matched.get(their_layer) or layout.rename_layer(their_layer), leaf, layers)
        if f"{layer}.{variable}" in translated:
            raise InputError(f"{source} names the same tensor twice in the layout of {layout.publisher}")
        translated[f"{layer}.{variable}"] = _reorder_axes(value, leaf, variable, layers.get(layer))
        names[f"{layer}.{variable}"] = weight_set.full_names[name]

    # A head beside the prefix of the network gets names of its own, which no layer of the model has.
    for full_name, value in weight_set.head.items():
        their_layer, leaf = _split_name(full_name)
        if leaf == "num_batches_tracked":
            dropped.append(full_name)
            continue
        name = f"{OUTER_HEAD}{re.sub('[./]', '_', their_layer)}.{VARIABLE_NAMES.get(leaf, (leaf,))[0] or leaf}"
        translated[name] = _reorder_axes(value, leaf, "kernel", None)
        names[name] = full_name

    _absorb_into_batch_norm(translated, layers, layout)
    return Translation(translated, (*dropped, *weight_set.outside), names)


def _split_name(name: str) -> tuple[str, str]:
    """Return the layer and the variable of a tensor's name."""
    layer, _, leaf = name.rpartition("/" if "/" in name else ".")
    return layer, leaf


def _match_by_order(layout: Layout, tensors: dict[str, np.ndarray], model: keras.Model) -> dict[str, str]:
    """Return {their layer: our layer} for a layout whose layers have only numbers, such as features.0.

    If their numbers differ, the layers of the first module are matched to our layers before the first dense one, and
    the others to our dense layers if there are as many.
    """
    if not layout.module_order:
        return {}

    def sort_key(layer: str) -> tuple[int, list[int]]:
        module = next(
            (i for i, prefix in enumerate(layout.module_order) if layer.startswith(prefix)), len(layout.module_order)
        )
        return module, [int(number) for number in re.findall(r"\d+", layer)]

    theirs = sorted({re.split(r"[./][^./]*$", name)[0] for name in tensors}, key=sort_key)
    ours = [layer for layer in model.layers if layer.weights]
    if len(theirs) == len(ours):  # also where a convolution stands for our first dense layer
        return dict(zip(theirs, [layer.name for layer in ours], strict=True))
    pairs: dict[str, str] = {}
    for is_top in (False, True):
        their_part = [layer for layer in theirs if (sort_key(layer)[0] > 0) == is_top]
        our_part = [layer.name for layer in ours if (type(layer).__name__ in TOP_LAYERS) == is_top]
        if not is_top and len(their_part) != len(our_part):
            raise InputError(
                f"it has {len(their_part)} layers of convolutions and batch norms, and the model has {len(our_part)}"
            )
        if len(their_part) == len(our_part):
            pairs |= dict(zip(their_part, our_part, strict=False))
    return pairs


def _match_by_number(
    layout: Layout, tensors: dict[str, np.ndarray], layers: dict[str, keras.layers.Layer]
) -> dict[str, str]:
    """Return {their layer: our layer} for layers that Keras numbered as they were created, such as conv2d_7."""
    if not layout.numbered_by_keras:
        return {}
    named = {layout.rename_layer(name.split("/")[0]) for name in tensors}
    pairs: dict[str, str] = {}
    for prefix, kind in (("conv2d", "Conv2D"), ("batch_normalization", "BatchNormalization")):
        numbered: dict[str, int] = {}
        for name in tensors:
            layer = name.split("/")[0]
            if match := re.fullmatch(rf"{prefix}(?:_(\d+))?", layer):
                numbered[layer] = int(match[1] or 0)
        # Layers that have a name in the checkpoint too are not numbered there.
        ours = [name for name, layer in layers.items() if type(layer).__name__ == kind and name not in named]
        ours.sort(key=lambda name: _creation_order(name.removesuffix("_bn")))
        pairs |= dict(zip(sorted(numbered, key=lambda layer: numbered[layer]), ours, strict=False))
    return pairs


def _creation_order(name: str) -> tuple[int, list[int | str], int, str]:
    """Return a key that sorts the layers of the Inception networks as keras.applications creates them."""
    module = max((i for i, prefix in enumerate(MODULE_ORDER) if name.startswith(prefix)), default=-1)
    head, _, branch = name.partition("_branch")
    kind = re.match(r"(1x1|\d+x\d+(?:dbl|x3)?|_pool)", branch)
    order = BRANCH_ORDER.index(kind[0]) if kind and kind[0] in BRANCH_ORDER else -1
    return module, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", head)], order, branch


def _rename_variable(name: str, leaf: str, layers: dict[str, keras.layers.Layer]) -> tuple[str, str]:
    """Return layer and variable for the name of a layer and the last part of a tensor's name."""
    kind = type(layers[name]).__name__ if name in layers else ""
    if not kind:  # the separable convolutions of timm are two layers
        for suffix, variable in (("_conv1", "depthwise_kernel"), ("_pointwise", "pointwise_kernel")):
            base = name.removesuffix(suffix)
            if base != name and type(layers.get(base)).__name__ == "SeparableConv2D":
                return base, variable
    return name, VARIABLE_NAMES.get(leaf, (leaf, leaf))[kind == "BatchNormalization"] or leaf


def _reorder_axes(value: np.ndarray, leaf: str, variable: str, layer: keras.layers.Layer | None) -> np.ndarray:
    """Return a tensor with its axes in the order of Keras."""
    is_dense = type(layer).__name__ == "Dense"
    if leaf == "weight" and value.ndim == 4:  # PyTorch: (out, in, height, width)
        if variable == "depthwise_kernel":
            return value.transpose(2, 3, 0, 1)
        value = value.transpose(2, 3, 1, 0)
    elif leaf == "weight" and value.ndim == 2:
        value = value.T
        before: Any = walk.producing_layer(layer.input) if layer is not None and is_dense else None
        if type(before).__name__ == "Dropout":
            before = walk.producing_layer(before.input)
        if type(before).__name__ == "Flatten":  # PyTorch flattens the channels first
            height, width, channels = before.input.shape[1:]
            if None not in (height, width) and height * width * channels == len(value):
                value = value.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    # Published fully convolutional heads, and the result of the branch above, become matrices.
    return value.reshape(-1, value.shape[-1]) if is_dense and value.ndim == 4 else value


def _absorb_into_batch_norm(
    translated: dict[str, np.ndarray], layers: dict[str, keras.layers.Layer], layout: Layout
) -> None:
    """Move biases that our model lacks, and the publisher's epsilon, into the statistics of batch normalization.

    The result computes exactly the same function: a bias is subtracted from the moving mean, and the difference
    between the two epsilons is added to the moving variance.
    """
    import numpy as np

    for name in [name for name in translated if name.endswith(".bias")]:
        layer = layers.get(name.removesuffix(".bias"))
        if layer is None or getattr(layer, "use_bias", True):
            continue
        (norm,) = walk.consuming_layers(layer)
        mean = f"{norm.name}.moving_mean"
        if mean in translated and translated[mean].shape == translated[name].shape:
            translated[mean] = translated[mean] - translated.pop(name)

    for name, layer in layers.items():
        if type(layer).__name__ != "BatchNormalization":
            continue
        variance = f"{name}.moving_variance"
        if layout.epsilon and variance in translated:
            translated[variance] = translated[variance] + np.float32(layout.epsilon - layer.epsilon)
        # keras.applications leaves out a gamma of ones.
        no_gamma = layout.publisher == "keras.applications" and layer.scale and f"{name}.gamma" not in translated
        if no_gamma and variance in translated:
            translated[f"{name}.gamma"] = np.ones_like(translated[variance])

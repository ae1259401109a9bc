"""Translate the tensors of a published checkpoint to the names and axes of our models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnzoo.checkpoints.layouts import LAYOUTS, Layout
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
# Prefixes that DataParallel, torch.compile and other wrappers put before every name.
WRAPPER_PREFIX = re.compile(r"^(module|_orig_mod|model|net|backbone)\.")
# Keras 1 wrote block1_conv1/block1_conv1_W_1.
KERAS_1_SUFFIXES = ((re.compile(r"_W(_\d+)?$"), "kernel"), (re.compile(r"_b(_\d+)?$"), "bias"))
# The order in which keras.applications creates the modules, and the branches of an Inception module.
BRANCH_ORDER = ("1x1", "5x5", "3x3", "3x3dbl", "7x7", "7x7dbl", "7x7x3", "_pool")
MODULE_ORDER = ("conv2d", "mixed_5", "block35", "mixed_6a", "mixed_6", "block17", "mixed_7a", "mixed_7", "block8")


@dataclass(frozen=True)
class Translation:
    """A checkpoint in our names; arrays are views of the file's wherever possible."""

    tensors: dict[str, np.ndarray]  # by "layer.variable"
    dropped: tuple[str, ...]  # tensors that no network needs: PyTorch's counters of batches


def translate_tensors(tensors: dict[str, np.ndarray], model: keras.Model, source: str) -> Translation:
    """Name and shape tensors as `model` has them, by the layout that is recognized from their names.

    A tensor for which the model has no place keeps a name of the same kind, so that strict loading can report it.

    Args:
        tensors: the tensors of the file, by their names there.
        model: the network with its head.
        source: the name of the file, for messages.

    Raises:
        InputError: if no layout is recognized, or the tensors do not fit the model.
    """
    layout = recognize_layout(tensors)
    if layout is None:
        publishers = ", ".join(sorted({layout.publisher for layout in LAYOUTS}))
        first_names = ", ".join(list(tensors)[:5]) or "none: it is empty"
        raise InputError(
            f"{source} has no known layout ({publishers}, or cnnzoo's own). The names of its tensors start with: "
            f"{first_names}"
        )
    try:
        return _translate_by_layout(tensors, model, source, layout)
    except InputError:
        raise
    except (TypeError, ValueError, IndexError, OverflowError) as error:  # names and shapes that no publisher has
        raise InputError(f"{source} does not fit {model.name} in the layout of {layout.publisher}: {error}") from error


def _translate_by_layout(
    tensors: dict[str, np.ndarray], model: keras.Model, source: str, layout: Layout
) -> Translation:
    by_clean_name = dict(zip(clean_names(tensors), tensors.values(), strict=True))
    layers = {layer.name: layer for layer in model.layers}
    matched = _match_by_order(layout, by_clean_name, model) | _match_by_number(layout, by_clean_name, layers)

    translated: dict[str, np.ndarray] = {}
    dropped = []
    for (name, value), original_name in zip(by_clean_name.items(), tensors, strict=True):
        their_layer, _, leaf = name.rpartition("/" if "/" in name else ".")
        if leaf == "num_batches_tracked":
            dropped.append(original_name)
            continue
        layer, variable = _rename_variable(matched.get(their_layer) or layout.rename_layer(their_layer), leaf, layers)
        translated[f"{layer}.{variable}"] = _reorder_axes(value, leaf, variable, layers.get(layer))
    if len(translated) + len(dropped) < len(tensors):
        raise InputError(f"{source} names the same tensor twice in the layout of {layout.publisher}")

    _absorb_into_batch_norm(translated, layers, layout)
    return Translation(translated, tuple(dropped))


def recognize_layout(names: Iterable[str]) -> Layout | None:
    """Return the layout whose marker matches one of the tensor names, or None."""
    names = clean_names(names)
    return next((layout for layout in LAYOUTS if any(re.search(layout.marker, name) for name in names)), None)


def clean_names(names: Iterable[str]) -> list[str]:
    """Return tensor names without the prefixes that wrappers put before every one, and without doubled parts."""
    cleaned = list(names)
    while (
        cleaned and (prefix := WRAPPER_PREFIX.match(cleaned[0])) and all(name.startswith(prefix[0]) for name in cleaned)
    ):
        cleaned = [name[prefix.end() :] for name in cleaned]
    return [_clean_name(name) for name in cleaned]


def _clean_name(name: str) -> str:
    """Return a tensor name without the parts that Keras and tf2cv write twice."""
    for pattern, variable in KERAS_1_SUFFIXES:
        name = re.sub(rf"/[^/]*{pattern.pattern}", f"/{variable}", name)
    # tf2cv: features/pre_res_net/features/features/stage1/stage1/unit1/body/conv1/conv/conv/kernel
    if tf2cv := re.match(r"(?:.*/)?((?:features|output1)/.*)", name):
        return re.sub(r"\b(features|stage\d|branches|conv_list|conv)/\1/", r"\1/", tf2cv[1]).replace("/", ".")
    parts = name.split("/")  # Keras 3: conv1_conv/resnet50/conv1_conv/kernel
    return "/".join(parts[-2:]) if len(parts) > 2 and parts[0] == parts[-2] else name


def _match_by_order(layout: Layout, tensors: dict[str, np.ndarray], model: keras.Model) -> dict[str, str]:
    """Return {their layer: our layer} for a layout whose layers have only numbers, such as features.0."""
    if not layout.module_order:
        return {}

    def sort_key(layer: str) -> tuple[int, list[int]]:
        module = next(
            (i for i, prefix in enumerate(layout.module_order) if layer.startswith(prefix)), len(layout.module_order)
        )
        return module, [int(number) for number in re.findall(r"\d+", layer)]

    their_layers = sorted({re.split(r"[./][^./]*$", name)[0] for name in tensors}, key=sort_key)
    return dict(zip(their_layers, [layer.name for layer in model.layers if layer.weights], strict=False))


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

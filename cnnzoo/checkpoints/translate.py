"""From the tensors of a published checkpoint to those of our graphs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cnnzoo.checkpoints.layouts import LAYOUTS, Layout
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery import walk

np = Lazy("numpy")

# What the last part of a tensor's name says, of a convolution or dense layer and of a batch norm.
VARIABLE_NAMES = {
    "weight": ("kernel", "gamma"),
    "weights": ("kernel", "gamma"),
    "biases": ("bias", "beta"),
    "bias": ("bias", "beta"),
    "running_mean": ("", "moving_mean"),
    "running_var": ("", "moving_variance"),
}
WRAPPER_PREFIX = re.compile(r"^(module|_orig_mod|model|net|backbone)\.")  # of DataParallel, torch.compile and wrappers
# Keras 1 wrote block1_conv1/block1_conv1_W_1
KERAS_1_SUFFIXES = ((re.compile(r"_W(_\d+)?$"), "kernel"), (re.compile(r"_b(_\d+)?$"), "bias"))
# The order in which keras.applications makes the branches of an Inception module.
BRANCH_ORDER = ("1x1", "5x5", "3x3", "3x3dbl", "7x7", "7x7dbl", "7x7x3", "_pool")
MODULE_ORDER = ("conv2d", "mixed_5", "block35", "mixed_6a", "mixed_6", "block17", "mixed_7a", "mixed_7", "block8")


@dataclass(frozen=True)
class Translation:
    """A checkpoint in our names; arrays are views of the file's where they can be."""

    tensors: dict[str, Any]  # "layer.variable"
    dropped: tuple[str, ...]  # tensors that no network needs: torch's counters of batches


def translate_tensors(tensors: dict[str, Any], model: Any, source: str) -> Translation:
    """Name and shape tensors as `model` (with its head) has them, by the layout that their names tell.

    What the model has no place for keeps a name of the same kind, for strict loading to complain of.
    Raises InputError where no layout is recognised.
    """
    layout = recognize_layout(tensors)
    if layout is None:
        known = ", ".join(sorted({layout.name for layout in LAYOUTS}))
        named = ", ".join(list(tensors)[:5]) or "nothing: it holds none"
        raise InputError(f"{source} has no layout that is known ({known}, or cnnzoo's own). Its tensors are: {named}")
    try:
        return _translate_by_layout(tensors, model, source, layout)
    except (TypeError, ValueError, IndexError, OverflowError) as error:  # of names and shapes that no publisher has
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source} does not fit {model.name}, by the layout of {layout.name}: {error}") from error


def _translate_by_layout(tensors: dict[str, Any], model: Any, source: str, layout: Layout) -> Translation:
    found = dict(zip(clean_names(tensors), tensors.values(), strict=True))
    layers = {layer.name: layer for layer in model.layers}
    names = _match_by_order(layout, found, model) | _match_by_number(layout, found, layers)
    ours: dict[str, Any] = {}
    dropped = []
    for (name, value), original in zip(found.items(), tensors, strict=True):
        place, _, leaf = name.rpartition("/" if "/" in name else ".")
        if leaf == "num_batches_tracked":
            dropped.append(original)
            continue
        title = names.get(place) or layout.layer(place)
        layer, variable = _find_variable(title, leaf, layers)
        ours[f"{layer}.{variable}"] = _reorder_axes(value, leaf, variable, layers.get(layer))
    if len(ours) + len(dropped) < len(tensors):
        raise InputError(f"{source} names the same tensor twice, by the layout of {layout.name}")
    _absorb_into_batch_norm(ours, layers, layout)
    return Translation(ours, tuple(dropped))


def clean_names(names: Iterable[str]) -> list[str]:
    """Tensors' names without the prefixes that wrappers put before every one, and without doubled parts."""
    found = list(names)
    while found and (prefix := WRAPPER_PREFIX.match(found[0])) and all(name.startswith(prefix[0]) for name in found):
        found = [name[prefix.end() :] for name in found]
    return [_clean_name(name) for name in found]


def _clean_name(name: str) -> str:
    for pattern, variable in KERAS_1_SUFFIXES:
        name = re.sub(rf"/[^/]*{pattern.pattern}", f"/{variable}", name)
    # tf2cv: features/pre_res_net/features/features/stage1/stage1/unit1/body/conv1/conv/conv/kernel
    if tf2cv := re.match(r"(?:.*/)?((?:features|output1)/.*)", name):
        return re.sub(r"\b(features|stage\d|branches|conv_list|conv)/\1/", r"\1/", tf2cv[1]).replace("/", ".")
    parts = name.split("/")  # Keras 3: conv1_conv/resnet50/conv1_conv/kernel
    return "/".join(parts[-2:]) if len(parts) > 2 and parts[0] == parts[-2] else name


def recognize_layout(names: Iterable[str]) -> Layout | None:
    """The layout whose mark is among the names of tensors."""
    names = clean_names(names)
    return next((layout for layout in LAYOUTS if any(re.search(layout.mark, name) for name in names)), None)


def _match_by_order(layout: Layout, found: dict[str, Any], model: Any) -> dict[str, str]:
    """The model's layers for a checkpoint whose layers have only numbers."""
    if not layout.sequence:
        return {}

    def rank(place: str) -> tuple[Any, ...]:
        first = next((i for i, word in enumerate(layout.sequence) if place.startswith(word)), len(layout.sequence))
        return first, [int(number) for number in re.findall(r"\d+", place)]

    places = sorted({re.split(r"[./][^./]*$", name)[0] for name in found}, key=rank)
    return dict(zip(places, [layer.name for layer in model.layers if layer.weights], strict=False))


def _match_by_number(layout: Layout, found: dict[str, Any], layers: dict[str, Any]) -> dict[str, str]:
    """The model's layers for those that Keras numbered as they were made."""
    if not layout.numbered:
        return {}
    named = {layout.layer(name.split("/")[0]) for name in found}
    pairs: dict[str, str] = {}
    for theirs, kind in (("conv2d", "Conv2D"), ("batch_normalization", "BatchNormalization")):
        pattern = re.compile(rf"{theirs}(_(\d+))?")
        places = {name.split("/")[0] for name in found if pattern.fullmatch(name.split("/")[0])}
        places_in_order = sorted(places, key=lambda place: int((pattern.fullmatch(place) or [0, 0, 0])[2] or 0))
        mine = [name for name, layer in layers.items() if type(layer).__name__ == kind and name not in named]
        mine.sort(key=lambda name: _creation_order(name.removesuffix("_bn")))
        pairs |= dict(zip(places_in_order, mine, strict=False))
    return pairs


def _creation_order(name: str) -> tuple[Any, ...]:
    """Sorts layers of the Inception networks as keras.applications makes them."""
    module = max((i for i, word in enumerate(MODULE_ORDER) if name.startswith(word)), default=-1)
    head, _, branch = name.partition("_branch")
    kind = re.match(r"(1x1|\d+x\d+(?:dbl|x3)?|_pool)", branch)
    order = BRANCH_ORDER.index(kind[0]) if kind and kind[0] in BRANCH_ORDER else -1
    return module, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", head)], order, branch


def _find_variable(title: str, leaf: str, layers: dict[str, Any]) -> tuple[str, str]:
    """Layer and variable for a layer's name and the last part of a tensor's."""
    kind = type(layers[title]).__name__ if title in layers else ""
    if not kind:  # timm's separable convolutions are two layers
        for suffix, variable in (("_conv1", "depthwise_kernel"), ("_pointwise", "pointwise_kernel")):
            base = title.removesuffix(suffix)
            if base != title and type(layers.get(base)).__name__ == "SeparableConv2D":
                return base, variable
    return title, VARIABLE_NAMES.get(leaf, (leaf, leaf))[kind == "BatchNormalization"] or leaf


def _reorder_axes(value: Any, leaf: str, variable: str, layer: Any) -> Any:
    """The tensor with its axes as Keras has them."""
    dense = type(layer).__name__ == "Dense"
    if leaf == "weight" and value.ndim == 4:  # torch's (out, in, height, width)
        if variable == "depthwise_kernel":
            return value.transpose(2, 3, 0, 1)
        value = value.transpose(2, 3, 1, 0)
    elif leaf == "weight" and value.ndim == 2:
        value = value.T
        flat: Any = walk.producing_layer(layer.input) if dense else None
        if type(flat).__name__ == "Dropout":
            flat = walk.producing_layer(flat.input)
        if type(flat).__name__ == "Flatten":  # torch flattens channels first
            height, width, channels = flat.input.shape[1:]
            if None not in (height, width) and height * width * channels == len(value):
                value = value.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    return value.reshape(-1, value.shape[-1]) if dense and value.ndim == 4 else value


def _absorb_into_batch_norm(ours: dict[str, Any], layers: dict[str, Any], layout: Layout) -> None:
    """Take biases that the model lacks, and the publisher's epsilon, into batch norm's statistics, exactly."""
    for name in [name for name in ours if name.endswith(".bias")]:
        layer = layers.get(name.removesuffix(".bias"))
        if layer is None or getattr(layer, "use_bias", True):
            continue
        (norm,) = walk.consuming_layers(layer)
        mean = f"{norm.name}.moving_mean"
        if mean in ours and ours[mean].shape == ours[name].shape:
            ours[mean] = ours[mean] - ours.pop(name)
    norms = {name: layer for name, layer in layers.items() if type(layer).__name__ == "BatchNormalization"}
    for name, layer in norms.items():
        variance = f"{name}.moving_variance"
        if layout.epsilon and variance in ours:
            ours[variance] = ours[variance] + np.float32(layout.epsilon - layer.epsilon)
        if layout.name == "keras.applications" and layer.scale and f"{name}.gamma" not in ours and variance in ours:
            ours[f"{name}.gamma"] = np.ones_like(ours[variance])  # theirs has none, which is as good as ones

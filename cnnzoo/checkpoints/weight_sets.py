"""Find the network in a checkpoint: the sets of weights in it, their prefixes, and what lies around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnzoo.checkpoints.layouts import LAYOUTS, Layout
from cnnzoo.checkpoints.torch_file import rank_set_name
from cnnzoo.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

MAX_PREFIXES = MAX_SETS = 100  # of one file
# Parts that DataParallel, torch.compile and other wrappers put into names, at any depth.
WRAPPER_PART = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Keras 1 wrote block1_conv1/block1_conv1_W_1.
KERAS_1_SUFFIXES = ((re.compile(r"_W(_\d+)?$"), "kernel"), (re.compile(r"_b(_\d+)?$"), "bias"))
# What training scripts register beside the layers of the network itself: losses, metrics, queues, counters.
EXTRA_NAME = re.compile(
    r"^(criterion|criteria|loss|loss_f(n|unc)|\w+_loss|metrics?|\w*_?(acc|accuracy|f1|auroc|auc|metrics?|confmat)"
    r"|(train|val|valid|test)_\w+|queue|queue_ptr|queue_label|n_averaged|ema_\w+|normalize)(\.|$)|(^|\.)_extra_state$"
)
# Where a head hangs beside a prefix such as "backbone.", and the second part of a Sequential ("1.8.weight").
HEAD_NAME = re.compile(
    r"^(heads?|cls_head|class\w*|fc\w*|linear\w*|lin_cls|logits|predictions?|probs|last_linear|out(put)?|\d+)[./]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class WeightSet:
    """The weights of one network in a checkpoint.

    Attributes:
        name: what `weights="file.pth#NAME"` calls it; "" if it is the whole file.
        tensors: by their names without the prefix.
        layout: the publisher's layout, or None if the names are of no known layout.
        full_names: the name of each tensor in the file.
        head: tensors that hang beside the prefix where a head would, by their names in the file.
        outside: names of the tensors around the network that are no head.
    """

    name: str
    tensors: dict[str, np.ndarray]
    layout: Layout | None
    full_names: dict[str, str] = field(default_factory=dict)
    head: dict[str, np.ndarray] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


def find_weight_sets(sets: Mapping[str, Callable[[], dict[str, np.ndarray]]]) -> list[WeightSet]:
    """Return the sets of weights in a file, those that the network trained on first, averaged copies last.

    Args:
        sets: the dicts of tensors in the file, each with the function that reads it.

    Raises:
        InputError: if the first dict cannot be read; others are left out then.
    """
    if len(sets) > MAX_SETS:
        raise InputError(f"it has more than {MAX_SETS} dicts of tensors, and one network is expected")
    weight_sets: list[WeightSet] = []
    for path, read in sets.items():
        try:
            tensors = read()
        except InputError:
            if not weight_sets:
                raise
            continue
        weight_sets += split_by_prefix(tensors, path)
    recognized = [weight_set for weight_set in weight_sets if weight_set.layout] or weight_sets
    order = {id(weight_set): i for i, weight_set in enumerate(recognized)}
    return sorted(recognized, key=lambda item: (rank_set_name(item.name)[0], order[id(item)]))


def split_by_prefix(tensors: dict[str, np.ndarray], path: str = "") -> list[WeightSet]:
    """Return the networks in one dict of tensors: one for each prefix before the marker of a layout."""
    cleaned = clean_names(tensors)
    layouts = find_layouts(cleaned)
    weight_sets = []
    for prefix, layout in layouts.items() or [("", None)]:
        others = [other for other in layouts if other != prefix and other.startswith(prefix)]
        inner, full_names, head, outside = {}, {}, {}, []
        parent = re.sub(r"[^./]*[./]$", "", prefix)
        for name, (original, value) in zip(cleaned, tensors.items(), strict=True):
            beside = name.removeprefix(parent)
            if name.startswith(prefix):
                key = name.removeprefix(prefix)
                if any(map(name.startswith, others)):
                    continue
                if EXTRA_NAME.search(key) and layout:
                    outside.append(original)
                    continue
                if key in inner:
                    raise InputError(f"two of its tensors are called {key:.200} once wrappers' prefixes are removed")
                inner[key], full_names[key] = value, original
            elif any(map(name.startswith, layouts)):
                continue
            elif "/" in name or (name.startswith(parent) and HEAD_NAME.search(beside)):
                head[original] = value
            else:
                outside.append(original)
        name = ".".join(filter(None, (path, prefix.rstrip("./"))))
        weight_sets.append(WeightSet(name, inner, layout, full_names, head, tuple(outside)))
    return sorted(weight_sets, key=lambda item: rank_set_name(item.name))


def find_layouts(names: Iterable[str]) -> dict[str, Layout]:
    """Return the layout that is recognized after each prefix, such as "backbone." or "encoder_q."."""
    names = list(names)
    found: dict[str, Layout] = {}
    for layout in LAYOUTS:
        marker = re.compile("((?:.*[./])?)" + layout.marker.removeprefix("^"))
        for name in names:
            if match := marker.match(name):
                found.setdefault(match[1], layout)
    if len(found) > MAX_PREFIXES:
        raise InputError(f"it has networks under more than {MAX_PREFIXES} prefixes")
    specific = {prefix: layout for prefix, layout in found.items() if not layout.generic}
    return specific or found


def clean_names(names: Iterable[str]) -> list[str]:
    """Return tensor names without the parts that wrappers insert, and without those that publishers write twice."""
    return [_clean_name(WRAPPER_PART.sub("", name)) for name in names]


def _clean_name(name: str) -> str:
    """Return a tensor name without the parts that Keras and tf2cv write twice."""
    for pattern, variable in KERAS_1_SUFFIXES:
        name = re.sub(rf"/[^/]*{pattern.pattern}", f"/{variable}", name)
    # tf2cv: features/pre_res_net/features/features/stage1/stage1/unit1/body/conv1/conv/conv/kernel
    if tf2cv := re.match(r"(?:.*/)?((?:features|output1)/.*)", name):
        return re.sub(r"\b(features|stage\d|branches|conv_list|conv)/\1/", r"\1/", tf2cv[1]).replace("/", ".")
    parts = name.split("/")  # Keras 3: conv1_conv/resnet50/conv1_conv/kernel
    return "/".join(parts[-2:]) if len(parts) > 2 and parts[0] == parts[-2] else name


def choose_weight_set(weight_sets: list[WeightSet], wanted: str, source: str) -> list[WeightSet]:
    """Return the sets whose name is `wanted`, or has it as a part.

    Raises:
        InputError: if there is none; the message lists what there is.
    """
    parts = re.split(r"[./]", wanted)

    def is_wanted(name: str) -> bool:
        names = re.split(r"[./]", name)
        return any(names[i : i + len(parts)] == parts for i in range(len(names)))

    exact = [weight_set for weight_set in weight_sets if weight_set.name == wanted]
    if matches := exact or [weight_set for weight_set in weight_sets if is_wanted(weight_set.name)]:
        return matches
    named = [f"{source}#{weight_set.name:.100}" for weight_set in weight_sets if weight_set.name]
    names = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
    raise InputError(
        f"{source} has no set of weights called {wanted!r:.200}. "
        + (f"There are: {names}" if names else f"It has only one, which needs no name: {source}")
    )

"""Match the tensors of a checkpoint to the variables of a network, and load them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Receipt, default_class_names
from cnnzoo.checkpoints.source import WeightsSource
from cnnzoo.checkpoints.tensors import assign_tensors, list_first_names, named_variables
from cnnzoo.checkpoints.translate import OUTER_HEAD, translate_tensors
from cnnzoo.checkpoints.weight_sets import WeightSet
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    np = Lazy("numpy")

AUXILIARY = re.compile(r"aux\d_")  # how the layers of auxiliary heads begin


@dataclass(frozen=True)
class MatchedTensors:
    """The tensors of a checkpoint, under the names of our variables."""

    tensors: dict[str, Any]  # by "layer.variable"
    dropped: tuple[str, ...] = ()  # tensors that no network needs, by their names in the checkpoint
    classes: int | None = None  # of the head in the checkpoint, if it has one that fits the network
    custom_head: tuple[str, ...] = ()  # tensors of a head that the network does not have, by their names here
    names: dict[str, str] | None = None  # those in the checkpoint
    notes: tuple[str, ...] = ()  # decisions that the receipt states


def match_tensors(source: WeightsSource, model: keras.Model, logits_layer: str) -> MatchedTensors:
    """Give the tensors of `source` the names of the variables of `model`, which has all of its heads.

    Files written by cnnzoo have these names already; the layout of any other is recognized and translated. If the file
    has several sets of weights, the first that fits the model is taken.
    """
    first: MatchedTensors | None = None
    problem: InputError | None = None
    for weight_set in source.sets:
        try:
            matched = _match_set(weight_set, source, model, logits_layer)
        except InputError as error:
            problem = problem or error
            continue
        matched = replace(matched, notes=(*source.notes, *_describe_choice(weight_set, source), *matched.notes))
        if len(source.sets) == 1 or _fits(matched, model, logits_layer):
            return matched
        first = first or matched
    if first is None:
        raise problem or InputError(f"{source.name} holds no tensors")
    return first


def _match_set(weight_set: WeightSet, source: WeightsSource, model: keras.Model, logits_layer: str) -> MatchedTensors:
    """Give the tensors of one set the names of the variables of `model`."""
    variables = named_variables(model).keys()
    # Keras writes our names with a slash.
    dotted = {re.sub(r"^([^/]+)/([^/]+)$", r"\1.\2", name): value for name, value in weight_set.tensors.items()}
    own_names = len(dotted.keys() & variables) > len(dotted) / 2
    if weight_set.layout:  # a publisher's names may be ours in part
        own_names = not any(name not in dotted and not _is_head(name, logits_layer) for name in variables)
    if source.ours or own_names:
        unchecked = f"the file has no card, so that it is of {model.name} is taken from the names of its tensors"
        tensors = dotted if own_names else weight_set.tensors
        return MatchedTensors(tensors, notes=() if source.ours else (unchecked,))

    translation = translate_tensors(weight_set, model, source.name)
    tensors, custom_head, notes = _match_head(translation.tensors, model, logits_layer)
    layout = weight_set.layout
    if layout and layout.preprocessing and (notes or custom_head):  # someone trained it further, maybe on other pixels
        notes.append(f"pixels are assumed to be normalized as {layout.publisher} does (preprocessing=... if not)")
    matched = MatchedTensors(
        tensors, translation.dropped, custom_head=custom_head, names=translation.names, notes=tuple(notes)
    )
    kernel: Any = tensors.get(f"{logits_layer}.kernel")
    bias: Any = tensors.get(f"{logits_layer}.bias")
    if kernel is None or bias is None:
        return matched
    # The number of classes may differ from the network's, but not the number of features.
    fits = kernel.shape == (model.get_layer(logits_layer).input.shape[-1], *bias.shape)
    return replace(matched, classes=len(bias) if fits else None)


def _match_head(
    tensors: dict[str, Any], model: keras.Model, logits_layer: str
) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """Find the head that hangs in the place of the network's under another name, or has other layers.

    Returns:
        The tensors, with one linear layer in that place called as the network calls it; the names of those of a head
        that the network does not have; and what the receipt should state.
    """
    variables = named_variables(model).keys()
    unexpected = [name for name in tensors if name not in variables and not AUXILIARY.match(name)]
    has_logits = f"{logits_layer}.kernel" in tensors
    flat = not any(tensors[name].ndim > 2 for name in unexpected if not name.startswith(OUTER_HEAD))
    # A head of several layers, such as fc = Sequential(Dropout, Linear); or, in a file of Keras, any dense layers.
    heads = {
        name.partition(".")[0]
        for name in unexpected
        if name.startswith((OUTER_HEAD, f"{logits_layer}_")) or (flat and not has_logits)
    }
    names = [name for name in unexpected if name.partition(".")[0] in heads]
    if not names:
        return tensors, (), []

    # One linear layer is the network's own head, whatever it is called.
    (layer, *others) = dict.fromkeys(name.partition(".")[0] for name in names)
    kernel: Any = tensors.get(f"{layer}.kernel")
    features = model.get_layer(logits_layer).input.shape[-1]
    if (
        has_logits
        or others
        or kernel is None
        or kernel.ndim not in (2, 4)
        or kernel.size != features * kernel.shape[-1]
    ):
        return tensors, tuple(names), []
    parts = {name.partition(".")[2] for name in names}
    if not parts <= {"kernel", "bias"}:
        return tensors, tuple(names), []
    renamed = {name: value for name, value in tensors.items() if name not in names}
    renamed[f"{logits_layer}.kernel"] = kernel.reshape(features, -1)
    renamed[f"{logits_layer}.bias"] = tensors.get(f"{layer}.bias", np.zeros(kernel.shape[-1], kernel.dtype))
    shown = layer.removeprefix(OUTER_HEAD)
    notes = [] if layer.startswith(f"{logits_layer}_") else [f"the head is taken from {shown}"]
    if "bias" not in parts:
        notes.append(f"{shown} has no bias, which is zero here")
    return renamed, (), notes


def _is_head(name: str, logits_layer: str) -> bool:
    """Return whether a variable belongs to the last layer, or to an auxiliary head."""
    return name.startswith(f"{logits_layer}.") or AUXILIARY.match(name) is not None


def _fits(matched: MatchedTensors, model: keras.Model, logits_layer: str) -> bool:
    """Return whether all variables before the head have a tensor of their shape."""
    for name, variable in named_variables(model).items():
        tensor = matched.tensors.get(name)
        if not _is_head(name, logits_layer) and (tensor is None or tuple(tensor.shape) != tuple(variable.shape)):
            return False
    return True


def _describe_choice(weight_set: WeightSet, source: WeightsSource) -> list[str]:
    """Return what the receipt states about the set of weights that was taken, if there were others."""
    others = [other.name or "the file itself" for other in source.all_sets if other.name != weight_set.name]
    if not others:
        return []
    example = f"{source.name}#{others[0]}"
    return [
        f"the weights are those called {weight_set.name or 'by no name'}; there are also {list_first_names(others, 4)} "
        f"(weights={example!r})"
    ]


def choose_class_names(
    source: WeightsSource, matched: MatchedTensors, classes: Any, class_names: tuple[str, ...]
) -> tuple[tuple[str, ...], MatchedTensors]:
    """Return the class names of a model, and `matched` with a note on names in the file that are not used.

    Args:
        source: the weights; class names that our own files state are chosen already.
        matched: their tensors.
        classes: what the user asked for: None, a number, or names.
        class_names: the names that follow from that and from the row.
    """
    if source.classes or matched.classes is None:
        return class_names, matched
    named = source.other_classes if len(source.other_classes) == matched.classes else ()
    if classes is None:
        class_names = named or (
            class_names if len(class_names) == matched.classes else default_class_names(matched.classes)
        )
    elif type(classes) is int and classes == len(named):
        class_names = named
    note = ""
    if named and class_names != named and len(class_names) == len(named):
        note = f"the file calls its classes {list_first_names(list(named), 4)}; yours are used"
    elif source.other_classes and not named:
        note = f"the file names {len(source.other_classes)} classes, and its head has {matched.classes}: not used"
    return class_names, replace(matched, notes=(*matched.notes, note)) if note else matched


def load_matched(
    model: keras.Model,
    complete: keras.Model,
    matched: MatchedTensors,
    source: str,
    replaced_layers: set[str],
    aux: bool | None,
) -> Receipt:
    """Assign the matched tensors to `model`, strictly, and return the receipt of each tensor.

    Args:
        model: the model to load, which may lack heads.
        complete: the same network with all of its heads; the two share their variables.
        matched: the result of `match_tensors`.
        source: the name of the checkpoint, for error messages.
        replaced_layers: the layers of new heads, which keep their fresh values.
        aux: whether the model has its auxiliary heads; `None` if the network has none.
    """
    variables = named_variables(complete).keys()
    optional = variables - named_variables(model).keys()
    optional |= {name for name in variables if name.partition(".")[0] in replaced_layers}

    # Auxiliary heads are optional on either side: a checkpoint may lack them, and a model may be built without them.
    in_file = {name for name in matched.tensors if aux is not None and AUXILIARY.match(name)}
    if not aux:
        optional |= in_file
    elif not in_file:
        optional |= {name for name in variables if AUXILIARY.match(name)}

    # A head of other layers goes where the network's own head goes.
    if matched.custom_head:
        optional |= set(matched.custom_head)
        lacking = [name for name in variables if name not in optional and name not in matched.tensors]
        if lacking:
            raise _explain_custom_head(matched, model, source, lacking, bool(replaced_layers))

    receipt = assign_tensors(model, matched.tensors, source, optional)
    names = matched.names or {}
    custom = {name: names.get(name, name) for name in matched.custom_head}
    dropped = tuple(custom.get(name, name) for name in receipt.dropped)
    return replace(receipt, dropped=(*dropped, *matched.dropped), notes=matched.notes)


def _explain_custom_head(
    matched: MatchedTensors, model: keras.Model, source: str, lacking: list[str], has_new_head: bool
) -> InputError:
    """Return the error for a head that the network does not have, where the model needs its own."""
    names = list_first_names([(matched.names or {}).get(name, name) for name in matched.custom_head])
    fresh = "" if has_new_head else "classes=[...] with names of your own for a fresh head, or "
    return InputError(
        f"{source} does not fit {model.name}: its head has other layers ({names}), so these are missing: "
        f"{list_first_names(lacking)}. Pass {fresh}include_top=False for the network without its head. To keep the "
        "head, pass the Keras model itself to fine_tune, evaluate or export"
    )

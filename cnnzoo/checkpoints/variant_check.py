"""Check that a checkpoint is of the network it is loaded into, where names and shapes alone cannot tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from cnnzoo.checkpoints.layouts import Layout
from cnnzoo.checkpoints.source import WeightsSource
from cnnzoo.core.errors import InputError

# Fields of a row that do not change what the network computes from its weights.
DESCRIPTIVE_FIELDS = ("params", "macs", "paper", "classes", "input_shape", "preprocessing", "min_size")
# Tensors that are not trained
STATISTICS = re.compile(r"(running_(mean|var)|moving_(mean|variance)|num_batches_tracked|global_step)\b")
Rows = Mapping[str, Any]  # the rows of the registry by their names


def check_variant(source: WeightsSource, title: str, row: Any, rows: Callable[[], Rows]) -> WeightsSource:
    """Refuse weights of another variant, and return the source with a note on what could not be told.

    Our own files name their network; the layouts of publishers are of certain variants. For a row that is not
    registered, whose author knows what differs, that is a note too.

    Args:
        source: the weights.
        title: the name of the network to load into.
        row: its row.
        rows: returns the rows of the registry.

    Raises:
        InputError: that names the network that fits.
    """
    if source.published or not source.sets:
        return source
    if source.stated:
        return replace(source, notes=(*source.notes, f"the weights are of {title}, as stated; this was not checked"))
    if source.network:
        return _check_own_file(source, title, row, rows)
    layout = source.layout
    if title in rows() and (names := find_models_of_size(source, row, rows())):
        raise InputError(
            f"{source.name} does not fit {title}: it has {count_parameters(source):,} parameters, as "
            f"{' and '.join(names[:3])}. {_hint_at_model(names[0], source)}"
        )
    if layout is None:
        return source
    differing = differing_fields(layout, row)
    if differing and title in rows():
        raise _explain_other_variant(source, layout, title, row, rows(), differing)
    if differing:  # a row of the user's own, who may know better
        fields = ", ".join(f"{key} {value!r}" for key, value in differing.items())
        note = f"networks in the layout of {layout.publisher} have {fields}, and this row has not"
        return replace(source, notes=(*source.notes, note))
    problem = compare_keras_config(source.keras_config, row)
    if problem:
        fitting = (
            f". {_hint_at_model(fits, source)}" if (fits := _find_by_config(source.keras_config, row, rows())) else ""
        )
        raise InputError(f"{source.name} does not fit {title}: {problem}{fitting}. {_hint_at_statement(title, source)}")
    is_concerned = all(getattr(row, key, None) == value for key, value in layout.concerns.items())
    if layout.untold and is_concerned and not source.keras_config:
        note = f"the layout of {layout.publisher} does not tell {layout.untold}: assumed are those of {title}"
        return replace(source, notes=(*source.notes, note))
    return source


def _check_own_file(source: WeightsSource, title: str, row: Any, rows: Callable[[], Rows]) -> WeightsSource:
    """Compare the network that a card names with the one to load into."""
    if source.network == title:
        return source
    registered = rows().get(source.network)
    if registered is None:
        note = f"the file is of {source.network}, which is not registered: that {title} computes the same was assumed"
        return replace(source, notes=(*source.notes, note))
    if describe_graph(registered) == describe_graph(row):
        return source
    if title not in rows():
        note = f"the file is of {source.network}, and this row computes something else"
        return replace(source, notes=(*source.notes, note))
    raise InputError(
        f"{source.name} does not fit {title}: it holds weights of {source.network}, which computes something else even "
        f"where names and shapes agree. {_hint_at_model(source.network, source)}. {_hint_at_statement(title, source)}"
    )


def count_parameters(source: WeightsSource) -> int:
    """Return the number of trainable parameters in the first set of weights, without the statistics of batch norms."""
    return sum(tensor.size for name, tensor in source.tensors.items() if not STATISTICS.search(name))


def find_models_of_size(source: WeightsSource, row: Any, rows: Rows) -> list[str]:
    """Return the models that have exactly as many parameters as a checkpoint, if `row` has not; those it fits first."""
    count = count_parameters(source)
    names = [name for name, other in rows.items() if other.params == count and row.params != count]
    layout = source.layout
    return sorted(names, key=lambda name: bool(layout and differing_fields(layout, rows[name])))


def describe_graph(row: Any) -> tuple[type, dict[str, Any]]:
    """Return the class and the fields of a row that determine its graph."""
    fields = {key: value for key, value in asdict(row).items() if key not in DESCRIPTIVE_FIELDS}
    return type(row), fields


def differing_fields(layout: Layout, row: Any) -> dict[str, Any]:
    """Return the fields that the networks of a layout have, and a row has otherwise."""
    fields = {key: value for key, value in layout.fields.items() if hasattr(row, key)}
    if not getattr(row, "bottleneck", True):  # basic blocks have no 1x1 convolution to move the stride to
        fields.pop("stride_in", None)
    return {key: value for key, value in fields.items() if getattr(row, key) != value}


def _explain_other_variant(
    source: WeightsSource, layout: Layout, title: str, row: Any, rows: Rows, differing: dict[str, Any]
) -> InputError:
    """Return the error for a layout of another variant, with the row that fits."""
    wanted = describe_graph(replace(row, **differing))
    fitting = [name for name, other in rows.items() if describe_graph(other) == wanted]
    if not fitting:  # more than these fields differ, as between the two Inception v3
        fitting = [
            name
            for name, other in rows.items()
            if type(other) is type(row) and not differing_fields(layout, other) and _share_a_name(name, title)
        ]
    reason = ", ".join(f"{key} {value!r}, not {getattr(row, key)!r}" for key, value in differing.items())
    use = f" {_hint_at_model(fitting[0], source)}." if fitting else ""
    return InputError(
        f"{source.name} does not fit {title}: the names of its tensors are those of {layout.publisher}, whose networks "
        f"differ from {title}: {reason}.{use} {_hint_at_statement(title, source)}"
    )


def _hint_at_model(name: str, source: WeightsSource) -> str:
    """Return how to load the weights into the model that they fit, in Python and on the command line."""
    return f"Use cnnzoo.get({name!r}, weights={source.path!r}) ({name}:{source.path})"


def _hint_at_statement(title: str, source: WeightsSource) -> str:
    """Return how to say that a file is of a network all the same, in Python and on the command line."""
    stated = f"{source.path}#{title}"
    return f"If it is of {title} all the same, say so: weights={stated!r} ({title}:{stated})"


def _share_a_name(name: str, title: str) -> bool:
    """Return whether one of two names of rows is the other with a suffix, as inception_v3_keras."""
    return name.startswith(title) or title.startswith(name)


# ---------------------------------------------------------------- models that users built in Keras


def compare_keras_config(config: dict[str, Any], row: Any) -> str:
    """Return how the activations and pools of a Keras model contradict those of a row, or ""."""
    for what, found, expected in _compared(config, row):
        if found and expected and found != {expected}:
            return f"its {what} are {', '.join(sorted(found))}, and those of this network are {expected}"
    return ""


def _compared(config: dict[str, Any], row: Any) -> list[tuple[str, set[str], str]]:
    """Return what is compared: the kinds in the configuration, and the row's."""
    layers = _list_layers(config)
    # The last activation makes probabilities of logits.
    named = {layer["config"].get("activation") for layer in layers[:-1]}
    activations = {name.lower() for name in named if isinstance(name, str)} - {"linear", "softmax"}
    activations |= {"relu" for layer in layers if layer["class_name"] == "ReLU"}
    kinds = {"MaxPooling2D": "max", "AveragePooling2D": "average"}
    pools = {kinds[layer["class_name"]] for layer in layers if layer["class_name"] in kinds}
    activation, pool = (str(getattr(row, key, "")) for key in ("activation", "pool"))
    return [("activations", activations, activation), ("pools", pools, pool if pool in kinds.values() else "")]


def _list_layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the configurations of the layers of a model; a Sequential of Keras before 2.3 is a list of them."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    valid = layers if isinstance(layers, list) else []
    return [
        layer
        for layer in valid
        if isinstance(layer, dict)
        and isinstance(layer.get("config"), dict)
        and isinstance(layer.get("class_name"), str)
    ]


def _find_by_config(config: dict[str, Any], row: Any, rows: Rows) -> str:
    """Return the row of the same family and size whose activations and pools are those of a Keras model."""
    sizes = ("filters", "units")
    return next(
        (
            name
            for name, other in rows.items()
            if type(other) is type(row)
            and all(getattr(other, key, None) == getattr(row, key, None) for key in sizes)
            and not compare_keras_config(config, other)
        ),
        "",
    )

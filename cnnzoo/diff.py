"""Compare two variants: their rows, and their graphs layer by layer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from cnnzoo import preprocessing, registry
from cnnzoo.build import get
from cnnzoo.core.tables import align_columns
from cnnzoo.models import Variant
from cnnzoo.surgery import walk

MAX_TABLE_LINES = 8
GENERAL_FIELDS = {field.name for field in fields(Variant)}  # the table at the top shows them
ALWAYS_SHOWN = ("parameters", "multiply-adds", "input", "paper")  # in that table, even if they are the same
# Settings of a layer that do not shape its output.
IGNORED_CONFIG = re.compile(r"name|dtype|trainable|.*_(initializer|regularizer|constraint)")


class LayerSummary(NamedTuple):
    """The properties of a layer that are compared."""

    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]  # the names of the layers that feed it


Graph = dict[str, LayerSummary]  # layers by name, in the order of the graph


def describe_difference(a: str, b: str) -> str:
    """Return text and tables that say how the model `a` differs from `b`.

    Raises InputError for an unknown name.
    """
    info_a, info_b = registry.info(a), registry.info(b)
    if a == b:
        return f"{a} and {b} are the same model."
    parts = [_general_table(info_a, info_b)]
    if info_a.family != info_b.family:
        families = f"{info_a.family} and {info_b.family}"
        return "\n\n".join([*parts, f"They belong to the families {families}, whose layers have little in common."])
    parts.append(_compare_rows(info_a, info_b))
    parts += _compare_graphs(a, b)
    return "\n\n".join(filter(None, parts))


def _general_facts(info: registry.ModelInfo) -> dict[str, str]:
    """Return what every row states, as text."""
    row = info.row
    authors_and_year = re.match(r".*?\b\d{4}\b", row.paper)
    return {
        "parameters": f"{row.params:,}",
        "multiply-adds": f"{row.macs:,}",
        "input": "x".join(map(str, row.input_shape)),
        "paper": authors_and_year[0] if authors_and_year else row.paper or "not stated",
        "smallest": f"{row.min_size}x{row.min_size}",
        "classes": str(row.classes),
        "preprocessing": preprocessing.describe_statistics(row.preprocessing),
        "aux_taps": str(len(row.aux_taps) or "none"),
        "weights": str(len(info.weights) or "none"),
    }


def _general_table(info_a: registry.ModelInfo, info_b: registry.ModelInfo) -> str:
    """Return a table of what every row states; its last lines only if the two differ in them."""
    facts_a, facts_b = _general_facts(info_a), _general_facts(info_b)
    lines = [("", info_a.name, info_b.name)]
    for title, x in facts_a.items():
        y = facts_b[title]
        if title in ALWAYS_SHOWN or x != y:
            lines.append((title, x, "the same" if x == y else y))
    return align_columns(lines)


def _compare_rows(info_a: registry.ModelInfo, info_b: registry.ModelInfo) -> str:
    """Return a table of the family's own fields that differ, with what they mean."""
    rows = info_a.row, info_b.row
    meanings = {field.name: field.metadata.get("says", "") for row in rows for field in fields(row)}
    lines = [("field", info_a.name, info_b.name, "")]
    for name, meaning in meanings.items():
        x, y = (getattr(row, name, None) for row in rows)
        if name not in GENERAL_FIELDS and x != y and (x or y):
            lines.append((name, _format_value(x), _format_value(y), meaning))

    parts = []
    if type(info_a.row) is not type(info_b.row):
        for info in (info_a, info_b):
            design = (type(info.row).__doc__ or "no description").splitlines()[0]
            parts.append(f"{info.name}: {design}")
    if len(lines) > 1:
        parts.append(align_columns(lines))
    return "\n".join(parts)


def _format_value(value: Any) -> str:
    """Return a setting in few words: yes and no, 3 for (3, 3)."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        if any(not isinstance(item, int | float | str) for item in value):
            text = str(value).replace(" ", "")
            return text if len(text) < 30 else f"{len(value)} items"
        if len(set(value)) == 1 and len(value) == 2:
            return _format_value(value[0])
        return "x".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):  # a function, in Keras' configuration
        return str(value.get("config")).rpartition(">")[2]
    return "-" if value is None else str(value)


def _compare_graphs(a: str, b: str) -> list[str]:
    """Return paragraphs: layers that only one model has, shared layers that differ, and layers in another order."""
    graph_a, graph_b = _summarize_layers(a), _summarize_layers(b)
    shared = [name for name in graph_a if name in graph_b]
    parts = [_layers_of_one_model(a, graph_a, graph_b), _layers_of_one_model(b, graph_b, graph_a)]
    if not shared:
        return [*parts, "The two models have no layer name in common."]
    parts.append(_changed_layers(a, b, graph_a, graph_b, shared))
    parts.append(_moved_layers(a, b, graph_a, graph_b, shared))
    return parts if any(parts) else ["Their graphs are the same, layer by layer."]


def _summarize_layers(name: str) -> Graph:
    """Return the layers of a model, auxiliary heads included, without the input and its normalization."""
    model = get(name, aux=bool(registry.info(name).row.aux_taps))
    return {
        layer.name: LayerSummary(
            type(layer).__name__, layer.get_config(), tuple(source.name for source in walk.input_layers(layer))
        )
        for layer in model.layers
        if type(layer).__name__ != "InputLayer" and layer.name != "normalise"
    }


def _changed_layers(a: str, b: str, graph_a: Graph, graph_b: Graph, shared: list[str]) -> str:
    """Return a table of the settings in which layers of the same name differ."""
    names_by_change: dict[tuple[str, str, str], list[str]] = {}
    for name in shared:
        for change in _config_changes(graph_a[name], graph_b[name]):
            names_by_change.setdefault(change, []).append(name)
    if not names_by_change:
        return ""

    kinds = [graph_a[name].kind for name in shared]
    lines = [("", a, b, "where")]
    for change, names in names_by_change.items():
        kind = graph_a[names[0]].kind
        everywhere = len(names) > 3 and len(names) == kinds.count(kind)
        lines.append((*change, f"every {kind} ({len(names)})" if everywhere else abbreviate_layer_names(names)))
    return "\n".join(["Layers of both that differ:", *_truncated_table(lines)])


def _moved_layers(a: str, b: str, graph_a: Graph, graph_b: Graph, shared: list[str]) -> str:
    """Return a sentence about the shared layers that follow different layers, with one example."""
    before_a, before_b = _shared_predecessors(graph_a, graph_b), _shared_predecessors(graph_b, graph_a)
    moved = [name for name in shared if before_a[name] != before_b[name]]
    if not moved:
        return ""
    name = moved[0]
    in_a, in_b = (" and ".join(before[name]) or "the images" for before in (before_a, before_b))
    example = f"{name} follows {in_a} in {a}, {in_b} in {b}"
    return f"Of the {len(shared)} layers that both have, {len(moved)} follow different ones: {example}."


def _shared_predecessors(graph: Graph, other: Graph) -> dict[str, tuple[str, ...]]:
    """Return, for each layer, the layers before it that the other graph has too.

    A layer that the other graph lacks is skipped: what comes before it counts instead.
    """
    predecessors: dict[str, tuple[str, ...]] = {}
    for name, layer in graph.items():
        names: list[str] = []
        for source in layer.inputs:
            names += [source] if source in other else predecessors.get(source, ())
        predecessors[name] = tuple(sorted(set(names) & graph.keys()))
    return predecessors


def _config_changes(layer_a: LayerSummary, layer_b: LayerSummary) -> Iterator[tuple[str, str, str]]:
    """Yield each setting that differs, as (setting, value, other value)."""
    if layer_a.kind != layer_b.kind:
        yield "kind", layer_a.kind, layer_b.kind
        return
    for key, x in layer_a.config.items():
        y = layer_b.config.get(key)
        if x != y and not IGNORED_CONFIG.fullmatch(key):
            yield key.replace("_", " "), _format_value(x), _format_value(y)


def _layers_of_one_model(name: str, graph: Graph, other: Graph) -> str:
    """Return a table of the layers that the other graph lacks, by kind."""
    names_by_kind: dict[str, list[str]] = {}
    for title, layer in graph.items():
        if title not in other:
            names_by_kind.setdefault(layer.kind, []).append(title)
    if not names_by_kind:
        return ""

    kinds = [layer.kind for layer in graph.values()]
    lines = []
    for kind, names in names_by_kind.items():
        where = abbreviate_layer_names(names)
        if len(where) > 60 and len(names) == kinds.count(kind):
            where = "every one"
        lines.append((str(len(names)), kind, where))
    count = sum(map(len, names_by_kind.values()))
    return "\n".join([f"Only {name} has {count} layer{'s' * (count > 1)}:", *_truncated_table(lines)])


def _truncated_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the first lines of a table, indented, and how many more there are."""
    text = [f"  {line}" for line in align_columns(lines).splitlines()]
    if len(text) <= MAX_TABLE_LINES + 1:
        return text
    return [*text[:MAX_TABLE_LINES], f"  and {len(text) - MAX_TABLE_LINES} more lines"]


def abbreviate_layer_names(names: list[str], most: int = 3) -> str:
    """Return layer names in short: up to three as they are, more with ranges for their numbers.

    >>> abbreviate_layer_names(["layer2_0_conv1", "layer3_0_conv1", "layer4_0_conv1", "layer1_0_conv1"])
    'layer[1-4]_0_conv1'
    """
    if len(names) <= most:
        return ", ".join(names)

    # Names that differ in their numbers alone have one shape.
    number = re.compile(r"(?<![x\d])\d+[a-h]?(?=_|$)")  # but not the 3x3 in a name
    numbers_by_shape: dict[str, list[list[str]]] = {}
    for name in names:
        numbers_by_shape.setdefault(number.sub("\0", name), []).append(number.findall(name))

    # Fill the numbers of each shape in as ranges. If not every combination occurs, add how many names there are.
    texts = []
    for shape, numbers in numbers_by_shape.items():
        values = [sorted(set(slot), key=_number_key) for slot in zip(*numbers, strict=True)]
        slots = [*map(_format_range, values), ""]
        text = "".join(f"{piece}{slot}" for piece, slot in zip(shape.split("\0"), slots, strict=True))
        is_complete = math.prod(map(len, values)) == len(numbers)
        texts.append(text if is_complete else f"{text} ({len(numbers)})")
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more patterns" if len(texts) > most else "")


def _number_key(value: str) -> tuple[int, str]:
    """Return the sort key of a number that a letter may follow."""
    return int(re.sub(r"\D", "", value)), value


def _format_range(values: list[str]) -> str:
    """Return one number as it is, a few that do not follow each other as [2,5], others as [first-last]."""
    first, last = values[0], values[-1]
    if len(values) == 1:
        return first
    has_gaps = _number_key(last)[0] - _number_key(first)[0] != len(values) - 1
    return f"[{','.join(values)}]" if has_gaps and len(values) < 5 else f"[{first}-{last}]"

"""How two variants differ: in their rows, and layer by layer in their graphs."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from cnnzoo import preprocessing, registry
from cnnzoo.build import get
from cnnzoo.core.tables import align_columns
from cnnzoo.models import Variant
from cnnzoo.surgery import walk

MAX_TABLE_LINES = 8  # lines of a table
GENERAL_FIELDS = {field.name for field in fields(Variant)}  # the table at the top has them
IGNORED_CONFIG = re.compile(r"name|dtype|trainable|.*_(initializer|regularizer|constraint)")  # what shapes no output
WORDS = {
    "activation": "the activation",
    "aux_dense": "units of an auxiliary head's hidden layer",
    "aux_units": "what an auxiliary head begins with",
    "batch_norm": "batch norm after each convolution",
    "bottleneck": "1x1-3x3-1x1 blocks, else two 3x3",
    "c3_table": "C3 sees only some of the maps of S2",
    "depths": "how deep each stage is",
    "dropout": "the rate of dropout",
    "epsilon": "of batch norm",
    "filters": "maps of the convolutions, or of the stem",
    "gamma": "batch norm has a gamma",
    "groups": "groups of the convolutions",
    "late": "a stage strides in its last block, not its first",
    "linear": "no activation after convolutions",
    "lrn": "local response normalisation",
    "modules": "see the layers",
    "padding": "pixels around the image",
    "pointwise": "the third convolution of a stage is 1x1",
    "pool": "how maps are subsampled",
    "rbf": "distances to fixed codes for a dense output",
    "shortcut": "how a shortcut changes shape",
    "stem": "what comes before the blocks",
    "strided": "the convolution of a bottleneck that strides",
    "symmetric": "strided pools pad all sides alike",
    "units": "units of the dense layers before the last",
    "use_bias": "convolutions have biases",
    "width": "filters of a block's 3x3 in the first stage, per group",
}


class LayerSummary(NamedTuple):
    """What is compared of a layer."""

    kind: str
    config: dict[str, Any]
    sources: tuple[str, ...]  # the layers that feed it


def describe_difference(a: str, b: str) -> str:
    """Words and tables that say how the model `a` differs from `b`; raises InputError for an unknown name."""
    one, other = registry.info(a), registry.info(b)
    if a == b:
        return f"{a} and {b} are one and the same."
    parts = [_general_table(one, other)]
    if one.family != other.family:
        families = f"{one.family} and {other.family}"
        return "\n\n".join([*parts, f"They are of different families, {families}: their layers have little in common."])
    parts.append(_compare_rows(one, other))
    parts += _compare_graphs(a, b)
    return "\n\n".join(filter(None, parts))


def _general_table(one: registry.ModelInfo, other: registry.ModelInfo) -> str:
    def facts(info: registry.ModelInfo) -> tuple[str, ...]:
        row = info.row
        paper = (re.match(r".*?\b\d{4}\b", row.paper) or [row.paper or "not stated"])[0]
        general = f"{row.params:,}", f"{row.macs:,}", "x".join(map(str, row.input_shape)), paper
        statistics, smallest = preprocessing.describe_statistics(row.preprocessing), f"{row.min_size}x{row.min_size}"
        counts = (str(len(found) or "none") for found in (row.aux_taps, info.weights))
        return *general, smallest, str(row.classes), statistics, *counts

    titles = "parameters multiply-adds input paper smallest classes preprocessing aux_taps weights"
    lines = zip(titles.split(), facts(one), facts(other), strict=True)
    shown = [(t, x, "the same" if x == y else y) for i, (t, x, y) in enumerate(lines) if i < 4 or x != y]
    return align_columns([("", one.name, other.name), *shown])


def _compare_rows(one: registry.ModelInfo, other: registry.ModelInfo) -> str:
    """The fields that differ, with what they mean; of designs of one's own too."""
    names = {
        field.name: None for row in (one.row, other.row) for field in fields(row) if field.name not in GENERAL_FIELDS
    }
    pairs = [(name, getattr(one.row, name, None), getattr(other.row, name, None)) for name in names]
    lines = [
        (name, _format_value(x), _format_value(y), WORDS.get(name, "")) for name, x, y in pairs if x != y and (x or y)
    ]
    designs = [f"{i.name}: {(type(i.row).__doc__ or 'no words').splitlines()[0]}" for i in (one, other)]
    parts = designs if type(one.row) is not type(other.row) else []
    if lines:
        parts.append(align_columns([("the row's", one.name, other.name, ""), *lines]))
    return "\n".join(parts)


def _format_value(value: Any) -> str:
    """A setting in few words: yes and no, 3x3 as 3."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        if any(not isinstance(item, int | float | str) for item in value):
            flat = str(value).replace(" ", "")
            return flat if len(flat) < 30 else f"{len(value)} of them"
        if len(set(value)) == 1 and len(value) == 2:
            return _format_value(value[0])
        return "x".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):  # a function, as Keras writes it down
        return str(value.get("config")).rpartition(">")[2]
    return "-" if value is None else str(value)


def _compare_graphs(a: str, b: str) -> list[str]:
    """Paragraphs on the layers that only one has, and on those of both that differ."""
    one, other = _summarize_layers(a), _summarize_layers(b)
    both = [name for name in one if name in other]
    parts = [_layers_of_one_model(a, one, other), _layers_of_one_model(b, other, one)]
    if not both:
        return [*parts, "No layer of the one has the name of a layer of the other."]

    groups: dict[tuple[str, str, str], list[str]] = {}
    for name in both:
        for change in _config_changes(one[name], other[name]):
            groups.setdefault(change, []).append(name)
    kinds = [one[name].kind for name in both]
    lines = []
    for (what, x, y), names in groups.items():
        kind = one[names[0]].kind
        everywhere = len(names) > 3 and len(names) == kinds.count(kind)
        lines.append((what, x, y, f"every {kind} ({len(names)})" if everywhere else abbreviate_names(names)))
    if lines:
        parts.append("\n".join(["Layers of both that differ:", *_truncated_table([("", a, b, "where"), *lines])]))
    kept, others = _shared_predecessors(one, other), _shared_predecessors(other, one)
    moved = [name for name in both if kept[name] != others[name]]
    if moved:
        name = moved[0]
        before = [" and ".join(graph[name]) or "the images" for graph in (kept, others)]
        example = f"{name} follows {before[0]} in {a}, {before[1]} in {b}"
        parts.append(f"Of the {len(both)} layers that both have, {len(moved)} follow different ones: {example}.")
    if not any(parts):
        parts.append("Their graphs are the same, layer by layer.")
    return parts


def _summarize_layers(name: str) -> dict[str, LayerSummary]:
    """The layers of a model by name, auxiliary heads included, without the input and its normalisation."""
    model = get(name, aux=bool(registry.info(name).row.aux_taps))
    found = {}
    for layer in model.layers:
        sources = tuple(source.name for source in walk.input_layers(layer))
        found[layer.name] = LayerSummary(type(layer).__name__, layer.get_config(), sources)
    start = [name for name, layer in found.items() if layer.kind == "InputLayer" or name == "normalise"]
    for name in start:
        del found[name]
    return found


def _shared_predecessors(graph: dict[str, LayerSummary], other: dict[str, LayerSummary]) -> dict[str, tuple[str, ...]]:
    """For each layer those before it that are in the other graph too; an inserted layer is looked through."""
    found: dict[str, tuple[str, ...]] = {}
    for name, layer in graph.items():  # in the order of the graph
        sources: list[str] = []
        for source in layer.sources:
            sources += [source] if source in other else found.get(source, ())
        found[name] = tuple(sorted(set(sources) & graph.keys()))
    return found


def _config_changes(one: LayerSummary, other: LayerSummary) -> Iterable[tuple[str, str, str]]:
    if one.kind != other.kind:
        yield "kind", one.kind, other.kind
        return
    for key, x in one.config.items():
        y = other.config.get(key)
        if x != y and not IGNORED_CONFIG.fullmatch(key):
            yield key.replace("_", " "), _format_value(x), _format_value(y)


def _layers_of_one_model(name: str, graph: dict[str, LayerSummary], other: dict[str, LayerSummary]) -> str:
    """The layers that the other graph lacks, by kind."""
    kinds: dict[str, list[str]] = {}
    for title in (title for title in graph if title not in other):
        kinds.setdefault(graph[title].kind, []).append(title)
    if not kinds:
        return ""
    every = [layer.kind for layer in graph.values()]
    lines = []
    for kind, names in kinds.items():
        where = abbreviate_names(names)
        lines.append(
            (str(len(names)), kind, "every one" if len(where) > 60 and len(names) == every.count(kind) else where)
        )
    count = sum(map(len, kinds.values()))
    return "\n".join([f"Only {name} has {count} layer{'s' * (count > 1)}:", *_truncated_table(lines)])


def _truncated_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """The first lines of a table, indented, and how many there are more."""
    text = [f"  {line}" for line in align_columns(lines).splitlines()]
    return (
        [*text[:MAX_TABLE_LINES], f"  and {len(text) - MAX_TABLE_LINES} lines more"]
        if len(text) > MAX_TABLE_LINES + 1
        else text
    )


def abbreviate_names(names: list[str], most: int = 3) -> str:
    """Names of layers in short: three as they are, more with numbers as ranges, [1-3], and how many they are.

    >>> abbreviate_names(["layer2_0_conv1", "layer3_0_conv1", "layer4_0_conv1", "layer1_0_conv1"])
    'layer[1-4]_0_conv1'
    """
    if len(names) <= most:
        return ", ".join(names)
    number = re.compile(r"(?<![x\d])\d+[a-h]?(?=_|$)")  # but not the 3x3 in a name
    shapes: dict[str, list[list[str]]] = {}
    for name in names:
        shapes.setdefault(number.sub("\0", name), []).append(number.findall(name))
    texts = []
    for shape, found in shapes.items():
        values = [sorted(set(slot), key=_number_key) for slot in zip(*found, strict=True)]
        slots = [*map(_format_range, values), ""]
        text = "".join(f"{piece}{slot}" for piece, slot in zip(shape.split("\0"), slots, strict=True))
        exact = math.prod(map(len, values)) == len(found)
        texts.append(text if exact else f"{text} ({len(found)})")
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} patterns more" if len(texts) > most else "")


def _number_key(value: str) -> tuple[int, str]:
    return int(re.sub(r"\D", "", value)), value


def _format_range(values: list[str]) -> str:
    """One number as it is, a few that do not follow each other as [2,5], more as [first-last]."""
    first, last = values[0], values[-1]
    if len(values) == 1:
        return first
    gaps = _number_key(last)[0] - _number_key(first)[0] != len(values) - 1
    return f"[{','.join(values)}]" if gaps and len(values) < 5 else f"[{first}-{last}]"

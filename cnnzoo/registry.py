"""The one place where a name becomes a model."""

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cnnzoo import build
from cnnzoo import preprocessing as pre
from cnnzoo.cards import Card, attach_card
from cnnzoo.checkpoints import manifest, tensors
from cnnzoo.checkpoints.source import resolve_weights
from cnnzoo.core.errors import InputError, check_class_names, check_image_size, check_integer, unknown_name
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.tables import align_columns
from cnnzoo.models import FAMILIES, Variant

keras = Lazy("keras")
log = logging.getLogger(__name__)

_registered: dict[str, Variant] = {}


@dataclass(frozen=True)
class ModelInfo:
    """What `info` tells of one name; prints itself."""

    name: str
    family: str
    row: Variant
    weights: tuple[manifest.PublishedWeights, ...]

    def __str__(self) -> str:
        row, size = self.row, "x".join(map(str, self.row.input_shape))
        lines = [
            f"{self.name} ({self.family})",
            f"  input          {size}, values 0 to 255; preprocessing inside: "
            f"{pre.describe_statistics(row.preprocessing)}",
            f"  smallest       {row.min_size}x{row.min_size}",
            f"  classes        {row.classes}",
            f"  parameters     {row.params:,} trainable",
            f"  multiply-adds  {row.macs:,}",
            f"  paper          {row.paper or 'not stated'}",
        ]
        if not self.weights:
            return "\n".join([*lines, "  weights        none published yet"])
        titles = "", "weights", "top-1", "top-5", "tested at", "licence", "bytes", "hash", "checked here"
        rows: list[tuple[str, ...]] = [titles]
        for w in self.weights:
            data = w.tag.partition(".")[0]
            default = w.include_top and manifest.find_weights(self.name, data) is w
            accuracies = [f"{accuracy:.2f} %" if accuracy else "" for accuracy in (w.top1, w.top5)]
            accuracies[0] = accuracies[0] or ("not stated" if w.include_top else "no head")
            licence = f"{w.license}{'' if w.commercial else ' (not commercial)'}" if w.license else "not stated"
            known = f"{w.bytes:,}" if w.bytes else "", w.hash.partition(":")[0], "yes" if w.verified else ""
            rows.append(("*" if default else "", w.tag, *accuracies, str(w.input_size), licence, *known))
        return "\n".join([*lines, "", align_columns(rows, right=(2, 3, 4, 6)), "* the default of its data set"])


def register(name: str, row: Variant | None = None) -> Any:
    """Add a row of your own under `name`, by call or as a decorator of a class or function that makes one.

    Raises InputError where the name is taken or the thing is no `cnnzoo.models.Variant`.
    """
    if row is None:

        def decorate(make: Callable[[], Variant]) -> Callable[[], Variant]:
            register(name, make())
            return make

        return decorate
    if not isinstance(row, Variant):
        raise InputError(f"register takes a cnnzoo.models.Variant. Received: {row!r}")
    if name in _all_rows():
        raise InputError(f"The name {name!r} is taken; names are unique")
    _registered[name] = row
    return row


def registered_rows() -> dict[str, Variant]:
    """The rows that this process has registered, by name."""
    return dict(_registered)


@cache
def _plugin_rows() -> dict[str, Variant]:
    """Rows of installed packages: entry points of the group cnnzoo.models, each a row or a dict of rows."""
    rows: dict[str, Variant] = {}
    ours = {name for variants in FAMILIES.values() for name in variants}
    for point in entry_points(group="cnnzoo.models"):
        try:
            found = point.load()
            named: dict[str, Any] = found if isinstance(found, dict) else {point.name: found}
            for name, row in named.items():
                if name in ours or name in rows or not isinstance(row, Variant):
                    raise InputError(f"{name!r} is taken or no cnnzoo.models.Variant")
                rows[name] = row
        except Exception as error:  # whatever a plugin does wrong, the other models stay
            warnings.warn(f"The plugin {point.value} was left out: {error}", stacklevel=2)
    return rows


def _all_rows() -> dict[str, tuple[str, Variant]]:
    """Every name with its family and its row."""
    ours = {name: (family, row) for family, variants in FAMILIES.items() for name, row in variants.items()}
    others = _plugin_rows() | _registered
    return ours | {name: (type(row).__name__.lower(), row) for name, row in others.items()}


def list_models(pattern: str = "*", *, family: str | None = None, weights: bool | str | None = None) -> list[str]:
    """Names that match `pattern` (fnmatch), are of `family`, and have weights: any (True), none (False) or a tag."""
    rows = _all_rows()
    families = {its_family for its_family, _ in rows.values()}
    if family is not None and family not in families:
        raise unknown_name("family", family, families)

    def has_weights(name: str) -> bool:
        tags = manifest.list_tags(name)
        if isinstance(weights, str):
            return any(tag == weights or tag.startswith(f"{weights}.") for tag in tags)
        return weights is None or weights == bool(tags)

    return [
        name
        for name, (its_family, _) in rows.items()
        if fnmatchcase(name, pattern) and family in (None, its_family) and has_weights(name)
    ]


def info(name: str) -> ModelInfo:
    """Parameters, multiply-adds, input, paper and published weights of a model."""
    rows = _all_rows()
    if not isinstance(name, str) or name not in rows:
        raise unknown_name("model", name, rows)
    return ModelInfo(name, *rows[name], tuple(row for row in manifest.load_rows() if row.model == name))


def get(
    name: str | Variant,
    *,
    weights: str | Path | None = None,
    classes: int | Sequence[str] | None = None,
    input_shape: Sequence[int | None] | None = None,
    image_size: int | Sequence[int] | None = None,
    include_top: bool = True,
    preprocessing: Any = "auto",
    pooling: str | None = None,
    classifier_activation: str | None = None,
    aux: bool = False,
    licence: str | None = None,
) -> Any:
    """Build a model: images (B, H, W, C) of 0 to 255 to logits (B, classes).

    Args:
        name: a name of `list_models`, or a row of your own (a `cnnzoo.models.Variant`).
        weights: a tag of the manifest ("imagenet" for the best default), the path of a checkpoint (.safetensors, .pth,
            .pt, .th, .h5, .npz or a zipped .h5, whose layout is told by its tensors' names), or None for fresh weights.
        classes: their number, their names, or the name of a list ("imagenet", "cifar10"); the weights' by default.
            Other names than the weights' get a new head; a file that does not name its classes takes as many names.
        input_shape: height, width and, where it differs from the row's, channels.
        image_size: one number or (height, width), in pixels, in the place of `input_shape`.
        include_top: with False the model ends in feature maps (B, h, w, c), or (B, c) under `pooling`.
        preprocessing: "auto" for the weights' own statistics, a name of `preprocessing.STATISTICS`, or (mean, std)
            of pixels scaled to 0..1.
        pooling: None, "avg" or "max", of the feature maps when `include_top` is False.
        classifier_activation: None for logits, "softmax" for probabilities.
        aux: auxiliary heads, for the networks that have them: outputs are then a dict, {"logits", "aux1", ...}.
        licence: "commercial" refuses weights that may not be used commercially or of which nobody states a licence.

    Raises:
        InputError: for anything that is unknown, does not fit or is not allowed.
    """
    row = name if isinstance(name, Variant) else info(name).row
    title = "model" if isinstance(name, Variant) else name
    if aux and not (row.aux_taps and include_top):
        raise InputError(
            f"{title} has no auxiliary heads{'' if include_top else ' without its top'}. Received: aux=True"
        )
    if pooling not in (None, "avg", "max"):
        raise unknown_name("pooling", pooling, ["avg", "max"])
    if licence not in (None, "commercial"):
        raise unknown_name("licence", licence, ["commercial"])
    if image_size is not None:
        if input_shape is not None:
            raise InputError(f"Pass image_size or input_shape, not both. Received: {image_size!r} and {input_shape!r}")
        input_shape = check_image_size(image_size)
    shape = _resolve_input_shape(title, row, input_shape)

    source = resolve_weights(title, weights, licence)
    names = _resolve_class_names(classes, source.classes or tuple(map(str, range(row.classes))))
    if isinstance(preprocessing, str) and preprocessing == "auto":
        preprocessing = row.preprocessing if source.preprocessing is None else source.preprocessing

    pre.resolve_statistics(preprocessing)

    inputs = keras.Input(shape, name="images")
    try:
        features = row.features(pre.normalize(inputs, preprocessing))
        # Loading wants the heads even where the model goes without: strictly, a checkpoint fits the whole network.
        heads = build.build_heads(row, inputs, features, len(names), aux) if include_top or source.tensors else {}
    except ValueError as error:
        why = re.sub(r"\x1b\[\d*m", "", str(error)).strip().split("\n")[0]  # Keras explains at length, in bold
        raise InputError(f"{title} cannot be built with input_shape={shape} and aux={aux}: {why}") from error
    found, dropped, size = build.translate_source(source, inputs, heads)
    if classes is None and size and size != len(names):  # a file that does not name its classes
        names = tuple(map(str, range(size)))
        heads = build.build_heads(row, inputs, features, size, aux)

    try:
        outputs = (
            build.build_outputs(heads, classifier_activation) if include_top else build.pool_features(features, pooling)
        )
    except ValueError as error:
        raise InputError(
            f"{title} cannot be built with classifier_activation={classifier_activation!r}: {error}"
        ) from error
    model = keras.Model(inputs, outputs, name=title)
    card = Card(
        title,
        names if include_top else (),
        preprocessing,
        source.pad,
        source.provenance or None,
        training=source.training,
        ids=source.ids if include_top and names == source.classes else (),
        transform=source.transform,
    )
    if found:
        new_head = names != source.classes if source.classes else len(names) != (size or row.classes)
        droppable = build.droppable_tensors(row, inputs, heads, model, found, aux, new_head)
        receipt = tensors.assign_tensors(model, found, source.name, droppable)
        card = replace(card, receipt=replace(receipt, dropped=(*receipt.dropped, *dropped)))
        log.info("%s, weights %s: %s", title, weights, card.receipt)
    return attach_card(model, card)


def _resolve_class_names(classes: int | Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names from a number or a list; `known` are the weights' own, which an equal number keeps."""
    if classes is None:
        return known
    if isinstance(classes, str):
        return manifest.load_class_names(classes)
    if not isinstance(classes, list | tuple):
        number = check_integer("classes, unless a list of names,", classes, 1, 1_000_000)
        return known if number == len(known) else tuple(map(str, range(number)))
    return check_class_names(classes)


def _resolve_input_shape(title: str, row: Variant, shape: Sequence[int | None] | None) -> tuple[int | None, ...]:
    """The row's input shape, or the one given, checked; (H, W) takes the row's channels."""
    if shape is None:
        return row.input_shape
    sides = tuple(shape) if isinstance(shape, list | tuple) else ()
    full = (*sides, row.input_shape[-1]) if len(sides) == 2 else sides
    if len(full) != 3 or full[2] is None:
        raise InputError(f"input_shape is (height, width, channels). Received: {shape!r}")
    if full[0] in (1, 3) and full[2] >= 16:
        raise InputError(f"input_shape is (height, width, channels): channels come last. Received: {shape!r}")
    height, width = (
        side if side is None else check_integer("a side of input_shape", side, 1, 65_535) for side in full[:2]
    )
    channels = check_integer("the channels of input_shape", full[2], 1, 1024)
    if any(side is not None and side < row.min_size for side in (height, width)):
        raise InputError(f"{title} takes images of {row.min_size}x{row.min_size} at least. Received: {shape}")
    return height, width, channels

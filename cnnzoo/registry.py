"""The names of the models: list them, describe them, add your own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar, overload

from cnnzoo.checkpoints import manifest
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError, suggest_names, unknown_name
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.tables import align_columns
from cnnzoo.core.warn import warn_caller
from cnnzoo.models import FAMILIES, Variant
from cnnzoo.preprocessing import describe_statistics

PLUGIN_GROUP = "cnnzoo.models"  # the group of entry points through which packages add rows
VariantMaker = TypeVar("VariantMaker", bound=Callable[[], Variant])

WEIGHT_TITLES = ("", "weights", "top-1", "top-5", "tested at", "license", "bytes", "hash", "checked here")

_registered: dict[str, Variant] = {}


@dataclass(frozen=True, repr=False)
class ModelInfo(SuggestsAttributes):
    """Facts about a model that are known before it is built; `str` formats it for the terminal.

    Attributes:
        name: the name of the model.
        family: its family, such as `"resnet"`.
        row: its row, a `cnnzoo.models.Variant`.
        weights: its published weights, with their accuracy and license.
    """

    name: str
    family: str
    row: Variant
    weights: tuple[manifest.PublishedWeights, ...]

    def __repr__(self) -> str:
        tags = ", ".join(weights.tag for weights in self.weights[:4]) or "none"
        more = ", ..." if len(self.weights) > 4 else ""
        return f"<ModelInfo {self.name} ({self.family}): {self.row.params:,} parameters, weights: {tags}{more}>"

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.family})", *(f"  {name:<15}{text}" for name, text in self._facts().items())]
        if not self.weights:
            return "\n".join([*lines, "  weights        none published yet"])
        table = align_columns([WEIGHT_TITLES, *map(self._describe_weights, self.weights)], right=(2, 3, 4, 6))
        return "\n".join([*lines, "", table, "* the default of its data set"])

    def _repr_html_(self) -> str:
        """Return the facts and the weights for a notebook."""
        shown = slice(0, WEIGHT_TITLES.index("bytes"))
        rows = [self._describe_weights(weights)[shown] for weights in self.weights]
        table = [(tag, *cells, "default" if mark else "") for mark, tag, *cells in rows]
        weights = NotebookTable("Published weights", (*WEIGHT_TITLES[shown][1:], ""), table)
        note = [] if self.weights else ["No weights are published yet."]
        return render_notebook(f"{self.name} ({self.family})", facts=self._facts(), tables=[weights], notes=note)

    def _facts(self) -> dict[str, str]:
        """Return the names and values of the facts."""
        row = self.row
        return {
            "input": f"{'x'.join(map(str, row.input_shape))}, values 0 to 255; preprocessing inside: "
            f"{describe_statistics(row.preprocessing)}",
            "smallest": f"{row.min_size}x{row.min_size}",
            "classes": str(row.classes),
            "parameters": f"{row.params:,} trainable",
            "multiply-adds": f"{row.macs:,}",
            "paper": row.paper or "not stated",
        }

    def _describe_weights(self, weights: manifest.PublishedWeights) -> tuple[str, ...]:
        """Return the cells of one line of the table of weights."""
        data_set = weights.tag.partition(".")[0]
        is_default = weights.include_top and manifest.find_weights(self.name, data_set) is weights
        no_accuracy = "not stated" if weights.include_top else "no head"
        not_commercial = "" if weights.commercial else " (not commercial)"
        return (
            "*" if is_default else "",
            weights.tag,
            f"{weights.top1:.2f} %" if weights.top1 else no_accuracy,
            f"{weights.top5:.2f} %" if weights.top5 else "",
            str(weights.input_size),
            f"{weights.license}{not_commercial}" if weights.license else "not stated",
            f"{weights.bytes:,}" if weights.bytes else "",
            weights.hash.partition(":")[0],
            "yes" if weights.verified else "",
        )


@overload
def register(name: str, row: Variant) -> Variant: ...
@overload
def register(name: str) -> Callable[[VariantMaker], VariantMaker]: ...
@check_arguments()
def register(name: str, row: Variant | None = None) -> Variant | Callable[[VariantMaker], VariantMaker]:
    """Add a model of your own under `name`.

    Args:
        name: a name that no model has yet.
        row: a `cnnzoo.models.Variant`. Without it, `register` is a decorator for a function that returns one.

    Returns:
        The row; or, without a row, the decorator.

    Raises:
        InputError: if the name is taken, or if `row` is not a `cnnzoo.models.Variant`.

    Example:
        >>> from dataclasses import replace
        >>> @cnnzoo.register("lenet5_elu")
        ... def lenet5_elu():
        ...     return replace(cnnzoo.info("lenet5").row, activation="elu")
        >>> "lenet5_elu" in cnnzoo.list_models("lenet*")
        True
    """
    if not isinstance(name, str):
        raise InputError(f"register takes the name of the new model first. Received: {name!r:.100}")
    if row is None:

        def decorate(make: VariantMaker) -> VariantMaker:
            register(name, make())
            return make

        return decorate
    if not isinstance(row, Variant):
        raise InputError(f"register takes a cnnzoo.models.Variant. Received: {row!r}")
    if name in _all_variants():
        raise InputError(f"The name {name!r} is already taken")
    _registered[name] = row
    return row


def registered_variants() -> dict[str, Variant]:
    """Return the rows that this process has registered, by name."""
    return dict(_registered)


@cache
def _plugin_variants() -> dict[str, Variant]:
    """Return the rows that installed packages add: each entry point is a row, or a dict of rows by name."""
    rows: dict[str, Variant] = {}
    our_names = {name for variants in FAMILIES.values() for name in variants}
    for point in entry_points(group=PLUGIN_GROUP):
        try:
            loaded = point.load()
            plugin_rows = loaded if isinstance(loaded, dict) else {point.name: loaded}
            for name, row in plugin_rows.items():
                if name in our_names or name in rows:
                    raise InputError(f"the name {name!r} is already taken")
                if not isinstance(row, Variant):
                    raise InputError(f"{name!r} is not a cnnzoo.models.Variant")
                rows[name] = row
        except Exception as error:  # a broken plugin must not make the other models unavailable
            warn_caller(f"The plugin {point.value} was ignored: {error}")
    return rows


def _all_variants() -> dict[str, tuple[str, Variant]]:
    """Return every name with its family and its row."""
    rows = {name: (family, row) for family, variants in FAMILIES.items() for name, row in variants.items()}
    for name, row in (_plugin_variants() | _registered).items():
        rows[name] = (type(row).__name__.lower(), row)
    return rows


@check_arguments()
def list_models(pattern: str = "*", *, family: str | None = None, weights: bool | str | None = None) -> list[str]:
    """List the names of the models. This imports neither Keras nor TensorFlow.

    Args:
        pattern: a pattern for the names, in which `*` stands for any characters and `?` for one.
        family: only models of this family, such as `"resnet"`.
        weights: `True` for models with published weights, `False` for those without, or a tag for models that have
            these weights: `"imagenet"`, `"imagenet.tv_v1"`.

    Returns:
        The names, in the order of the families.

    Raises:
        InputError: if there is no such family.

    Example:
        >>> cnnzoo.list_models("vgg1?_bn", weights="imagenet")
        ['vgg11_bn', 'vgg13_bn', 'vgg16_bn', 'vgg19_bn']
    """
    if not isinstance(pattern, str):
        raise InputError(f"pattern must be text, such as 'resnet*'. Received: {pattern!r:.100}")
    rows = _all_variants()
    families = {family_of_row for family_of_row, _ in rows.values()}
    if family is not None and family not in families:
        raise unknown_name("family", family, families)

    def has_weights(name: str) -> bool:
        tags = manifest.list_tags(name)
        if isinstance(weights, str):
            return any(tag == weights or tag.startswith(f"{weights}.") for tag in tags)
        return weights is None or weights == bool(tags)

    return [
        name
        for name, (family_of_row, _) in rows.items()
        if fnmatchcase(name, pattern) and family in (None, family_of_row) and has_weights(name)
    ]


@check_arguments()
def info(name: str) -> ModelInfo:
    """Return what is known about a model, without building it: size, input, paper and published weights.

    Args:
        name: a name from `list_models`.

    Returns:
        A `ModelInfo`; print it for a summary, or read its `row` and `weights`.

    Raises:
        InputError: if there is no such model; the message suggests the nearest names.

    Example:
        >>> print(cnnzoo.info("lenet5"))
        lenet5 (lenet)
          input          32x32x1, values 0 to 255; preprocessing inside: unit
          smallest       16x16
          classes        10
          parameters     61,706 trainable
          ...
        >>> cnnzoo.info("resnet50").row.macs
        4089184256
    """
    rows = _all_variants()
    if not isinstance(name, str) or name not in rows:
        raise _unknown_model(name, rows)
    family, row = rows[name]
    return ModelInfo(
        name, family, row, tuple(weights for weights in manifest.load_published_weights() if weights.model == name)
    )


def _unknown_model(received: object, names: Iterable[str]) -> InputError:
    """Return an InputError for a name that no model has; it names the nearest models, and all of the same family.

    Case, spaces, hyphens and underscores are ignored: "ResNet 18" and "resnet-18" are close to "resnet18".
    """

    def normalize(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name[:200].casefold())

    if not isinstance(received, str):
        return unknown_name("model", received, names, "cnnzoo list")
    base, colon, tag = received.partition(":")
    if colon and base in names:
        return InputError(
            f"{received!r} is a model with weights, and a model alone is needed: {base}. To build it with these "
            f"weights: get({base!r}, weights={tag!r})"
        )
    by_normalized_name = {normalize(name): name for name in names}
    wanted = normalize(base)
    if wanted in by_normalized_name:
        return InputError(f"Unknown model. Did you mean {by_normalized_name[wanted]}? Received: {received!r:.200}")
    matches = difflib.get_close_matches(wanted, by_normalized_name, n=3)
    nearest = [by_normalized_name[match] for match in matches] or suggest_names(received, names)
    stem = re.match("[a-z]*", wanted)[0]  # type: ignore[index]  # matches any text
    members = [name for key, name in by_normalized_name.items() if len(stem) > 2 and key.startswith(stem)]
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    if members:
        shown = ", ".join(members[:12]) + (", ..." if len(members) > 12 else "")
        return InputError(
            f"Unknown model.{hint} Models called {stem}...: {shown}; `cnnzoo list '{stem}*'` shows them. Received: "
            f"{received!r:.200}"
        )
    families = ", ".join(FAMILIES)
    return InputError(
        f"Unknown model.{hint} Allowed: the models of the families {families}; `cnnzoo list` shows all. Received: "
        f"{received!r:.200}"
    )

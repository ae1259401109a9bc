"""The names of the models: list them, describe them, add your own."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from cnnzoo import preprocessing as pre
from cnnzoo.checkpoints import manifest
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.tables import align_columns
from cnnzoo.models import FAMILIES, Variant

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

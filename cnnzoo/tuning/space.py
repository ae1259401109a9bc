"""What a search varies: fields of the recipe, fields of the row, the row itself; and over which values."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.models import Variant
from cnnzoo.registry import info
from cnnzoo.training.recipe import SETTABLE_FIELDS, Recipe

FIELDS_OUTSIDE_GRAPH = (
    "params",
    "macs",
    "paper",
    "min_size",
    "classes",
    "input_shape",
    "preprocessing",
)  # no part of the graph
RANGE_KEYS = ("low", "high", "step", "log")
SIGNIFICANT_DIGITS = 4  # significant ones, of a drawn number


def _log_range(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "log": True}


COMMON_RANGES = {"weight_decay": _log_range(1e-5, 0.1), "label_smoothing": {"low": 0.0, "high": 0.2}}
PHOTO_RANGES = COMMON_RANGES | {"batch_size": [16, 32, 64], "augment": ["none", "gentle", "basic"]}
# By family, of training from scratch; without batch norms high rates end in losses that are no numbers
DEFAULT_SPACES: dict[str, dict[str, Any]] = {
    "lenet": {
        "learning_rate": _log_range(3e-3, 0.3),
        "momentum": {"low": 0.8, "high": 0.97},
        "batch_size": [16, 32, 64, 128],
        "augment": ["none", "shift"],
    }
    | COMMON_RANGES,
    "alexnet": {"learning_rate": _log_range(1e-3, 0.05), "clip": [None, 1.0]} | PHOTO_RANGES,
    "vgg": {"learning_rate": _log_range(1e-3, 0.05), "clip": [None, 1.0]} | PHOTO_RANGES,
    "resnet": {"learning_rate": _log_range(0.01, 0.5)} | PHOTO_RANGES,
    "inception": {"learning_rate": _log_range(3e-3, 0.2)} | PHOTO_RANGES,
}
# Of weights that were trained: the head is solved before, so that the rates are those of the layers below
FINE_TUNING_SPACE: dict[str, Any] = {
    "learning_rate": _log_range(1e-5, 0.02),
    "stage_decay": {"low": 0.2, "high": 1.0},
    "unfreeze_epochs": [0.0, 1.0, 2.0],
    "bn": ["frozen", "train"],
    "augment": ["none", "gentle"],
} | COMMON_RANGES


@dataclass(frozen=True)
class Dimension:
    """One thing that varies: over `values`, or from `low` to `high`."""

    field: str  # of a recipe; "model"; "row.FIELD"
    default: Any
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def labels(self) -> dict[Any, Any] | None:
        """Values by the text that stands for them where they are not all numbers of a kind; Keras Tuner asks for it."""
        if not self.values or any({type(v) for v in self.values} == {kind} for kind in (int, float)):
            return None
        return {str(value): value for value in self.values}

    def declare(self, hp: Any) -> Any:
        """Register with Keras Tuner's HyperParameters; returns the value that they hold."""
        if self.values:
            labels = self.labels
            choices = list(labels or self.values)
            return hp.Choice(self.field, choices, default=str(self.default) if labels else self.default)
        kind = hp.Int if all(isinstance(v, int) for v in (self.low, self.high)) else hp.Float
        sampling = "log" if self.log else "linear"
        within = min(max(self.default, self.low), self.high)  # or Keras Tuner takes the logarithm of 0
        return kind(self.field, self.low, self.high, step=self.step, sampling=sampling, default=within)

    def decode(self, value: Any) -> Any:
        """The value itself, from Keras Tuner's; drawn fractions to a few digits, which a person can read."""
        if labels := self.labels:
            return labels[value]
        if self.values or not isinstance(value, float):
            return value
        return round(value) if isinstance(self.low, int) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


@dataclass(frozen=True)
class Space:
    """The dimensions of a search around a row and a recipe, which are its defaults."""

    model: str | Variant
    recipe: Recipe
    dimensions: tuple[Dimension, ...]

    def hyperparameters(self) -> Any:
        """The space as Keras Tuner's HyperParameters."""
        import keras_tuner

        hp = keras_tuner.HyperParameters()
        for dimension in self.dimensions:
            dimension.declare(hp)
        return hp

    def defaults(self) -> dict[str, Any]:
        """What varies, as it is where nothing does."""
        return {d.field: d.default for d in self.dimensions}

    def decode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial varies, by field; what Keras Tuner keeps for itself ("tuner/epochs", say) is left out."""
        return {d.field: d.decode(values[d.field]) for d in self.dimensions if d.field in values}

    def apply(self, chosen: Mapping[str, Any]) -> tuple[str | Variant, Recipe]:
        """The row and the recipe with the chosen values; raises InputError where they do not go together."""
        model: str | Variant = chosen.get("model", self.model)
        row = {field.removeprefix("row."): value for field, value in chosen.items() if field.startswith("row.")}
        recipe = {field: value for field, value in chosen.items() if field in SETTABLE_FIELDS}
        return _replace_fields(model, row) if row else model, replace(self.recipe, **recipe)

    def facts(self) -> dict[str, Any]:
        """The space for a record, in plain values."""
        return {d.field: list(d.values) or [d.low, d.high, d.step, d.log] for d in self.dimensions}


def make_space(
    model: str | Variant, recipe: Recipe, ranges: Mapping[str, Any] | str | Path | None, weights: bool = False
) -> Space:
    """A space from {field: [values] or {"low", "high", "step", "log"}}, or the TOML file of one, or the family's.

    Raises InputError for fields and values that neither the recipe nor the row could have.
    """
    row = info(model) if isinstance(model, str) else None
    if ranges is None:
        family = row.family if row else type(model).__name__.lower()
        ranges = FINE_TUNING_SPACE if weights else DEFAULT_SPACES.get(family, DEFAULT_SPACES["resnet"])
    elif isinstance(ranges, str | Path):
        ranges = read_toml(ranges)
    if not isinstance(ranges, Mapping) or not ranges or not all(isinstance(field, str) for field in ranges):
        raise InputError(
            f"A space is a mapping from fields to values, or the path of a TOML file. Received: {ranges!r:.200}"
        )
    names = ranges.get("model", [model])
    space = Space(model, recipe, tuple(_make_dimension(model, recipe, *entry, names) for entry in ranges.items()))
    if weights and any(field == "model" or field.startswith("row.") for field in ranges):
        raise InputError(
            "Weights belong to one row: a search from weights varies the recipe only, not model or row fields"
        )
    return space


def read_toml(path: str | Path) -> dict[str, Any]:
    """The table of a TOML file; raises InputError where it is none."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {str(path)!r} as TOML: {error}") from None


def _make_dimension(model: str | Variant, recipe: Recipe, field: str, given: Any, names: Any) -> Dimension:
    """A dimension, each of whose ends or values is tried."""
    default = _default_value(model, recipe, field, names)
    if isinstance(given, Mapping):
        for key in given:
            if key not in RANGE_KEYS:
                raise unknown_name(f"key of the range of {field}", key, RANGE_KEYS)
        numbers = {key: value for key, value in given.items() if key != "log"}
        if not {"low", "high"} <= given.keys() or not all(type(value) in (int, float) for value in numbers.values()):
            raise InputError(
                f"A range has numbers low and high: {field} = {{low = 0.1, high = 1}}. Received: {given!r}"
            )
        low, high, log = given["low"], given["high"], given.get("log", False)
        if not isinstance(log, bool):
            raise InputError(f"log is true or false. Received: {log!r:.200}")
        if any(not abs(value) < 1e300 for value in numbers.values()):
            raise InputError(f"The range of {field} is of finite numbers. Received: {given!r:.200}")
        if isinstance(default, int) and not all(isinstance(value, int) for value in numbers.values()):
            raise InputError(f"{field} is a whole number, and so are low, high and step. Received: {given!r}")
        if not low < high or (log and low <= 0) or given.get("step", 2 if log else 1) <= (1 if log else 0):
            why = "low lies below high, and above 0 where log is true; step is above 0, and above 1 where log is true"
            raise InputError(f"The range of {field} is empty: {why}. Received: {given!r}")
        if given.get("step", 0) > (high / low if log else high - low):
            raise InputError(f"The step of {field} is larger than its range. Received: {given!r}")
        if not isinstance(default, int | float) or isinstance(default, bool):
            raise InputError(
                f"{field} is {default!r} by default, which is no number: give a list of values. Received: {given!r}"
            )
        if isinstance(default, float):
            low, high = float(low), float(high)
        _check_values(model, recipe, field, (low, high))
        return Dimension(field, default, (), low, high, given.get("step"), log)
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"{field} takes a list of values or a range with low and high. Received: {given!r:.200}")
    values = tuple(map(_to_tuples, given))
    _check_values(model, recipe, field, values)
    if {type(value) for value in (*values, default)} == {int, float}:
        values, default = tuple(map(float, values)), float(default)
    return Dimension(field, default, tuple(dict.fromkeys((default, *values))))


def _check_values(model: str | Variant, recipe: Recipe, field: str, values: Iterable[Any]) -> None:
    """Raise InputError for values that the field could not have."""
    # whether fields go together is for the trials to find
    alone = replace(recipe, epochs=1_000_000, warmup_epochs=0.0, drops=recipe.drops or (0.5,))
    for value in values:
        Space(model, alone, ()).apply({field: value})
        if field == "model":
            info(value)


def _to_tuples(value: Any) -> Any:
    """Lists as tuples, which rows have and which can be looked up."""
    return tuple(map(_to_tuples, value)) if isinstance(value, list | tuple) else value


def _default_value(model: str | Variant, recipe: Recipe, field: str, names: Any) -> Any:
    """What the field is where nothing is varied; raises InputError for unknown fields."""
    if field == "model":
        return model
    if field.startswith("row."):
        name = field.removeprefix("row.")
        for row in (info(each).row if isinstance(each, str) else each for each in [model, *names]):
            allowed = [f"row.{each.name}" for each in fields(row) if each.name not in FIELDS_OUTSIDE_GRAPH]
            if field not in allowed:
                raise unknown_name(f"field of {type(row).__name__}", field, allowed)
        return getattr(info(model).row if isinstance(model, str) else model, name)
    if field not in SETTABLE_FIELDS:
        raise unknown_name("field of a space", field, [*SETTABLE_FIELDS, "model", "row.FIELD"])
    value = getattr(recipe, field)
    fraction = float in (get_type_hints(Recipe)[field], *get_args(get_type_hints(Recipe)[field]))
    return float(value) if fraction and isinstance(value, int) else value


def _replace_fields(model: str | Variant, row: Mapping[str, Any]) -> Variant:
    """The row with other fields."""
    try:
        return replace(info(model).row if isinstance(model, str) else model, **row)
    except (TypeError, ValueError) as error:
        raise InputError(f"The row cannot have {dict(row)}: {error}") from None

"""A search space: which fields of the recipe and of the model vary, and over which values."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from cnnzoo.core.errors import InputError, shorten_repr, unknown_name
from cnnzoo.core.files import MAX_TOML_BYTES, read_bounded
from cnnzoo.core.paths import check_path
from cnnzoo.models import Variant
from cnnzoo.registry import info
from cnnzoo.training.recipe import SETTABLE_FIELDS, Recipe
from cnnzoo.tuning.default_spaces import DEFAULT_SPACES, FINE_TUNING_SPACE

if TYPE_CHECKING:
    import keras_tuner

# Fields of a row that describe it without changing its graph
FIELDS_OUTSIDE_GRAPH = ("params", "macs", "paper", "min_size", "classes", "input_shape", "preprocessing")
RANGE_KEYS = ("low", "high", "step", "log")
SIGNIFICANT_DIGITS = 4  # of a drawn number
ROW_PREFIX = "row."


@dataclass(frozen=True)
class Dimension:
    """A field that varies, over `values` or from `low` to `high`.

    Attributes:
        field: a field of a recipe, "model", or "row.FIELD".
        default: its value in the first trial.
        values: the values to choose from; empty for a range.
        low, high: the ends of a range.
        step: the step of a range: added, or multiplied by if `log`.
        log: whether a range is sampled on a logarithmic scale.
    """

    field: str
    default: Any
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def labels(self) -> dict[str, Any] | None:
        """The values by their text, or None if they are all integers or all floats.

        Keras Tuner only accepts choices of one type, so mixed values are passed to it as text.
        """
        types = {type(value) for value in self.values}
        if not self.values or types in ({int}, {float}):
            return None
        return {str(value): value for value in self.values}

    def declare(self, hp: "keras_tuner.HyperParameters") -> Any:
        """Register the field with Keras Tuner's HyperParameters and return the value that they hold."""
        if self.values:
            if labels := self.labels:
                return hp.Choice(self.field, list(labels), default=str(self.default))
            return hp.Choice(self.field, list(self.values), default=self.default)
        is_integer = all(isinstance(value, int) for value in (self.low, self.high))
        register = hp.Int if is_integer else hp.Float
        sampling = "log" if self.log else "linear"
        # A default outside the range would make Keras Tuner take the logarithm of 0.
        default = min(max(self.default, self.low), self.high)
        return register(self.field, self.low, self.high, step=self.step, sampling=sampling, default=default)

    def decode(self, value: Any) -> Any:
        """Return the field's value for a value of Keras Tuner, with drawn floats rounded to a few digits."""
        if labels := self.labels:
            return labels[value]
        if self.values or not isinstance(value, float):
            return value
        return round(value) if isinstance(self.low, int) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


@dataclass(frozen=True)
class Space:
    """The fields that vary, around a model and a recipe, which are the default.

    Attributes:
        model: a name, or a row.
        recipe: the recipe whose fields vary.
        dimensions: the fields that vary.
    """

    model: str | Variant
    recipe: Recipe
    dimensions: tuple[Dimension, ...]

    def hyperparameters(self) -> "keras_tuner.HyperParameters":
        """Return the space as Keras Tuner's HyperParameters."""
        import keras_tuner

        hp = keras_tuner.HyperParameters()
        for dimension in self.dimensions:
            dimension.declare(hp)
        return hp

    def defaults(self) -> dict[str, Any]:
        """Return the default of each varied field."""
        return {dimension.field: dimension.default for dimension in self.dimensions}

    def decode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields' values for those of Keras Tuner, without its own entries such as "tuner/epochs"."""
        return {d.field: d.decode(values[d.field]) for d in self.dimensions if d.field in values}

    def apply(self, chosen: Mapping[str, Any]) -> tuple[str | Variant, Recipe]:
        """Return the model and the recipe with the given values; raise InputError if they do not fit together."""
        model: str | Variant = chosen.get("model", self.model)
        row_fields = {
            field.removeprefix(ROW_PREFIX): value for field, value in chosen.items() if field.startswith(ROW_PREFIX)
        }
        if row_fields:
            model = _replace_fields(model, row_fields)
        recipe_fields = {field: value for field, value in chosen.items() if field in SETTABLE_FIELDS}
        return model, replace(self.recipe, **recipe_fields)

    def describe(self) -> dict[str, Any]:
        """Return the space as plain values, for the record of a search."""
        return {d.field: list(d.values) or [d.low, d.high, d.step, d.log] for d in self.dimensions}


def make_space(
    model: str | Variant, recipe: Recipe, ranges: Mapping[str, Any] | str | Path | None, weights: bool = False
) -> Space:
    """Return the search space around a model and a recipe.

    Args:
        model: a name, or a row.
        recipe: the default recipe.
        ranges: {field: [values] or {"low", "high", "step", "log"}}, or the path of a TOML file with such a table; None
            for the default of the model's family, or of fine-tuning.
        weights: whether trials start from pretrained weights.

    Raises:
        InputError: if a field is unknown, or the recipe or the model cannot have a value.
    """
    family = info(model).family if isinstance(model, str) else type(model).__name__.lower()
    if ranges is None:
        ranges = FINE_TUNING_SPACE if weights else DEFAULT_SPACES.get(family, DEFAULT_SPACES["resnet"])
    elif isinstance(ranges, str | Path):
        ranges = read_toml(ranges)
    if not isinstance(ranges, Mapping) or not ranges or not all(isinstance(field, str) for field in ranges):
        raise InputError(
            f"A space is a mapping from fields to values, or the path of a TOML file. Received: {ranges!r:.200}"
        )
    models = [model, *ranges.get("model", ())] if isinstance(ranges.get("model", ()), list | tuple) else [model]
    dimensions = tuple(_make_dimension(model, recipe, field, given, models) for field, given in ranges.items())
    if weights and any(field == "model" or field.startswith(ROW_PREFIX) for field in ranges):
        raise InputError(
            "Weights belong to one model: a search from weights varies the recipe only, not model or row fields"
        )
    return Space(model, recipe, dimensions)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the table of a TOML file; raise InputError if it cannot be read."""
    try:
        return tomllib.loads(read_bounded(check_path(path, "the search space"), MAX_TOML_BYTES).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {str(path)!r} as TOML: {error}") from None


def _make_dimension(
    model: str | Variant, recipe: Recipe, field: str, given: Any, models: Sequence[str | Variant]
) -> Dimension:
    """Return the dimension of a field, after trying its values; `models` are those that the search may choose."""
    default = _default_value(model, recipe, field, models)
    if isinstance(given, Mapping):
        _check_range(field, default, given)
        low, high = given["low"], given["high"]
        if isinstance(default, float):
            low, high = float(low), float(high)
        _check_values(model, recipe, field, (low, high))
        return Dimension(field, default, (), low, high, given.get("step"), given.get("log", False))
    if not isinstance(given, list | tuple) or not given:
        raise InputError(
            f"{field} takes a list of values or a range with low and high. Received: {shorten_repr(given)}"
        )
    values = tuple(map(_to_tuples, given))
    _check_values(model, recipe, field, values)
    if {type(value) for value in (*values, default)} == {int, float}:
        values, default = tuple(map(float, values)), float(default)
    return Dimension(field, default, tuple(dict.fromkeys((default, *values))))


def _check_range(field: str, default: Any, given: Mapping[str, Any]) -> None:
    """Raise InputError if `given` is not a range, or not one for a field with this default."""
    for key in given:
        if key not in RANGE_KEYS:
            raise unknown_name(f"key of the range of {field}", key, RANGE_KEYS)
    numbers = {key: value for key, value in given.items() if key != "log"}
    if not {"low", "high"} <= given.keys() or not all(type(value) in (int, float) for value in numbers.values()):
        raise InputError(
            f"A range needs numbers low and high: {field} = {{low = 0.1, high = 1}}. Received: {shorten_repr(given)}"
        )
    low, high, log = given["low"], given["high"], given.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"log must be true or false. Received: {log!r:.200}")
    if any(not abs(value) < 1e300 for value in numbers.values()):
        raise InputError(f"The range of {field} must consist of finite numbers. Received: {shorten_repr(given)}")
    if isinstance(default, int) and not all(isinstance(value, int) for value in numbers.values()):
        raise InputError(f"{field} is an integer, so low, high and step must be too. Received: {shorten_repr(given)}")
    if not low < high or (log and low <= 0) or given.get("step", 2 if log else 1) <= (1 if log else 0):
        raise InputError(
            f"The range of {field} is empty: low must be below high, and above 0 if log is true; step must be above 0, "
            f"and above 1 if log is true. Received: {shorten_repr(given)}"
        )
    if given.get("step", 0) > (high / low if log else high - low):
        raise InputError(f"The step of {field} is larger than its range. Received: {shorten_repr(given)}")
    if not isinstance(default, int | float) or isinstance(default, bool):
        raise InputError(
            f"{field} is {default!r} by default, which is not a number: give a list of values. "
            f"Received: {shorten_repr(given)}"
        )


def _check_values(model: str | Variant, recipe: Recipe, field: str, values: Iterable[Any]) -> None:
    """Raise InputError for values that the field cannot have."""
    # Try each field by itself. Whether several fields fit together only shows in the trials.
    lenient = replace(recipe, epochs=1_000_000, warmup_epochs=0.0, drops=recipe.drops or (0.5,))
    for value in values:
        Space(model, lenient, ()).apply({field: value})
        if field == "model":
            info(value)


def _to_tuples(value: Any) -> Any:
    """Return nested lists as tuples, as rows hold them and dictionaries accept them."""
    return tuple(map(_to_tuples, value)) if isinstance(value, list | tuple) else value


def _default_value(model: str | Variant, recipe: Recipe, field: str, models: Sequence[str | Variant]) -> Any:
    """Return a field's value in `model` and `recipe`; raise InputError if the field is unknown to one of `models`."""
    if field == "model":
        return model
    if field.startswith(ROW_PREFIX):
        for row in map(_row, models):
            allowed = [f"{ROW_PREFIX}{each.name}" for each in fields(row) if each.name not in FIELDS_OUTSIDE_GRAPH]
            if field not in allowed:
                raise unknown_name(f"field of {type(row).__name__}", field, allowed)
        return getattr(_row(model), field.removeprefix(ROW_PREFIX))
    if field not in SETTABLE_FIELDS:
        raise unknown_name("field of a space", field, [*SETTABLE_FIELDS, "model", "row.FIELD"])
    value = getattr(recipe, field)
    type_hint = get_type_hints(Recipe)[field]
    accepts_float = float in (type_hint, *get_args(type_hint))
    return float(value) if accepts_float and isinstance(value, int) else value


def _row(model: str | Variant) -> Variant:
    return info(model).row if isinstance(model, str) else model


def _replace_fields(model: str | Variant, row_fields: Mapping[str, Any]) -> Variant:
    """Return the row of a model with other fields."""
    try:
        return replace(_row(model), **row_fields)
    except (TypeError, ValueError) as error:
        raise InputError(f"The model cannot have {dict(row_fields)}: {error}") from None

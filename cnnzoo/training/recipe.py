"""The fields of a recipe, their ranges, and how the command line sets them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from cnnzoo.core.arguments import check_fields
from cnnzoo.core.attributes import SuggestsAttributes, explain_immutable
from cnnzoo.core.errors import InputError, shorten_repr, unknown_name
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.data.policies import parse_policy


class Interval(NamedTuple):
    """The numbers from `low` to `high`; `closed` says which ends belong to it: "both", "left", "right", "neither"."""

    low: float
    high: float
    closed: str = "both"

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float):
            return False
        above = self.low <= value if self.closed in ("both", "left") else self.low < value
        below = value <= self.high if self.closed in ("both", "right") else value < self.high
        return above and below

    def __str__(self) -> str:
        opening = "[" if self.closed in ("both", "left") else "("
        closing = "]" if self.closed in ("both", "right") else ")"
        return f"{opening}{self.low:,}, {self.high:,}{closing}"


CHOICES = {
    "optimizer": ("sgd", "adamw", "lamb", "lion", "muon"),
    "schedule": ("cosine", "flat_cosine", "linear", "constant", "step"),
    "precision": ("float32", "bfloat16", "float16", "auto"),
    "balance": ("none", "weights", "sampling"),
    "bn": ("train", "frozen"),
    "keep": ("best", "last"),
}
RANGES = {  # None, where a field allows it, is not checked
    "epochs": Interval(1, 1_000_000),
    "batch_size": Interval(1, 1_000_000),
    "learning_rate": Interval(0, math.inf, "neither"),
    "momentum": Interval(0, 1, "left"),
    "weight_decay": Interval(0, math.inf, "left"),
    "clip": Interval(0, math.inf, "neither"),
    "drop": Interval(0, 1, "neither"),
    "flat": Interval(0, 1, "left"),
    "bn_momentum": Interval(0, 1, "left"),
    "label_smoothing": Interval(0, 1, "left"),
    "ema": Interval(0, 1, "left"),
    "aux_weight": Interval(0, math.inf, "left"),
    "stages": Interval(0, math.inf, "left"),
    "stage_decay": Interval(0, 1, "right"),
    "unfreeze_epochs": Interval(0, math.inf, "left"),
    "patience": Interval(1, math.inf, "left"),
}
# Of fields whose range is open at the top: the first are float32 numbers in the graph, the others count
LARGEST = {
    **dict.fromkeys(("learning_rate", "weight_decay", "clip", "aux_weight", "rubbish"), 3e38),
    **dict.fromkeys(("stages", "unfreeze_epochs", "patience"), 1_000_000),
}
LATER_FIELDS = (
    "keep",
    "flat",
    "bn_momentum",
)  # which recipes of earlier versions lack, so that their runs resume with the default
DESCRIPTIVE_FIELDS = ("source", "cost", "result")  # they describe a recipe and do not change a training


@explain_immutable("cnnzoo.recipe(recipe, {name}=...) returns a changed one")
@check_fields('cnnzoo.recipe("sgd", epochs=10) changes fields of a recipe that comes with the package')
@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe(SuggestsAttributes):
    """The settings of a training. The default is SGD with Nesterov momentum, a linear warm-up, then a cosine to zero.

    `cnnzoo.recipe` returns the recipes that come with the package, with fields changed.

    Attributes:
        epochs: number of epochs.
        batch_size: number of images per step.
        learning_rate: the highest learning rate of the schedule; "auto" runs `lr_find` first and takes its suggestion.
        optimizer: "sgd", "adamw" (Loshchilov, Hutter 2017, arXiv:1711.05101), "lamb" (You et al. 2019,
            arXiv:1904.00962), "lion" (Chen et al. 2023, arXiv:2302.06675) or "muon" (Jordan et al. 2024; scaled as by
            Liu et al. 2025, arXiv:2502.16982, so that the rates of AdamW suit it). Muon makes the updates of the
            kernels of all convolutions but the first orthogonal, and leaves the other variables to Adam.
        momentum: the momentum of SGD and Muon, or the first beta of the others.
        nesterov: whether SGD uses Nesterov momentum.
        weight_decay: decoupled weight decay of kernels only: w -= rate * decay * w. At momentum 0.9, multiply the
            coupled `weight_decay` of PyTorch's SGD by 10 to get the same strength.
        clip: the highest norm of all gradients together; None does not clip.
        schedule: the shape of the learning rate schedule: "cosine", "flat_cosine", "linear", "constant" or "step".
        flat: for "flat_cosine", the share of the run up to which the learning rate stays at its highest, before it
            falls along a cosine (fastai's fit_flat_cos, with the same default).
        drops: for "step", the fractions of the run after which the learning rate falls, such as (0.5, 0.75).
        drop: for "step", the factor by which the learning rate is multiplied at each of `drops`.
        warmup_epochs: number of epochs in which the learning rate rises from 0, at most `epochs`.
        label_smoothing: label smoothing, from 0 on and below 1.
        augment: policies of `cnnzoo.data.policies`, joined by "+", such as "gentle" or "basic+mixup".
        ema: decay of a moving average of the weights, which is then evaluated and kept; 0 keeps no average.
        precision: the precision that layers compute in: "float32", "bfloat16", "float16", or "auto" for the fastest on
            this machine. Variables and logits stay float32.
        balance: "weights" gives rare classes a larger weight in the loss, "sampling" draws all classes equally often.
        aux_weight: weight of the loss of each auxiliary head (0.3 in Szegedy et al. 2014, section 5).
        bn: "frozen" leaves the statistics, gamma and beta of batch norms unchanged; "train" trains them.
        bn_momentum: the momentum of the batch norms' moving statistics in the training: the share of the old value that
            a step keeps. A short training needs a lower one than a long one, such as 0.9 for 150 steps per epoch. None
            keeps that of the network.
        stages: the number of stages before the head that are trained, the last ones first; None trains all.
        stage_decay: the learning rate of a stage, as a fraction of that of the next stage.
        unfreeze_epochs: after this many epochs, one more stage is trained; the last one is trained from the start.
        patience: stop early after this many epochs without improvement; None never stops.
        keep: the epoch whose weights are kept: "best" on validation, or "last", as published recipes and leaderboards
            have it. Without validation images it is the last one.
        rubbish: j in equation 9 of LeCun et al. 1998: adds a rubbish class with the constant logit -j to the loss.
        source: the paper or the experiment that the recipe comes from.
        cost: the duration of a training, measured on two CPU cores.
        result: the accuracy it reached here.

    Raises:
        InputError: if a field has the wrong type or is out of range.

    Example:
        >>> recipe = cnnzoo.Recipe(epochs=10, batch_size=32, learning_rate=0.05)
        >>> recipe.schedule, recipe.momentum
        ('cosine', 0.9)
        >>> cnnzoo.Recipe(epochs=10, batch_size=32, learning_rate=-1)
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.InputError: The recipe field learning_rate must be in (0, inf) or 'auto'. Received: -1
    """

    epochs: int
    batch_size: int
    learning_rate: float | str
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    clip: float | None = None
    schedule: str = "cosine"
    drops: tuple[float, ...] = ()
    drop: float = 0.1
    flat: float = 0.75
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    augment: str = "none"
    ema: float = 0.0
    precision: str = "float32"
    balance: str = "none"
    aux_weight: float = 0.3
    bn: str = "train"
    bn_momentum: float | None = None
    stages: int | None = None
    stage_decay: float = 1.0
    unfreeze_epochs: float = 0.0
    patience: int | None = None
    keep: str = "best"
    rubbish: float | None = None
    source: str = ""
    cost: str = ""
    result: str = ""

    def __post_init__(self) -> None:
        self._check_types()
        parse_policy(self.augment)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown_name(f"{name} of a recipe", getattr(self, name), choices)
        for name, interval in RANGES.items():
            value = getattr(self, name)
            if value is not None and value not in interval and (name, value) != ("learning_rate", "auto"):
                allowed = f"{interval} or 'auto'" if name == "learning_rate" else interval
                raise InputError(f"The recipe field {name} must be in {allowed}. Received: {shorten_repr(value)}")
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not -largest <= value <= largest:
                raise InputError(
                    f"The recipe field {name} must be at most {largest:,}. Received: {shorten_repr(value, 40)}"
                )
        if not 0 <= self.warmup_epochs <= self.epochs:
            received = shorten_repr(self.warmup_epochs)
            raise InputError(
                f"The recipe field warmup_epochs must be in [0, epochs={self.epochs}]. Received: {received}"
            )
        if self.bn == "frozen" and self.bn_momentum is not None:
            raise InputError(
                f"bn='frozen' leaves the statistics of batch norms unchanged, so bn_momentum={self.bn_momentum} has no "
                "meaning. Leave one of them out: bn='train', or bn_momentum=None"
            )
        if self.keep == "last" and self.patience is not None:
            raise InputError(
                f"keep='last' keeps the last epoch, and patience={self.patience} ends a training by its best one. "
                "Leave one of them out: keep='best', or patience=None"
            )
        if self.schedule == "step" and not self.drops:
            raise InputError("The schedule 'step' needs drops, fractions of the run like (0.5, 0.75). Received: none")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.changed_fields().items())
        return f"Recipe({values})"

    def _repr_html_(self) -> str:
        """Return the fields for a notebook, those that differ from the defaults first."""
        changed = self.changed_fields()
        others = [(name, repr(getattr(self, name))) for name in SETTABLE_FIELDS if name not in changed]
        facts = {name: repr(value) for name, value in changed.items()} | {"source": self.source}
        table = NotebookTable(f"{len(others)} fields at their defaults", ("field", "value"), others, folded=True)
        return render_notebook("Recipe", facts=facts, tables=[table])

    def changed_fields(self) -> dict[str, Any]:
        """Return the fields that change a training and differ from their defaults, or have none."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in DESCRIPTIVE_FIELDS and getattr(self, field.name) != field.default
        }

    def unused_fields(self) -> list[str]:
        """Return the fields that have no effect beside the values of the others."""
        has_effect = {
            "nesterov": self.optimizer == "sgd" and self.momentum > 0,
            "drops": self.schedule == "step",
            "drop": self.schedule == "step",
            "flat": self.schedule == "flat_cosine",
            "bn_momentum": self.bn_momentum is not None,
            "rubbish": self.rubbish is not None,
        }
        return [name for name in SETTABLE_FIELDS if not has_effect.get(name, True)]

    def _check_types(self) -> None:
        """Raise `InputError` if a field has the wrong type; turn `drops` into a tuple."""
        for name, expected in _field_types().items():
            value = getattr(self, name)
            if name == "drops":
                if isinstance(value, list | tuple) and all(isinstance(v, int | float) and 0 < v < 1 for v in value):
                    object.__setattr__(self, name, tuple(value))
                    continue
            elif isinstance(value, bool) == (expected is bool) and _has_type(value, expected):
                continue
            hint = {"drops": "fractions of the run between 0 and 1"}.get(name, getattr(expected, "__name__", expected))
            raise InputError(f"The recipe field {name} must be {hint}. Received: {shorten_repr(value)}")


@cache
def _field_types() -> dict[str, Any]:
    """Return the type of every field of `Recipe`."""
    return get_type_hints(Recipe)


def _has_type(value: Any, expected: Any) -> bool:
    """Return whether `value` has the expected type; an int is accepted in place of a float."""
    accepted = expected | int if expected in (float, float | None, float | str) else expected
    return isinstance(value, accepted)


SETTABLE_FIELDS = [field.name for field in fields(Recipe) if field.name not in DESCRIPTIVE_FIELDS]
# What to write for these fields where a recipe is taken, as remedies of `check_arguments`
OF_RECIPE = {
    name: f"{name} is a field of the recipe: recipe=cnnzoo.recipe({{recipe}}, {name}={{value}})"
    for name in SETTABLE_FIELDS
}


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the fields that texts like "learning_rate=0.05" set, as the command line receives them.

    Values are parsed as Python literals; anything else is a string.

    Args:
        settings: texts of the form field=value.

    Returns:
        The values by field name. Names and ranges are checked when a recipe is made of them.

    Raises:
        InputError: if a text contains no "=".

    Example:
        >>> from cnnzoo.training.recipe import parse_settings
        >>> parse_settings(["learning_rate=0.05", "augment=shift"])
        {'learning_rate': 0.05, 'augment': 'shift'}
    """
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(
                f"A setting must have the form field=value, such as learning_rate=0.05. Received: {setting!r:.200}"
            )
        try:
            values[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, OverflowError):
            values[name.strip()] = text.strip()
    return values

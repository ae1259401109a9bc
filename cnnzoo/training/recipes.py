"""Recipes: how to train, as rows of data that cite their source and state what they reached."""

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from cnnzoo import augmentation
from cnnzoo.errors import InputError, unknown


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with momentum, a linear warm-up, then a cosine to zero."""

    epochs: int
    batch_size: int
    learning_rate: float  # at the top of the schedule
    momentum: float = 0.9
    nesterov: bool = True
    # of kernels only, and decoupled: w -= rate * decay * w, at momentum 0.9 a tenth as strong as torch's coupled one
    weight_decay: float = 0.0
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    augment: str = "none"  # policies of augmentation.POLICIES, joined by "+"
    rubbish: float | None = None  # j of LeCun et al. 1998, equation 9: a class of no class, whose logit is -j
    source: str = ""
    cost: str = ""  # measured, on two cores
    result: str = ""  # reached here

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            kinds = kind | int if kind in (float, float | None) else kind  # a whole number will do for a fraction
            if isinstance(value, bool) != (kind is bool) or not isinstance(value, kinds):
                raise InputError(f"The recipe's {name} is {getattr(kind, '__name__', kind)}. Received: {value!r:.200}")
        augmentation.parts(self.augment)
        rules = {
            "epochs": 1 <= self.epochs <= 1_000_000,
            "batch_size": 1 <= self.batch_size <= 1_000_000,
            "learning_rate": 0 < self.learning_rate < math.inf,
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "warmup_epochs": 0 <= self.warmup_epochs <= self.epochs,
            "label_smoothing": 0 <= self.label_smoothing < 1,
        }
        for name, kept in rules.items():
            if not kept:
                raise InputError(f"The recipe's {name} is out of range. Received: {getattr(self, name)}")


RECIPES = {
    "sgd": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=5e-4,
        source="a plain default for small networks",
        cost="10 s on digits",
        result="lenet5 on 360 digits: 96.72 %, mean of five seeds",
    ),
    "digits": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=0.05,
        label_smoothing=0.1,
        augment="shift",
        source="chosen on validation, for LeNets on scikit-learn's digits",
        cost="15 s on digits",
        result="lenet5 on 360 digits: 98.83 %, mean of five seeds",
    ),
    "mnist": Recipe(
        epochs=20,
        batch_size=64,
        learning_rate=0.1,
        augment="shift",
        source="chosen on validation, for LeNets on MNIST",
        cost="3 to 4 minutes on MNIST",
        result="lenet5 on MNIST's test set: 99.18 %",
    ),
    "lenet_1998": Recipe(
        epochs=20,
        batch_size=64,
        learning_rate=0.005,
        weight_decay=0.005,
        rubbish=1.0,
        source="LeCun et al. 1998: equation 9, 20 passes, no distortions; momentum for its second-order steps",
        cost="3 to 4 minutes on MNIST",
        result="lenet5_1998 on MNIST's test set: 98.85 %; with augment=shift 99.09 %",
    ),
}


def find(recipe: str | Recipe, settings: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by name or as it is, with the fields in `settings` replaced; raises InputError for unknown names."""
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise unknown("recipe", recipe, RECIPES)
        recipe = RECIPES[recipe]
    if not isinstance(recipe, Recipe):
        raise InputError(f"recipe is a name ({', '.join(RECIPES)}) or a Recipe. Received: {recipe!r}")
    allowed = [f.name for f in fields(Recipe) if f.name not in ("source", "cost", "result")]
    for name in settings or {}:
        if name not in allowed:
            raise unknown("recipe field", name, allowed)
    return replace(recipe, **settings or {})


def parse(settings: Iterable[str]) -> dict[str, Any]:
    """Fields from texts like "learning_rate=0.05", as the command line gives them."""
    parsed = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"A setting reads field=value, like learning_rate=0.05. Received: {setting!r}")
        try:
            parsed[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            parsed[name.strip()] = text.strip()
    return parsed

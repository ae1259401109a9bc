"""What a recipe can say: every field, its range, and how a text sets it."""

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data import augmentation

CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("cosine", "linear", "constant", "step"),
    "precision": ("float32", "bfloat16", "float16", "auto"),
    "balance": ("none", "weights", "sampling"),
    "bn": ("train", "frozen"),
}
DESCRIPTIVE_FIELDS = ("source", "cost", "result")  # what a recipe says of itself
INFINITY = math.inf


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: by default SGD with Nesterov's momentum, a linear warm-up, then a cosine to zero."""

    epochs: int
    batch_size: int
    learning_rate: float | str  # at the top of the schedule; "auto" takes what `lr_find` suggests
    optimizer: str = "sgd"
    momentum: float = 0.9  # adamw's first beta
    nesterov: bool = True
    # of kernels only, and decoupled: w -= rate * decay * w, at momentum 0.9 a tenth as strong as torch's coupled one
    weight_decay: float = 0.0
    clip: float | None = None  # greatest norm of all gradients together
    schedule: str = "cosine"
    drops: tuple[float, ...] = ()  # "step": the shares of the run after which the rate falls
    drop: float = 0.1  # "step": to which share it falls
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    augment: str = "none"  # policies of augmentation.POLICIES, joined by "+"
    ema: float = 0.0  # decay of a moving average of the weights, which is what is evaluated and kept; 0: none
    precision: str = "float32"  # of the layers' arithmetic; variables and logits stay float32
    balance: str = "none"  # rare classes count more ("weights") or are drawn as often as others ("sampling")
    aux_weight: float = 0.3  # of each auxiliary head's loss: Szegedy et al. 2014, section 5
    bn: str = "train"  # "frozen" leaves batch norms as they are: statistics, gamma and beta
    stages: int | None = None  # how many stages before the head are trained, the last ones first; None: all
    stage_decay: float = 1.0  # a stage's rate, as a share of the next one's
    unfreeze_epochs: float = 0.0  # after which one stage more begins to train, the last one at once
    patience: int | None = None  # epochs without a better one after which training ends
    rubbish: float | None = None  # j of LeCun et al. 1998, equation 9: a class of no class, whose logit is -j
    source: str = ""
    cost: str = ""  # measured, on two cores
    result: str = ""  # reached here

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            if name == "drops":
                if isinstance(value, list | tuple) and all(isinstance(v, int | float) and 0 < v < 1 for v in value):
                    object.__setattr__(self, name, tuple(value))
                    continue
            elif isinstance(value, bool) == (kind is bool) and _has_type(value, kind):
                continue
            hint = {"drops": "shares of the run between 0 and 1"}.get(name, getattr(kind, "__name__", kind))
            raise InputError(f"The recipe's {name} is {hint}. Received: {value!r:.200}")
        augmentation.parse_policy(self.augment)
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown_name(f"{name} of a recipe", getattr(self, name), allowed)
        rate = 1.0 if self.learning_rate == "auto" else self.learning_rate
        rules = {
            "epochs": 1 <= self.epochs <= 1_000_000,
            "batch_size": 1 <= self.batch_size <= 1_000_000,
            "learning_rate": isinstance(rate, int | float) and 0 < rate < INFINITY,
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": 0 <= self.weight_decay < INFINITY,
            "clip": self.clip is None or 0 < self.clip < INFINITY,
            "drop": 0 < self.drop < 1,
            "warmup_epochs": 0 <= self.warmup_epochs <= self.epochs,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "ema": 0 <= self.ema < 1,
            "aux_weight": 0 <= self.aux_weight < INFINITY,
            "stages": self.stages is None or self.stages >= 0,
            "stage_decay": 0 < self.stage_decay <= 1,
            "unfreeze_epochs": 0 <= self.unfreeze_epochs < INFINITY,
            "patience": self.patience is None or self.patience >= 1,
        }
        for name, kept in rules.items():
            if not kept:
                raise InputError(f"The recipe's {name} is out of range. Received: {getattr(self, name)!r}")
        if self.schedule == "step" and not self.drops:
            raise InputError("The schedule 'step' needs drops, shares of the run like (0.5, 0.75). Received: none")


def _has_type(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; a whole number will do for a fraction."""
    kinds = kind | int if kind in (float, float | None, float | str) else kind
    return isinstance(value, kinds)


SETTABLE_FIELDS = [f.name for f in fields(Recipe) if f.name not in DESCRIPTIVE_FIELDS]


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
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

"""The learning-rate range test: how high the rate may go, told by a hundred steps of rising rates."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from cnnzoo.core.errors import InputError, TrainingError, check_integer
from cnnzoo.core.files import atomic_write
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation import figures
from cnnzoo.evaluation.evaluate import check_and_bind, check_not_empty
from cnnzoo.surgery.outputs import as_functional
from cnnzoo.training import prepare, recipes
from cnnzoo.training.optimizer import unwrap_optimizer
from cnnzoo.training.plan import check_sample_weight
from cnnzoo.training.precision import mixed_precision, resolve_precision
from cnnzoo.training.recipes import Recipe

SMOOTHING = 0.9  # of the smoothed loss
DIVERGENCE_FACTOR = 3.0  # times the lowest loss, where the test ends
SUGGESTION_MARGIN = 10.0  # how far below the rate of the lowest loss the suggestion is


@dataclass(frozen=True)
class RateTest:
    """The learning rates of a test, the smoothed loss at each, and the rate to train at."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def __str__(self) -> str:
        lowest = self.rates[int(np.argmin(self.losses))]
        return (
            f"Suggested learning rate: {self.suggestion:.2g}; the loss was lowest, {min(self.losses):.4f}, at "
            f"{lowest:.2g}, of {len(self.rates)} steps from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        )

    def save(self, path: Any) -> None:
        """Draw the curve into a PNG file."""
        if Path(path).suffix.lower() != ".png":
            raise InputError(f"The picture is a .png file. Received: {str(path)!r}")
        with atomic_write(Path(path)) as new:
            new.write_bytes(figures.plot_learning_rates(self.rates, self.losses, self.suggestion))


def lr_find(
    model: Any,
    data: ImageData,
    *,
    recipe: str | Recipe = "sgd",
    seed: int = 0,
    sample_weight: Any = None,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    verbose: bool = True,
) -> RateTest:
    """Train for `steps` batches at rates that rise from `low` to `high`, and put every weight back.

    The suggestion is a tenth of the rate at which the smoothed loss was lowest (after Smith 2015, arXiv:1506.01186).

    Raises:
        InputError: where model, data and recipe do not go together.
        TrainingError: where no rate lowers the loss.
    """
    recipe = recipes.resolve_recipe(recipe)
    plain: dict[str, Any] = {"learning_rate": 1.0, "schedule": "constant", "warmup_epochs": 0.0, "unfreeze_epochs": 0.0}
    recipe = replace(recipe, precision=resolve_precision(recipe.precision), **plain)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not 0 < low < high < math.inf:
        raise InputError(f"Rates rise from low to high, both positive. Received: {low!r} and {high!r}")
    check_integer("steps", steps, 10, 100_000)
    check_integer("seed", seed, 0)
    model = as_functional(model)
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
    check_not_empty(data, "train")
    data = check_and_bind(model, data)
    weights = check_sample_weight(sample_weight, len(data.train))
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    heads = tuple(model.output) if isinstance(model.output, dict) else ()
    how: dict[str, Any] = {"balance": recipe.balance, "weights": weights, "heads": heads}
    batches = Batches(data.train, len(data.classes), recipe.batch_size, seed, recipe.augment, **how)
    batches.advance = True
    every = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    rates: list[float] = []
    losses: list[float] = []
    mean, console = 0.0, Console(stderr=True)
    shown = track(
        every, "Rising learning rates", console=console, transient=True, disable=not (verbose and console.is_terminal)
    )
    try:
        with prepare.frozen_layers(model, recipe), mixed_precision(model, recipe.precision):
            prepare.compile_for_training(model, recipe, len(batches))
            unwrap_optimizer(model.optimizer)._learning_rate = ExponentialRise(low, high, steps)
            for step, rate in enumerate(shown):
                if step and not step % len(batches):
                    batches.on_epoch_end()
                model.reset_metrics()
                loss = float(model.train_on_batch(*batches[step % len(batches)], return_dict=True)["loss"])
                if not math.isfinite(loss):
                    break
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                rates.append(rate)
                losses.append(mean / (1 - SMOOTHING ** (step + 1)))
                if losses[-1] > DIVERGENCE_FACTOR * min(losses):
                    break
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        prepare.recompile_for_saving(model)
    lowest = int(np.argmin(losses)) if losses else 0
    if not lowest:
        raise TrainingError(f"No learning rate from {low:g} to {high:g} lowers the loss; the weights are as before")
    return RateTest(tuple(rates), tuple(losses), float(f"{rates[lowest] / SUGGESTION_MARGIN:.2g}"))


class ExponentialRise(keras.optimizers.schedules.LearningRateSchedule):
    """From `low` to `high` by equal factors."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        super().__init__()
        self.low, self.high, self.steps = low, high, steps

    def __call__(self, step: Any) -> Any:
        return self.low * (self.high / self.low) ** (keras.ops.cast(step, "float32") / (self.steps - 1))

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "steps": self.steps}

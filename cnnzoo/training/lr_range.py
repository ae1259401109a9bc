"""The learning rate range test: train for a hundred steps while the learning rate rises, and record the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import keras
import numpy as np

from cnnzoo.core.charts import Plot
from cnnzoo.core.compilation import use_compilation_cache
from cnnzoo.core.errors import TrainingError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.paths import check_picture_path
from cnnzoo.core.progress import Progress, show_progress
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.surgery.precision import mixed_precision
from cnnzoo.training.optimizer import unwrap_optimizer
from cnnzoo.training.precision import resolve_precision
from cnnzoo.training.prepare import compile_for_training, frozen_layers, recompile_for_saving
from cnnzoo.training.range_figure import plot_range_test
from cnnzoo.training.recipe import Recipe

SMOOTHING = 0.9  # decay of the moving average of the loss
DIVERGENCE_FACTOR = 3.0  # the test ends where the smoothed loss exceeds its lowest value so many times
SUGGESTION_MARGIN = 10.0  # the suggestion is the rate of the lowest loss, divided by this


@dataclass(frozen=True, repr=False)
class RateTest:
    """The result of a learning rate range test, from `lr_find`.

    Attributes:
        rates: the learning rate of each step.
        losses: the smoothed training loss after each step.
        suggestion: the learning rate to train with.

    Example:
        >>> print(cnnzoo.RateTest(rates=(0.01, 0.1, 1.0), losses=(2.3, 1.9, 4.0), suggestion=0.01))
        Suggested learning rate: 0.01. The loss was lowest, 1.9000, at 0.1, in 3 steps from 0.01 to 1
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def __repr__(self) -> str:
        return f"<RateTest: suggested learning rate {self.suggestion:.2g}, from {len(self.rates)} steps>"

    def _repr_html_(self) -> str:
        """Return the curve and the suggestion for a notebook."""
        suggestion, title = f"{self.suggestion:.2g}", "Loss while the learning rate rises"
        high = min(max(self.losses), 2 * max(self.losses[0], min(self.losses)))
        plot = Plot(
            title,
            "learning rate",
            "loss, smoothed",
            x_range=(self.rates[0], self.rates[-1]),
            y_range=(min(0.0, *self.losses), high),
            log_x=True,
        )
        plot.add_line(self.rates, [min(loss, high) for loss in self.losses], "blue")
        plot.add_vertical(self.suggestion, f"suggested: {suggestion}", "orange")
        return render_notebook(
            f"Suggested learning rate: {suggestion}",
            charts=[(plot.to_svg(), "")],
            notes=[str(self), f"To use it: recipe=cnnzoo.recipe(..., learning_rate={suggestion})"],
        )

    def __str__(self) -> str:
        best_rate = self.rates[int(np.argmin(self.losses))]
        return (
            f"Suggested learning rate: {self.suggestion:.2g}. The loss was lowest, {min(self.losses):.4f}, at "
            f"{best_rate:.2g}, in {len(self.rates)} steps from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Draw the loss over the learning rate.

        Args:
            path: a .png file, which is replaced if it exists.

        Raises:
            InputError: if `path` does not end in .png or cannot be written.
        """
        path = check_picture_path(path)
        with atomic_write(path) as new_path:
            new_path.write_bytes(plot_range_test(self.rates, self.losses, self.suggestion))


def run_range_test(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    sample_weight: np.ndarray | None,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    verbose: bool = True,
) -> RateTest:
    """Train `model` for `steps` steps at rates that rise from `low` to `high`, and restore every weight.

    `data` must be bound to the model's size. Everything of the recipe is applied but its learning rate and schedule.

    Raises:
        TrainingError: if no rate lowers the loss.
    """
    use_compilation_cache()
    # A constant schedule, whose rate the rising one replaces
    recipe = replace(
        recipe,
        precision=resolve_precision(recipe.precision),
        learning_rate=1.0,
        schedule="constant",
        warmup_epochs=0.0,
        unfreeze_epochs=0.0,
    )
    batches = Batches(
        data.train,
        len(data.classes),
        recipe.batch_size,
        seed,
        recipe.augment,
        balance=recipe.balance,
        sample_weights=sample_weight,
        heads=tuple(model.output) if isinstance(model.output, dict) else (),
    )
    batches.advance = True  # on_epoch_end begins the next epoch

    # Train at rising rates, then restore the weights
    rates = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    original_values = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    try:
        with frozen_layers(model, recipe), mixed_precision(model, recipe.precision):
            compile_for_training(model, recipe, len(batches))
            unwrap_optimizer(model.optimizer).use_schedule(ExponentialRise(low, high, steps))
            with show_progress("Training at rising learning rates", steps, "steps", verbose) as progress:
                losses = _train_and_smooth_losses(model, batches, rates, progress)
    finally:
        for variable, value in zip(model.variables, original_values, strict=True):
            variable.assign(value)
        recompile_for_saving(model)

    # Stay a factor below the rate of the lowest loss
    best_step = int(np.argmin(losses)) if losses else 0
    if not best_step:
        raise TrainingError(f"No learning rate from {low:g} to {high:g} lowers the loss; the weights are as before")
    suggestion = float(f"{rates[best_step] / SUGGESTION_MARGIN:.2g}")
    return RateTest(tuple(rates[: len(losses)]), tuple(losses), suggestion)


def _train_and_smooth_losses(
    model: keras.Model, batches: Batches, rates: Sequence[float], progress: Progress
) -> list[float]:
    """Train one step per rate; return the smoothed loss after each step, up to where the loss explodes."""
    average, losses = 0.0, list[float]()
    for step, _ in enumerate(progress.track(rates)):
        if step and not step % len(batches):
            batches.on_epoch_end()
        model.reset_metrics()
        loss = float(model.train_on_batch(*batches[step % len(batches)], return_dict=True)["loss"])
        if not math.isfinite(loss):
            break
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        losses.append(average / (1 - SMOOTHING ** (step + 1)))  # corrects the start from 0, as Adam does
        if losses[-1] > DIVERGENCE_FACTOR * min(losses):
            break
    return losses


class ExponentialRise(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from `low` to `high` by the same factor in each of `steps` steps."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        super().__init__()
        self.low, self.high, self.steps = low, high, steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        return self.low * (self.high / self.low) ** (keras.ops.cast(step, "float32") / (self.steps - 1))

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "steps": self.steps}

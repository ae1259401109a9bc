"""Schedules and optimizers, from a recipe: rates that differ from stage to stage, decay of kernels only."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import keras

from cnnzoo.surgery.features import group_layers_by_stage
from cnnzoo.training.recipe import Recipe

ops = keras.ops


class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise over the first steps, then another schedule from its beginning."""

    def __init__(self, steps: int, rate: float, after: Any) -> None:
        super().__init__()
        self.steps, self.rate, self.after = steps, rate, after

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step, "float32") / max(self.steps, 1)
        return ops.where(done < 1, self.rate * done, self.after(ops.maximum(step - self.steps, 0)))

    def get_config(self) -> dict[str, Any]:
        return {"steps": self.steps, "rate": self.rate, "after": self.after}


def make_schedule(recipe: Recipe, steps_per_epoch: int) -> Any:
    """The learning rate of every step, by Keras' schedules."""
    kinds, rate = keras.optimizers.schedules, float(recipe.learning_rate)
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    steps = max(recipe.epochs * steps_per_epoch - warmup, 1)
    if recipe.schedule == "cosine":  # which has a warm-up of its own
        top = {"warmup_target": rate, "warmup_steps": warmup} if warmup else {}
        return kinds.CosineDecay(0.0 if warmup else rate, steps, **top)
    if recipe.schedule == "step":
        ends = [round(share * recipe.epochs * steps_per_epoch) - warmup for share in sorted(recipe.drops)]
        after = kinds.PiecewiseConstantDecay(ends, [rate * recipe.drop**i for i in range(len(ends) + 1)])
    else:
        after = kinds.PolynomialDecay(rate, steps, 0.0 if recipe.schedule == "linear" else rate)
    return LinearWarmup(warmup, rate, after) if warmup else after


@cache
def with_variable_rates(base: type) -> type:
    """A class of Keras' optimizers whose variables have rates of their own."""

    class Paced(base):
        """`shares` are of the rate, `begins` the steps from which each variable is trained, `decays` its weight decay.

        All in the order of the variables that it is built with.
        """

        shares: Sequence[float] = ()
        begins: Sequence[int] = ()
        decays: Sequence[float] = ()

        def update_step(self, gradient, variable, learning_rate):
            i = self._get_variable_index(variable)
            rate = ops.cast(learning_rate, variable.dtype)
            if self.shares[i] != 1:
                rate = rate * self.shares[i]
            if self.begins[i]:
                rate = ops.where(self.iterations < self.begins[i], 0.0, rate)
            if self.decays[i]:
                self.assign(variable, variable - variable * self.decays[i] * rate)
            super().update_step(gradient, variable, rate)

        def finalize_variable_values(self, var_list):
            """Nothing: the loop keeps the best epoch's averages itself, and a run may go on."""

    return Paced


def make_optimizer(model: Any, recipe: Recipe, steps_per_epoch: int) -> Any:
    """The recipe's optimizer, built for the model's trainable variables."""
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    rate, clip = make_schedule(recipe, steps_per_epoch), recipe.clip
    if recipe.optimizer == "adamw":
        made = with_variable_rates(keras.optimizers.Adam)(rate, recipe.momentum, global_clipnorm=clip, **average)
    else:
        made = with_variable_rates(keras.optimizers.SGD)(
            rate, float(recipe.momentum), recipe.nesterov, global_clipnorm=clip, **average
        )
    depth = stage_depths(model)
    variables = model.trainable_variables
    made.shares = [recipe.stage_decay ** depth[id(v)] for v in variables]
    made.begins = [round(recipe.unfreeze_epochs * steps_per_epoch * max(depth[id(v)] - 1, 0)) for v in variables]
    made.decays = [recipe.weight_decay if v.name.endswith("kernel") else 0.0 for v in variables]
    if recipe.precision == "float16":
        made = keras.optimizers.LossScaleOptimizer(made)
    made.build(variables)  # so that its state can be kept and restored before the first step
    for variable, mean in zip(variables, moving_averages(made), strict=False):
        mean.assign(ops.convert_to_numpy(variable).copy())  # Keras begins with zeros until the first step
    return made


def moving_averages(optimizer: Any) -> list[Any]:
    """The moving averages of the trainable variables, in their order; empty where the recipe has none."""
    return getattr(unwrap_optimizer(optimizer), "_model_variables_moving_average", [])


def unwrap_optimizer(optimizer: Any) -> Any:
    """The optimizer that a scale for the loss may be around."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def stage_depths(model: Any) -> dict[int, int]:
    """How many stages before the head each variable is, by its id: 0 is the head, 1 the last stage of maps."""
    groups = group_layers_by_stage(model)
    return {
        id(variable): len(groups) - 1 - i
        for i, group in enumerate(groups)
        for layer in group
        for variable in layer.variables
    }

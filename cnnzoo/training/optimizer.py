"""Learning rate schedules and optimizers from a recipe: rates that differ by stage, weight decay of kernels only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import keras

from cnnzoo.core.errors import InputError
from cnnzoo.surgery.features import group_layers_by_stage
from cnnzoo.training.distribution import assign_value
from cnnzoo.training.recipe import Recipe

ops = keras.ops
# Names in Keras of those whose first argument after the rate is the momentum; weight decay is ours in all optimizers
ADAPTIVE_OPTIMIZERS = {"adamw": "Adam", "lamb": "Lamb", "lion": "Lion"}
MAX_STEP = 2**31 - 1  # that an optimizer can count to


class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from 0 to `rate` over the first `steps` steps, then the schedule `after` from its beginning."""

    def __init__(self, steps: int, rate: float, after: Any) -> None:
        super().__init__()
        self.steps, self.rate, self.after = steps, rate, after

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        progress = ops.cast(step, "float32") / max(self.steps, 1)
        return ops.where(progress < 1, self.rate * progress, self.after(ops.maximum(step - self.steps, 0)))

    def get_config(self) -> dict[str, Any]:
        return {"steps": self.steps, "rate": self.rate, "after": self.after}


class FlatThenCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate `rate` for `flat_steps` steps, then half a cosine that falls to 0 within `cosine_steps`."""

    def __init__(self, flat_steps: int, cosine_steps: int, rate: float) -> None:
        super().__init__()
        self.flat_steps, self.cosine_steps, self.rate = flat_steps, cosine_steps, rate

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        progress = (ops.cast(step, "float32") - self.flat_steps) / max(self.cosine_steps, 1)
        return self.rate * (1 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0))) / 2

    def get_config(self) -> dict[str, Any]:
        return {"flat_steps": self.flat_steps, "cosine_steps": self.cosine_steps, "rate": self.rate}


def make_schedule(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the recipe's learning rate as a function of the step, built from Keras' schedules."""
    schedules, rate = keras.optimizers.schedules, float(recipe.learning_rate)
    total_steps = recipe.epochs * steps_per_epoch
    warmup_steps = round(recipe.warmup_epochs * steps_per_epoch)
    steps = max(total_steps - warmup_steps, 1)
    if recipe.schedule == "cosine":  # Keras' cosine schedule has its own warm-up
        warmup = {"warmup_target": rate, "warmup_steps": warmup_steps} if warmup_steps else {}
        return schedules.CosineDecay(0.0 if warmup_steps else rate, steps, **warmup)
    if recipe.schedule == "step":
        boundaries = [round(share * recipe.epochs * steps_per_epoch) - warmup_steps for share in sorted(recipe.drops)]
        values = [rate * recipe.drop**i for i in range(len(boundaries) + 1)]
        after = schedules.PiecewiseConstantDecay(boundaries, values)
    elif recipe.schedule == "flat_cosine":
        flat_steps = max(round(recipe.flat * total_steps) - warmup_steps, 0)
        after = FlatThenCosine(flat_steps, steps - flat_steps, rate)
    else:
        after = schedules.PolynomialDecay(rate, steps, 0.0 if recipe.schedule == "linear" else rate)
    return LinearWarmup(warmup_steps, rate, after) if warmup_steps else after


@cache
def with_rate_per_variable(base: Any) -> type:
    """Return a subclass of a Keras optimizer class that has a learning rate for each variable."""

    class VariableRates(base):
        """An optimizer with a learning rate, a first step and a weight decay for each variable.

        Attributes:
            rate_shares: the variable's learning rate, as a share of the schedule's.
            first_steps: the step from which the variable is trained.
            decays: the variable's weight decay.

        All are in the order of the variables that the optimizer is built with.

        sums_gradients: whether gradients are those of one replica of TensorFlow, which are to be summed over all.
        """

        rate_shares: Sequence[float] = ()
        first_steps: Sequence[int] = ()
        decays: Sequence[float] = ()
        sums_gradients = True

        @property
        def learning_rate(self) -> Any:
            """The rate of the current step. It cannot be set, because the recipe's schedule gives it."""
            return super().learning_rate

        @learning_rate.setter
        def learning_rate(self, value: Any) -> None:
            raise InputError(
                "A callback sets the learning rate of the optimizer, but the recipe does that, with its schedule. "
                'Leave the callback out, and change the recipe: cnnzoo.recipe(..., learning_rate=0.01, schedule="step")'
            )

        def use_schedule(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
            """Replace the schedule of the learning rate."""
            base.learning_rate.fset(self, schedule)

        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            """Update the variables by the gradients of the whole batch; see Keras."""
            super().apply(sum_over_replicas(grads) if self.sums_gradients else grads, trainable_variables)

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            """Do nothing: Keras would sum over the replicas what each of them has clipped by itself."""
            return grads_and_vars

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Update one variable; see Keras."""
            i = self._get_variable_index(variable)
            rate = ops.cast(learning_rate, variable.dtype)
            if self.rate_shares[i] != 1:
                rate = rate * self.rate_shares[i]
            if self.first_steps[i]:
                rate = ops.where(self.iterations < self.first_steps[i], 0.0, rate)
            if self.decays[i]:
                self.assign(variable, variable - variable * self.decays[i] * rate)
            super().update_step(gradient, variable, rate)

        def finalize_variable_values(self, var_list: Any) -> None:
            """Do nothing: the best epoch's averages are kept by `CheckpointCallback`, and the run may be resumed."""

    return VariableRates


class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions, as matrices (height * width * inputs, filters); Adam for all else.

    Keras' Muon leaves kernels of four dimensions to Adam. Jordan et al. 2024 flatten them, and leave the first layer
    and the classifier to Adam.

    Attributes:
        orthogonalized: ids of the variables that Muon updates.
    """

    orthogonalized: frozenset[int] = frozenset()

    def _should_use_adamw(self, variable: Any) -> bool:
        return id(variable) not in self.orthogonalized

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        """Update a kernel by its momentum, whose singular values are all made about 1."""
        self.assign(m, self.momentum * m + gradient)
        direction = gradient + self.momentum * m
        update = self.zeropower_via_newtonschulz5(ops.reshape(direction, (-1, variable.shape[-1])), self.ns_steps)
        self.assign_sub(variable, ops.reshape(self.lr_adjust(lr * update), variable.shape))


def hidden_kernels(variables: Sequence[Any]) -> list[Any]:
    """Return the kernels of the convolutions but the first one; depthwise kernels are no matrices of inputs."""
    kernels = [v for v in variables if v.name.endswith("kernel") and len(v.shape) == 4]
    return [kernel for kernel in kernels[1:] if min(kernel.shape[2:]) > 1]


def sum_over_replicas(gradients: Sequence[Any]) -> Sequence[Any]:
    """Return the gradients of the whole batch, if several replicas of TensorFlow have those of their shares of it."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    sums = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in gradients if g is not None]))
    return [None if gradient is None else next(sums) for gradient in gradients]


class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Loss scaling that skips a step if the gradients of any replica overflow; Keras looks at those of the first."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update the variables unless a gradient of the whole batch is infinite or NaN; see Keras."""
        self.inner_optimizer.sums_gradients = False
        super().apply(sum_over_replicas(grads), trainable_variables)


def make_optimizer(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer, built for the trainable variables of `model`."""
    # Keras' optimizer
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    rate = make_schedule(recipe, steps_per_epoch)
    clip = None if recipe.clip is None else float(recipe.clip)  # TensorFlow takes no large integers
    if recipe.optimizer in ADAPTIVE_OPTIMIZERS:
        adaptive = with_rate_per_variable(getattr(keras.optimizers, ADAPTIVE_OPTIMIZERS[recipe.optimizer]))
        optimizer = adaptive(rate, recipe.momentum, global_clipnorm=clip, **average)
    elif recipe.optimizer == "muon":
        muon, momentum = with_rate_per_variable(ConvolutionMuon), float(recipe.momentum)
        no_decay = {"weight_decay": None, "adam_weight_decay": None}
        optimizer = muon(rate, momentum, momentum=momentum, global_clipnorm=clip, **no_decay, **average)
        optimizer.orthogonalized = frozenset(map(id, hidden_kernels(model.trainable_variables)))
    else:
        sgd = with_rate_per_variable(keras.optimizers.SGD)
        optimizer = sgd(rate, float(recipe.momentum), recipe.nesterov, global_clipnorm=clip, **average)

    # Rates, first steps and decays of each variable
    depths = stage_depths(model)
    variables = model.trainable_variables
    steps_per_stage = recipe.unfreeze_epochs * steps_per_epoch
    optimizer.rate_shares = [recipe.stage_decay ** depths[id(v)] for v in variables]
    first_steps = [round(steps_per_stage * max(depths[id(v)] - 1, 0)) for v in variables]
    optimizer.first_steps = [min(step, MAX_STEP) for step in first_steps]
    optimizer.decays = [float(recipe.weight_decay) if v.name.endswith("kernel") else 0.0 for v in variables]

    # Build it now, so that its state can be saved and restored before the first step
    if recipe.precision == "float16":
        optimizer = LossScaling(optimizer)
    optimizer.build(variables)
    for variable, mean in zip(variables, moving_averages(optimizer), strict=False):
        assign_value(mean, ops.convert_to_numpy(variable).copy())  # Keras leaves zeros there until the first step
    return optimizer


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Return the moving averages of the trainable variables, in their order; empty if the recipe keeps none."""
    return getattr(unwrap_optimizer(optimizer), "_model_variables_moving_average", [])


def unwrap_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer itself, without a loss-scaling wrapper."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def stage_depths(model: keras.Model) -> dict[int, int]:
    """Return how many stages before the head each variable is, by its id: 0 for the head, 1 for the last stage."""
    stages = group_layers_by_stage(model)
    return {
        id(variable): len(stages) - 1 - i
        for i, layers in enumerate(stages)
        for layer in layers
        for variable in layer.variables
    }

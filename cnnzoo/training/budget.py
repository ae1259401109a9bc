"""A time budget: measure how long an epoch takes, and shorten the schedule to the epochs that fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import keras

from cnnzoo.core.processes import share_value
from cnnzoo.core.text import format_duration
from cnnzoo.data.batches import Batches
from cnnzoo.training.distribution import assign_value, share_of_batch
from cnnzoo.training.recipe import Recipe

TRIAL_SECONDS = 3.0  # of training steps that are measured, and at least two of them
MARGIN = 0.95  # share of the time left that is planned for


class Speed(NamedTuple):
    """How long a network takes: seconds per epoch, with validation, and per image that is predicted."""

    epoch: float
    image: float


def measure_speed(network: keras.Model, batches: Batches, validation_batches: Batches | None) -> Speed:
    """Train and validate a compiled network for a few steps, then restore every weight; return how long it took.

    The network must be compiled again, because its optimizer has counted the steps.
    """
    original_values = [keras.ops.convert_to_numpy(variable).copy() for variable in network.variables]
    try:
        step = _time_calls(
            lambda i: network.train_on_batch(*share_of_batch(network, batches[i % len(batches)])), TRIAL_SECONDS
        )
        measured = batches if validation_batches is None else validation_batches
        measured_step = _time_calls(lambda i: network.test_on_batch(*share_of_batch(network, measured[0])), 0.0)
    finally:
        for variable, value in zip(network.variables, original_values, strict=True):
            assign_value(variable, value)
    image = measured_step / min(measured.batch_size, len(measured.split))
    validation = 0 if validation_batches is None else image * len(validation_batches.split)
    return Speed(step * len(batches) + validation, image)


def _time_calls(call: Callable[[int], Any], seconds: float) -> float:
    """Return the seconds per call, after a first one that compiles, in calls of so many seconds, two at least."""
    call(0)
    started, calls = time.perf_counter(), 0
    while share_value(calls < 2 or time.perf_counter() - started < seconds):
        calls += 1
        call(calls)
    return (time.perf_counter() - started) / calls


def count_epochs(seconds_left: float, speed: Speed, images_afterwards: int) -> int:
    """Return how many epochs fit into the time left, if so many images are predicted after them; 0 if none does."""
    seconds = (seconds_left - estimate_evaluation(speed, images_afterwards)) * MARGIN
    return max(math.floor(seconds / speed.epoch), 0)


def estimate_evaluation(speed: Speed, images: int) -> float:
    """Return the seconds that the evaluation of so many images takes after the epochs."""
    # The model may predict in float32 what was measured in 16 bits.
    return 2 * images * speed.image


def describe_needs(speed: Speed, images_afterwards: int, seconds_before: float) -> str:
    """Return what the time budget of a training is spent on, for a note about a budget that is too short.

    Example:
        >>> from cnnzoo.training.budget import Speed, describe_needs
        >>> describe_needs(Speed(epoch=6.25, image=0.1), 50, 150)
        '2 min were over before the first epoch, an epoch takes 6 s, and the evaluation at the end 10 s'
    """
    before, epoch = format_duration(seconds_before), format_duration(speed.epoch)
    evaluation = format_duration(estimate_evaluation(speed, images_afterwards))
    return (
        f"{before} were over before the first epoch, an epoch takes {epoch}, and the evaluation at the end {evaluation}"
    )


def shorten_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with fewer epochs: the whole schedule, with its warm-up, takes its course in them.

    Example:
        >>> from cnnzoo.training.budget import shorten_recipe
        >>> short = shorten_recipe(cnnzoo.recipe("sgd", epochs=10, warmup_epochs=2), 5)
        >>> short.epochs, short.warmup_epochs
        (5, 1.0)
    """
    share = min(epochs / recipe.epochs, 1)
    return replace(
        recipe,
        epochs=min(epochs, recipe.epochs),
        warmup_epochs=recipe.warmup_epochs * share,
        unfreeze_epochs=recipe.unfreeze_epochs * share,
    )

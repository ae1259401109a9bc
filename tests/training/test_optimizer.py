"""Schedules and optimizers do what the recipe says, variable by variable."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, fit, new_lenet

import cnnzoo
from cnnzoo.training import prepare
from cnnzoo.training.callbacks import averaged_weights, swap_averaged_weights
from cnnzoo.training.optimizer import make_schedule

STEPS = 10  # per epoch
LONG = replace(RECIPE, epochs=10, learning_rate=0.1)


def rates(**fields):
    schedule = make_schedule(replace(LONG, **fields), STEPS)
    return np.array([float(schedule(step)) for step in range(101)])


def test_warmup_is_linear_for_every_schedule():
    for shape in ({}, {"schedule": "linear"}, {"schedule": "constant"}, {"schedule": "step", "drops": (0.5,)}):
        learning_rates = rates(warmup_epochs=2.0, **shape)
        np.testing.assert_allclose(learning_rates[:21], 0.1 * np.arange(21) / 20, atol=1e-7)


def test_the_schedules_by_hand():
    step = np.arange(101)
    np.testing.assert_allclose(rates(warmup_epochs=0.0), 0.05 * (1 + np.cos(np.pi * step / 100)), atol=1e-7)
    np.testing.assert_allclose(rates(warmup_epochs=0.0, schedule="linear"), 0.1 * (1 - step / 100), atol=1e-7)
    np.testing.assert_allclose(rates(warmup_epochs=0.0, schedule="constant"), 0.1, rtol=1e-6)
    falls = rates(warmup_epochs=1.0, schedule="step", drops=(0.75, 0.5), drop=0.2)
    np.testing.assert_allclose(falls[[10, 50, 51, 75, 76, 100]], [0.1, 0.1, 0.02, 0.02, 0.004, 0.004], rtol=1e-6)


def stepped(recipe, steps=1, model=None):
    """A model after steps whose gradients are all ones, and its weights before."""
    model = model or new_lenet()
    prepare.compile_for_training(model, recipe, STEPS)
    before = [v.numpy().copy() for v in model.trainable_variables]
    for _ in range(steps):
        model.optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables])
    return model, before


PLAIN = replace(
    LONG, momentum=0.0, nesterov=False, weight_decay=0.0, schedule="constant", warmup_epochs=0.0, learning_rate=0.5
)


def test_stages_have_rates_of_their_own():
    model, before = stepped(replace(PLAIN, stage_decay=0.5))
    moved = {
        v.path.split("/")[0]: float(np.mean(b - v)) for v, b in zip(model.trainable_variables, before, strict=True)
    }
    expected = {"c1": 0.0625, "c3": 0.125, "c5": 0.25, "f6": 0.25, "output": 0.5}
    assert moved == pytest.approx(expected, rel=1e-5)


def test_stages_unfreeze_one_after_the_other():
    recipe = replace(PLAIN, unfreeze_epochs=0.5)  # of 10 steps
    for steps, moving in ((5, {"output", "c5", "f6"}), (6, {"output", "c5", "f6", "c3"}), (11, None)):
        model, before = stepped(recipe, steps)
        moved = {
            v.path.split("/")[0]
            for v, b in zip(model.trainable_variables, before, strict=True)
            if (v.numpy() != b).any()
        }
        assert moved == (moving or {"output", "c5", "f6", "c3", "c1"})


def test_weight_decay_is_decoupled_for_kernels_only_and_scaled_by_stage():
    model, before = stepped(replace(PLAIN, weight_decay=0.1, stage_decay=0.5))
    for v, b in zip(model.trainable_variables, before, strict=True):
        rate = {"c1": 0.0625, "c3": 0.125, "output": 0.5}.get(v.path.split("/")[0], 0.25)
        decayed = b * (1 - 0.1 * rate) if v.name == "kernel" else b
        np.testing.assert_allclose(v.numpy(), decayed - rate, atol=1e-6)


def test_gradients_are_clipped_together():
    model, before = stepped(replace(PLAIN, clip=0.01))
    length = np.sqrt(sum(np.sum((v - b) ** 2) for v, b in zip(model.trainable_variables, before, strict=True)))
    assert length == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_adamw_is_that_of_keras():
    ours, _ = stepped(replace(PLAIN, optimizer="adamw", momentum=0.9, weight_decay=0.1, learning_rate=0.01), 3)
    theirs = new_lenet()
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(theirs.trainable_variables)
    for _ in range(3):
        optimizer.apply([np.ones(v.shape, "float32") for v in theirs.trainable_variables])
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_average_of_the_weights_by_hand():
    model, before = stepped(replace(PLAIN, ema=0.9), 3)
    averages = [b - 0.5 for b in before]  # after the first step
    for step in (2, 3):
        averages = [0.9 * a + 0.1 * (b - 0.5 * step) for a, b in zip(averages, before, strict=True)]
    for a, b in zip(averaged_weights(model), averages, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    last = model.get_weights()
    swap_averaged_weights(model)
    for a, b in zip(model.get_weights(), averages, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    swap_averaged_weights(model)
    for a, b in zip(model.get_weights(), last, strict=True):
        np.testing.assert_array_equal(a, b)


def test_with_averaging_the_validated_weights_are_kept(data):
    model = new_lenet()
    report = fit(model, data, recipe=replace(RECIPE, ema=0.8, epochs=6))
    validated = cnnzoo.evaluate(model, data, split="validation")
    assert validated.accuracy == pytest.approx(report.history["val_accuracy"][report.best_epoch - 1])


def test_frozen_stages_and_norms_stay_as_they_are(data):
    model = cnnzoo.get("resnet20", classes=3)
    before = {v.path: v.numpy().copy() for v in model.variables}
    fit(model, data, recipe=replace(RECIPE, epochs=1, stages=1, bn="frozen"))
    moved = {path.split("/")[0] for path, value in before.items() if (value != _of(model, path)).any()}
    assert moved <= {layer.name for layer in model.layers if layer.name.startswith(("layer3", "fc"))}
    assert not {name for name in moved if "bn" in name}
    assert {"fc", "layer3_0_conv1"} <= moved
    assert all(layer.trainable for layer in model.layers), "as before"


def _of(model, path):
    return next(v.numpy() for v in model.variables if v.path == path)


def test_early_stopping_keeps_the_best(data):
    """At next to no rate the first epoch is as good as any."""
    report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=40, patience=2, learning_rate=1e-30))
    assert report.best_epoch == 1
    assert len(report.history["loss"]) == 3

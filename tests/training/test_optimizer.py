"""Schedules and optimizers do what the recipe says, variable by variable."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, fit, new_lenet

import cnnzoo
from cnnzoo.training import prepare
from cnnzoo.training.callbacks import averaged_weights, swap_averaged_weights
from cnnzoo.training.optimizer import hidden_kernels, make_schedule

STEPS = 10  # per epoch
LONG = replace(RECIPE, epochs=10, learning_rate=0.1)


def learning_rates(**fields):
    """The learning rate of each of the 100 steps of LONG, and at its end."""
    schedule = make_schedule(replace(LONG, **fields), STEPS)
    return np.array([float(schedule(step)) for step in range(101)])


@pytest.mark.parametrize("schedule", ["cosine", "flat_cosine", "linear", "constant", "step"])
def test_the_rate_warms_up_linearly_whatever_follows(schedule):
    rates = learning_rates(warmup_epochs=2.0, schedule=schedule, drops=(0.5,))
    np.testing.assert_allclose(rates[:21], 0.1 * np.arange(21) / 20, atol=1e-7)


def test_the_cosine_begins_after_the_warmup():
    rates = learning_rates(warmup_epochs=2.0)
    np.testing.assert_allclose(rates[[20, 60, 100]], [0.1, 0.05, 0], atol=1e-7)


def test_the_schedules_by_hand():
    step = np.arange(101)
    np.testing.assert_allclose(learning_rates(warmup_epochs=0.0), 0.05 * (1 + np.cos(np.pi * step / 100)), atol=1e-7)
    np.testing.assert_allclose(learning_rates(warmup_epochs=0.0, schedule="linear"), 0.1 * (1 - step / 100), atol=1e-7)
    np.testing.assert_allclose(learning_rates(warmup_epochs=0.0, schedule="constant"), 0.1, rtol=1e-6)
    flat = learning_rates(warmup_epochs=1.0, schedule="flat_cosine", flat=0.6)
    falling = 0.05 * (1 + np.cos(np.pi * np.arange(41) / 40))
    np.testing.assert_allclose(flat, [*(0.1 * step[:10] / 10), *[0.1] * 50, *falling], atol=1e-7)
    falls = learning_rates(warmup_epochs=1.0, schedule="step", drops=(0.75, 0.5), drop=0.2)
    np.testing.assert_allclose(falls[[10, 50, 51, 75, 76, 100]], [0.1, 0.1, 0.02, 0.02, 0.004, 0.004], rtol=1e-6)


def take_steps(recipe, steps=1):
    """Return a model after steps whose gradients are all ones, and its weights before."""
    model = new_lenet()
    prepare.compile_for_training(model, recipe, STEPS)
    before = [v.numpy().copy() for v in model.trainable_variables]
    for _ in range(steps):
        model.optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables])
    return model, before


PLAIN = replace(
    LONG, momentum=0.0, nesterov=False, weight_decay=0.0, schedule="constant", warmup_epochs=0.0, learning_rate=0.5
)


def test_stages_have_their_own_rates():
    model, before = take_steps(replace(PLAIN, stage_decay=0.5))
    moved = {
        v.path.split("/")[0]: float(np.mean(b - v)) for v, b in zip(model.trainable_variables, before, strict=True)
    }
    expected = {"c1": 0.0625, "c3": 0.125, "c5": 0.25, "f6": 0.25, "output": 0.5}
    assert moved == pytest.approx(expected, rel=1e-5)


def test_stages_begin_one_after_the_other():
    recipe = replace(PLAIN, unfreeze_epochs=0.5)  # of 10 steps
    for steps, moving in ((5, {"output", "c5", "f6"}), (6, {"output", "c5", "f6", "c3"}), (11, None)):
        model, before = take_steps(recipe, steps)
        moved = {
            v.path.split("/")[0]
            for v, b in zip(model.trainable_variables, before, strict=True)
            if (v.numpy() != b).any()
        }
        assert moved == (moving or {"output", "c5", "f6", "c3", "c1"})


def test_decay_is_decoupled_for_kernels_only_and_at_the_rate_of_the_stage():
    model, before = take_steps(replace(PLAIN, weight_decay=0.1, stage_decay=0.5))
    for v, b in zip(model.trainable_variables, before, strict=True):
        rate = {"c1": 0.0625, "c3": 0.125, "output": 0.5}.get(v.path.split("/")[0], 0.25)
        decayed = b * (1 - 0.1 * rate) if v.name == "kernel" else b
        np.testing.assert_allclose(v.numpy(), decayed - rate, atol=1e-6)


def test_gradients_are_clipped_together():
    model, before = take_steps(replace(PLAIN, clip=0.01))
    length = np.sqrt(sum(np.sum((v - b) ** 2) for v, b in zip(model.trainable_variables, before, strict=True)))
    assert length == pytest.approx(0.5 * 0.01, rel=1e-3)


@pytest.mark.parametrize("name", ["AdamW", "Lamb", "Lion"])
def test_adaptive_optimizers_equal_those_of_keras(name):
    recipe = replace(PLAIN, optimizer=name.lower(), momentum=0.9, weight_decay=0.1, learning_rate=0.01)
    ours, _ = take_steps(recipe, 3)
    theirs = new_lenet()
    optimizer = getattr(keras.optimizers, name)(0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(theirs.trainable_variables)
    for _ in range(3):
        optimizer.apply([np.ones(v.shape, "float32") for v in theirs.trainable_variables])
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def orthogonalize(matrix, steps=5):
    """The Newton-Schulz iteration of Jordan et al. 2024, in NumPy."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / np.linalg.norm(x)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_muon_orthogonalizes_the_kernels_of_hidden_convolutions_by_hand():
    rate, momentum, decay = 0.02, 0.9, 0.1
    recipe = replace(PLAIN, optimizer="muon", momentum=momentum, weight_decay=decay, learning_rate=rate)
    model = new_lenet()
    prepare.compile_for_training(model, recipe, STEPS)
    before = {v.path: v.numpy().astype("float64") for v in model.trainable_variables}
    rng = np.random.default_rng(0)
    steps = [{path: rng.normal(size=value.shape) for path, value in before.items()} for _ in range(2)]
    for gradients in steps:
        model.optimizer.apply([gradients[v.path].astype("float32") for v in model.trainable_variables])
    after = {v.path: v.numpy() for v in model.trainable_variables}

    kernel, velocity = before["c3/kernel"], 0
    for gradients in steps:
        gradient = gradients["c3/kernel"]
        velocity = momentum * velocity + gradient
        update = orthogonalize((gradient + momentum * velocity).reshape(-1, kernel.shape[-1]))
        scale = 0.2 * max(update.shape) ** 0.5  # the root mean square of Adam's updates, Liu et al. 2025, section 2.2
        kernel = kernel * (1 - rate * decay) - rate * scale * update.reshape(kernel.shape)
    np.testing.assert_allclose(after["c3/kernel"], kernel, atol=1e-5)
    assert np.linalg.svd(update, compute_uv=False) == pytest.approx(1, abs=0.35)

    adam = new_lenet()
    prepare.compile_for_training(adam, replace(recipe, optimizer="adamw"), STEPS)
    for v in adam.trainable_variables:
        v.assign(before[v.path].astype("float32"))
    for gradients in steps:
        adam.optimizer.apply([gradients[v.path].astype("float32") for v in adam.trainable_variables])
    for v in adam.trainable_variables:
        if v.path != "c3/kernel":  # the first convolution, biases and dense layers
            np.testing.assert_allclose(after[v.path], v.numpy(), atol=1e-6, err_msg=v.path)


def test_muon_leaves_the_first_layer_and_depthwise_kernels_to_adam():
    model = cnnzoo.get("xception", classes=2, image_size=71)
    names = {kernel.path for kernel in hidden_kernels(model.trainable_variables)}
    kernels = [v for v in model.trainable_variables if v.name.endswith("kernel") and len(v.shape) == 4]
    assert kernels[0].path not in names
    assert {v.path for v in kernels[1:]} - names == {v.path for v in kernels if "depthwise" in v.name}
    assert len(names) > 30


def test_the_average_of_the_weights_by_hand():
    model, before = take_steps(replace(PLAIN, ema=0.9), 3)
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


@pytest.mark.slow
def test_the_averaged_weights_are_validated_and_kept(data):
    model = new_lenet()
    report = fit(model, data, recipe=replace(RECIPE, ema=0.8, epochs=6))
    validated = cnnzoo.evaluate(model, data, split="validation")
    assert validated.accuracy == pytest.approx(report.history["val_accuracy"][report.best_epoch - 1])


def test_frozen_stages_and_norms_do_not_change(data):
    inputs = x = keras.Input((12, 12, 1))
    for stage in (1, 2, 3):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"conv{stage}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{stage}")(x)
    outputs = keras.layers.Dense(3, name="fc")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    before = {v.path: v.numpy().copy() for v in model.variables}
    fit(model, data, recipe=replace(RECIPE, epochs=1, stages=1, bn="frozen"))
    changed = {v.path.split("/")[0] for v in model.variables if not np.array_equal(before[v.path], v)}
    assert changed == {"conv3", "fc"}
    assert all(layer.trainable for layer in model.layers), "as before"


@pytest.mark.slow
def test_early_stopping_keeps_the_best(data):
    """At a tiny learning rate the first epoch is as good as any other."""
    report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=40, patience=2, learning_rate=1e-30))
    assert report.best_epoch == 1
    assert len(report.history["loss"]) == 3


def test_batch_norms_have_the_momentum_of_the_recipe_while_they_are_trained(data):
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.BatchNormalization(momentum=0.99)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    recipe = replace(RECIPE, epochs=1, batch_size=36, augment="none", bn_momentum=0.25, keep="last")
    fit(model, data, recipe=recipe)
    mean = (data.train.images / 255).mean(axis=0).ravel()
    np.testing.assert_allclose(model.layers[3].moving_mean, 0.75 * mean, atol=1e-6)
    assert model.layers[3].momentum == 0.99


def test_frozen_batch_norms_have_no_momentum():
    with pytest.raises(cnnzoo.InputError, match="bn='frozen' .* bn_momentum=0.9 has no meaning. .* bn='train'"):
        cnnzoo.recipe("finetune", bn_momentum=0.9)

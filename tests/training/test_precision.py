"""Layers compute in 16 bits while they are trained, and only then."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, fit, new_lenet

import cnnzoo
from cnnzoo.surgery.precision import mixed_precision
from cnnzoo.training import precision, prepare


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_pixels_and_logits_stay_float32(activation):
    model = cnnzoo.get("lenet5", classifier_activation=activation)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1))
    before = model.predict(images, verbose=0)
    with mixed_precision(model, "bfloat16"):
        policies = {layer.name: layer.compute_dtype for layer in model.layers}
        mixed = np.asarray(model(images))
    float32_layers = {name for name, policy in policies.items() if policy == "float32"}
    assert float32_layers - {"images"} == {"normalise", "output"} | ({"predictions"} if activation else set())
    assert mixed.dtype == np.float32
    assert not np.array_equal(mixed, before), "it did compute in 16 bits"
    np.testing.assert_allclose(mixed, before, atol=0.05 * np.abs(before).max())
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


@pytest.mark.slow
def test_training_in_bfloat16_learns_and_leaves_a_float32_model(data, tmp_path):
    model = new_lenet()
    report = fit(model, data, recipe=replace(RECIPE, epochs=8, precision="bfloat16"), run_dir=tmp_path / "run")
    assert report.accuracy > 0.8
    assert {v.dtype for v in model.variables} == {"float32"}
    loaded = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}


@pytest.mark.slow
def test_float16_scales_the_loss(data):
    model = new_lenet()
    recipe = replace(RECIPE, precision="float16")
    with mixed_precision(model, "float16"):
        prepare.compile_for_training(model, recipe, 3)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert float(model.optimizer.scale_loss(1.0)) > 1000
    assert fit(new_lenet(), data, recipe=replace(recipe, epochs=8, ema=0.5)).accuracy > 0.8


def test_auto_is_the_fastest_precision_of_the_machine(monkeypatch):
    assert precision.resolve_precision("float16") == "float16"
    for gpu, flags, expected in ((True, "", "float16"), (False, "avx512_bf16", "bfloat16"), (False, "sse", "float32")):
        monkeypatch.setattr(precision, "has_accelerator", lambda gpu=gpu: gpu)
        monkeypatch.setattr(precision.Path, "read_text", lambda *_, flags=flags, **__: f"flags : fpu {flags}\n")
        assert precision.resolve_precision("auto") == expected


def test_the_layers_of_a_nested_model_are_mixed_too():
    base = cnnzoo.get("lenet5", include_top=False, pooling="avg")
    inputs = keras.Input((32, 32, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(base(inputs)))
    with mixed_precision(model, "bfloat16"):
        assert base.get_layer("c1").compute_dtype == "bfloat16"
        assert base.get_layer("normalise").compute_dtype == "float32"
        assert model.layers[-1].compute_dtype == "float32"
    assert {layer.compute_dtype for layer in base.layers} == {"float32"}

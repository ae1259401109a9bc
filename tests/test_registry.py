"""One name, one model: what `get` promises, over every row."""

import math
from dataclasses import replace
from importlib.metadata import EntryPoint

import keras
import numpy as np
import pytest
from counting import multiply_adds

import cnnzoo
from cnnzoo import registry
from cnnzoo.checkpoints.tensors import named
from cnnzoo.models import FAMILIES, Variant

NAMES = cnnzoo.list_models()


@pytest.fixture
def clean(monkeypatch):
    """Names registered by a test are gone after it."""
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.parametrize("name", NAMES)
def test_the_row_states_its_size(name):
    row, model = cnnzoo.info(name).row, cnnzoo.get(name)
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == row.params
    assert multiply_adds(model) == row.macs
    assert model.input_shape == (None, *row.input_shape)
    assert model.output_shape == (None, row.classes)
    assert model.name == name
    assert row.paper


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_size_is_the_smallest(name):
    row = cnnzoo.info(name).row
    smallest = (row.min_size, row.min_size, row.input_shape[2])
    assert cnnzoo.get(name, input_shape=smallest, include_top=False).output_shape[1] >= 1
    with pytest.raises(cnnzoo.InputError, match=f"{row.min_size}x{row.min_size} at least"):
        cnnzoo.get(name, input_shape=(row.min_size - 1, row.min_size, 3))


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_learns_and_has_a_name_of_its_own(name):
    """No layer hangs loose, no two share initial values, and names do not depend on what was built before."""
    keras.utils.set_random_seed(0)
    model = cnnzoo.get(name)
    names = list(named(model))
    assert names == list(named(cnnzoo.get(name)))
    assert not any("." in layer.name or "/" in layer.name for layer in model.layers)
    kernels = {k: np.asarray(v) for k, v in named(model).items() if k.endswith("kernel") and np.ptp(v) > 0}
    for a, one in kernels.items():
        assert not any(
            a < b and one.shape == other.shape and np.array_equal(one, other) for b, other in kernels.items()
        )
    before = [np.asarray(v) for v in model.trainable_variables]
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]))
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(images, np.arange(4) % model.output_shape[1])
    still = [
        v.path for v, old in zip(model.trainable_variables, before, strict=True) if np.array_equal(np.asarray(v), old)
    ]
    assert not still


@pytest.mark.parametrize("name", NAMES)
def test_fresh_weights_follow_the_seed(name):
    models = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        models.append(cnnzoo.get(name).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*models[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*models[1:], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_without_the_top(name):
    features = cnnzoo.get(name, include_top=False)
    assert len(features.output_shape) == 4
    for pooling in ("avg", "max"):
        pooled = cnnzoo.get(name, include_top=False, pooling=pooling)
        assert pooled.output_shape == (None, features.output_shape[-1])
    assert cnnzoo.card(features).classes == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_keras_file_gives_the_same_outputs(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = cnnzoo.get(name, classes=7)
    path = cnnzoo.save(model, tmp_path / "m.keras")
    again = cnnzoo.load(path)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]), "uint8")
    np.testing.assert_array_equal(again.model.predict(images, verbose=0), model.predict(images, verbose=0))
    assert cnnzoo.card(again.model) == cnnzoo.card(model)


def test_classes_by_number_and_by_name():
    assert cnnzoo.card(cnnzoo.get("lenet5", classes=3)).classes == ("0", "1", "2")
    model = cnnzoo.get("lenet5", classes=["cat", "dog"])
    assert cnnzoo.card(model).classes == ("cat", "dog")
    assert model.output_shape == (None, 2)


def test_softmax_on_request():
    outputs = cnnzoo.get("lenet5", classifier_activation="softmax").predict(np.zeros((2, 32, 32, 1)), verbose=0)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)


def test_other_channels_and_sizes():
    assert cnnzoo.get("lenet5", input_shape=(28, 28)).input_shape == (None, 28, 28, 1)
    assert cnnzoo.get("resnet20", input_shape=(64, 48, 5)).input_shape == (None, 64, 48, 5)
    assert cnnzoo.get("resnet20", input_shape=(None, None, 3)).output_shape == (None, 10)


def test_under_mixed_precision_pixels_are_normalised_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = cnnzoo.get("resnet20")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("normalise").compute_dtype == "float32"
    assert model.get_layer("conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "whole number"),
        ({"classes": 1.5}, "whole number"),
        ({"classes": True}, "whole number"),
        ({"classes": {"a", "b"}}, "whole number"),
        ({"input_shape": "ab"}, r"\(height, width, channels\)"),
        ({"input_shape": (32.5, 32, 1)}, "a side of input_shape"),
        ({"preprocessing": ([np.nan], [1.0])}, "positive std"),
        ({"weights": True}, "weights is a tag"),
        ({"classes": "cats"}, "a list of names"),
        ({"classes": ["a", "a"]}, "list of distinct names"),
        ({"input_shape": (32,)}, r"\(height, width, channels\)"),
        ({"input_shape": (None, None, 1)}, "cannot be built"),
        ({"preprocessing": "troch"}, "Did you mean torch"),
        ({"preprocessing": (0.5, 0.5)}, "pair"),
        ({"preprocessing": ([0.5], [0.0])}, "positive std"),
        ({"pooling": "average", "include_top": False}, "Unknown pooling"),
        ({"weights": "mnits"}, "Did you mean mnist"),
        ({"weights": "nowhere.safetensors"}, "No such file"),
        ({"weights": "model.pth"}, "safetensors"),
        ({"licence": "free"}, "Allowed: commercial"),
        ({"classifier_activation": "softmx"}, "cannot be built.*softmx"),
        ({"aux": True}, "no auxiliary heads"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.get("lenet5", **options)


def test_unknown_names_get_the_nearest():
    with pytest.raises(cnnzoo.InputError, match="Did you mean lenet5.*Received: 'lenet-5'"):
        cnnzoo.get("lenet-5")


def test_listing_and_filters():
    assert cnnzoo.list_models("resnet*") == ["resnet20"]
    assert set(cnnzoo.list_models(family="lenet")) == set(FAMILIES["lenet"])
    assert set(cnnzoo.list_models(weights=True)) == {"lenet5", "lenet5_1998"}
    assert set(cnnzoo.list_models(weights=True)) | set(cnnzoo.list_models(weights=False)) == set(NAMES)
    assert cnnzoo.list_models(weights="digits") == ["lenet5"]
    assert cnnzoo.list_models("vgg*") == []
    with pytest.raises(cnnzoo.InputError, match="Unknown family"):
        cnnzoo.list_models(family="lenets")


def test_info_prints_what_matters():
    text = str(cnnzoo.info("lenet5"))
    assert "61,706" in text
    assert "mnist" in text
    assert "Apache-2.0" in text


def test_rows_of_third_parties(clean):
    row = replace(cnnzoo.info("resnet20").row, depths=(1, 1, 1), params=75_290, macs=12_239_488)
    cnnzoo.register("resnet8_cifar", row)

    @cnnzoo.register("lenet5_elu")
    def elu():
        return replace(cnnzoo.info("lenet5").row, activation="elu")

    for name in ("resnet8_cifar", "lenet5_elu"):
        assert name in cnnzoo.list_models()
        model = cnnzoo.get(name)
        assert sum(math.prod(v.shape) for v in model.trainable_variables) == cnnzoo.info(name).row.params
        assert multiply_adds(model) == cnnzoo.info(name).row.macs
    assert cnnzoo.get(row).output_shape == (None, 10)
    with pytest.raises(cnnzoo.InputError, match="taken"):
        cnnzoo.register("lenet5", row)
    with pytest.raises(cnnzoo.InputError, match=r"takes a cnnzoo\.models\.Variant"):
        cnnzoo.register("other", {"depths": 3})


PLUGIN = replace(FAMILIES["lenet"]["lenet5"], units=(60, 30))
PLUGINS = {"lenet5_slim": PLUGIN, "lenet5_slimmer": replace(PLUGIN, units=(30,))}


def test_rows_of_installed_packages(monkeypatch):
    points = [
        EntryPoint("slim", "test_registry:PLUGINS", "cnnzoo.models"),
        EntryPoint("lenet5_plugged", "test_registry:PLUGIN", "cnnzoo.models"),
        EntryPoint("lenet5", "test_registry:PLUGIN", "cnnzoo.models"),
        EntryPoint("broken", "no_such_module:ROW", "cnnzoo.models"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    registry._plugins.cache_clear()
    try:
        with pytest.warns(UserWarning) as warned:
            names = cnnzoo.list_models()
        assert {"lenet5_slim", "lenet5_slimmer", "lenet5_plugged"} <= set(names)
        assert [str(w.message).split(" was")[0].split()[-1] for w in warned] == [
            "test_registry:PLUGIN",
            "no_such_module:ROW",
        ]
        assert cnnzoo.get("lenet5_slimmer").get_layer("c5").units == 30
        assert cnnzoo.info("lenet5").row.units == (120, 84), "a plugin cannot replace a row of ours"
    finally:
        registry._plugins.cache_clear()


def test_a_family_must_bring_its_graph():
    bare = Variant(params=0, macs=0, paper="none")
    with pytest.raises(TypeError, match="must define features"):
        cnnzoo.get(bare)

"""One name, one model: what `get` promises, over every row."""

import csv
import math
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.counting import count_multiply_adds
from keras.ops import convert_to_numpy as array

import cnnzoo
from cnnzoo import registry
from cnnzoo.checkpoints import manifest
from cnnzoo.checkpoints.tensors import named_variables
from cnnzoo.models import FAMILIES, Variant
from cnnzoo.surgery.features import feature_layer_names

pytestmark = pytest.mark.usefixtures("free_memory")
NAMES = cnnzoo.list_models()


@pytest.fixture
def clean(monkeypatch):
    """Names registered by a test are gone after it."""
    monkeypatch.setattr(registry, "_registered", {})


def shallow(row):
    """The row with at most two blocks a stage, which has all that a deeper one has."""
    return replace(row, depths=tuple(min(depth, 2) for depth in row.depths)) if hasattr(row, "depths") else row


def designs():
    """One name for each graph that differs in more than its depth."""
    names = {}
    for name in NAMES:
        row = replace(shallow(cnnzoo.info(name).row), params=0, macs=0, paper="")
        names.setdefault(repr(row), name)
    return list(names.values())


DESIGNS = designs()


PUBLISHED = {}  # what others count at the same input size, in 1e9 multiply-adds
for line in csv.DictReader((Path(__file__).parent / "data" / "gmacs.csv").read_text().splitlines()):
    PUBLISHED.setdefault(line["model"], {})[line["publisher"]] = float(line["gmacs"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_row_states_its_size(name):
    row, model = cnnzoo.info(name).row, cnnzoo.get(name)
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == row.params
    assert count_multiply_adds(model) == row.macs
    for publisher, gmacs in PUBLISHED.get(name, {}).items():
        if publisher == "tf2cv":  # which counts an operation for each value that a norm or an activation gives, too
            layers = keras.layers.BatchNormalization, keras.layers.Activation
            extra = sum(math.prod(layer.output.shape[1:]) for layer in model.layers if isinstance(layer, layers))
            assert row.macs + extra == pytest.approx(gmacs * 1e9, rel=0.01)
        else:
            assert row.macs == pytest.approx(gmacs * 1e9, rel=0.0005)
    assert model.input_shape == (None, *row.input_shape)
    assert model.output_shape == (None, row.classes)
    assert model.name == name
    assert row.paper
    assert not any("." in layer.name or "/" in layer.name for layer in model.layers)
    stock = all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert stock or name in ("lenet5_1998", "alexnet_2012", "vgg11_lrn", "googlenet_2014")
    # Layers that shared an initializer would have the same weights
    starts = [
        (v.shape, array(v).ravel()[:50].tobytes()) for k, v in named_variables(model).items() if k.endswith("kernel")
    ]
    assert len(set(starts)) == len(starts)
    assert set(feature_layer_names(model)) >= ({2, 3, 4, 5} if max(row.input_shape) > 100 else {0, 1, 2})


@pytest.mark.parametrize("name", DESIGNS)
def test_the_stated_minimum_size_is_the_smallest(name):
    row = shallow(cnnzoo.info(name).row)
    smallest = (row.min_size, row.min_size, row.input_shape[2])
    assert cnnzoo.get(row, input_shape=smallest, include_top=False).output_shape[1] >= 1
    with pytest.raises(cnnzoo.InputError, match=f"{max(row.min_size, 1)}x" if row.min_size > 1 else "whole number"):
        cnnzoo.get(name, input_shape=(row.min_size - 1, row.min_size, 3))
    if row.min_size > 1:
        assert finds_no_pixel(row, row.min_size - 1)


def finds_no_pixel(row, side):
    try:
        x = row.features(keras.Input((side, side, 3)))
    except ValueError:  # Keras 3.15 refuses an empty map; earlier versions carry on with none
        return True
    return min(x.shape[1:3]) < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_every_variable_learns_and_names_stay(name):
    """No layer hangs loose, and names do not depend on what was built before."""
    row = shallow(cnnzoo.info(name).row)
    side = 64 if row.min_size < 64 else row.min_size + 21
    shape = (side, side, row.input_shape[2])
    keras.utils.set_random_seed(0)
    model = cnnzoo.get(row, input_shape=shape, classes=5)
    assert list(named_variables(model)) == list(named_variables(cnnzoo.get(row, input_shape=shape, classes=5)))
    for v in model.trainable_variables:
        if v.name == "gamma" and not array(v).any():  # in the first step nothing before it would learn
            v.assign(np.ones(v.shape))
    before = [array(v).copy() for v in model.trainable_variables]
    images = np.random.default_rng(0).integers(0, 256, (8, *shape))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    model.train_on_batch(images, np.arange(8) % 5)
    still = [v.path for v, old in zip(model.trainable_variables, before, strict=True) if np.array_equal(array(v), old)]
    assert not still


@pytest.mark.parametrize("name", [next(iter(rows)) for rows in FAMILIES.values()])
def test_fresh_weights_follow_the_seed(name):
    models = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        models.append(cnnzoo.get(name, include_top=False).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*models[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*models[1:], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_models_without_top_end_in_feature_maps(name):
    row = shallow(cnnzoo.info(name).row)
    channels = row.input_shape[2]
    features = cnnzoo.get(row, include_top=False, input_shape=(None, None, channels))
    assert features.output_shape[:3] == (None, None, None)
    assert cnnzoo.card(features).classes == ()
    pooled = cnnzoo.get(row, include_top=False, pooling="avg")
    assert pooled.output_shape == (None, features.output_shape[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_keras_file_gives_the_same_outputs(name, tmp_path):
    row = shallow(cnnzoo.info(name).row)
    side = max(row.min_size, 32)
    keras.utils.set_random_seed(0)
    model = cnnzoo.get(row, classes=7, input_shape=(side, side, row.input_shape[2]))
    path = cnnzoo.save(model, tmp_path / "m.keras")
    again = cnnzoo.load(path)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]), "uint8")
    np.testing.assert_array_equal(array(again.model(images)), array(model(images)))
    assert cnnzoo.card(again.model) == cnnzoo.card(model)


@pytest.mark.slow
def test_the_deepest_is_saved_and_loaded(tmp_path):
    """Its graph is deeper than Python's recursion goes by default."""
    model = cnnzoo.get("resnet1202")
    again = cnnzoo.load(cnnzoo.save(model, tmp_path / "m.keras")).model
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), "uint8")
    np.testing.assert_array_equal(array(again(images)), array(model(images)))


def test_at_least_65_names_and_families_of_less_than_1100_lines():
    assert len(NAMES) >= 65
    models = Path(registry.__file__).parent / "models"
    files = [file for file in models.glob("*.py") if file.stem not in ("__init__", "variant", "blocks")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 1100


@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("googlenet_2014", 2), ("inception_v3", 1)])
def test_auxiliary_heads(name, heads):
    """13,004,888, 13,378,280 and 27,161,264 trainable parameters with them, as published."""
    model = cnnzoo.get(name, aux=True, classifier_activation="softmax")
    assert list(model.output) == ["logits", *(f"aux{i + 1}" for i in range(heads))]
    published = {"googlenet": 13_004_888, "googlenet_2014": 13_378_280, "inception_v3": 27_161_264}
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == published[name]
    outputs = model(np.zeros((1, *model.input_shape[1:])))
    for probabilities in outputs.values():
        assert array(probabilities).sum() == pytest.approx(1, rel=1e-5)
    with pytest.raises(cnnzoo.InputError, match="no auxiliary heads without its top"):
        cnnzoo.get(name, aux=True, include_top=False)


def test_classes_by_number_and_by_name():
    assert cnnzoo.card(cnnzoo.get("lenet5", classes=3)).classes == ("0", "1", "2")
    model = cnnzoo.get("lenet5", classes=["cat", "dog"])
    assert cnnzoo.card(model).classes == ("cat", "dog")
    assert model.output_shape == (None, 2)


def test_the_activation_can_be_softmax():
    outputs = cnnzoo.get("lenet5", classifier_activation="softmax").predict(np.zeros((2, 32, 32, 1)), verbose=0)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)


def test_other_channels_and_sizes_are_accepted():
    assert cnnzoo.get("lenet5", image_size=28).input_shape == (None, 28, 28, 1)
    assert cnnzoo.get("resnet20", image_size=(64, 48)).input_shape == (None, 64, 48, 3)
    assert cnnzoo.get("lenet5", input_shape=(28, 28)).input_shape == (None, 28, 28, 1)
    assert cnnzoo.get("resnet20", input_shape=(64, 48, 5)).input_shape == (None, 64, 48, 5)
    assert cnnzoo.get("lenet5", image_size=28).input_shape == (None, 28, 28, 1)
    assert cnnzoo.get("resnet20", image_size=(64, 48)).input_shape == (None, 64, 48, 3)
    assert cnnzoo.get("resnet20", input_shape=(None, None, 3)).output_shape == (None, 10)


def test_under_mixed_precision_pixels_are_normalized_in_float32():
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
        ({"image_size": 32, "input_shape": (32, 32)}, "image_size or input_shape, not both"),
        ({"image_size": (32, 32, 3)}, r"one number or \(height, width\)"),
        ({"input_shape": "ab"}, r"\(height, width, channels\)"),
        ({"input_shape": (32.5, 32, 1)}, "a side of input_shape"),
        ({"preprocessing": ([np.nan], [1.0])}, "positive std"),
        ({"weights": True}, "weights must be a tag"),
        ({"classes": "cats"}, "Unknown list of classes.*imagenet"),
        ({"input_shape": (3, 224, 224)}, "channels come last"),
        ({"classes": ["a", "a"]}, "list of distinct names"),
        ({"input_shape": (32,)}, r"\(height, width, channels\)"),
        ({"input_shape": (None, None, 1)}, "cannot be built"),
        ({"preprocessing": "troch"}, "Did you mean torch"),
        ({"preprocessing": (0.5, 0.5)}, "pair"),
        ({"preprocessing": ([0.5], [0.0])}, "positive std"),
        ({"pooling": "average", "include_top": False}, "Unknown pooling"),
        ({"weights": "mnits"}, "Did you mean mnist"),
        ({"weights": "nowhere.safetensors"}, "No such file"),
        ({"weights": "model.pth"}, "No such file"),
        ({"license": "free"}, "Allowed: commercial"),
        ({"classifier_activation": "softmx"}, "cannot be built.*softmx"),
        ({"aux": True}, "no auxiliary heads"),
        ({"image_size": 32, "input_shape": (32, 32)}, "not both"),
        ({"image_size": (32, 32, 1)}, r"one number or \(height, width\)"),
        ({"image_size": 8}, "at least 16x16"),
        ({"licence": "free"}, "Unknown license"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.get("lenet5", **options)


def test_unknown_names_get_the_nearest():
    with pytest.raises(cnnzoo.InputError, match="Did you mean lenet5.*Received: 'lenet-5'"):
        cnnzoo.get("lenet-5")


def test_listing_and_filters():
    assert cnnzoo.list_models("resnet20*") == ["resnet200", "resnet200d", "resnet20", "resnet20_b"]
    assert set(cnnzoo.list_models(family="lenet")) == set(FAMILIES["lenet"])
    assert set(cnnzoo.list_models(weights=True)) == {row.model for row in manifest.load_rows()}
    assert cnnzoo.list_models("vgg1*_bn", weights="imagenet") == ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
    assert set(cnnzoo.list_models(weights=True)) | set(cnnzoo.list_models(weights=False)) == set(NAMES)
    assert cnnzoo.list_models(weights="digits") == ["lenet5"]
    assert cnnzoo.list_models("vit*") == []
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
        assert count_multiply_adds(model) == cnnzoo.info(name).row.macs
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
    registry._plugin_rows.cache_clear()
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
        registry._plugin_rows.cache_clear()


def test_a_family_must_define_features_and_head():
    bare = Variant(params=0, macs=0, paper="none")
    with pytest.raises(TypeError, match="must define features"):
        cnnzoo.get(bare)

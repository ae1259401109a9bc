"""`get`: the properties of every model, and the options."""

import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers import golden
from helpers.building import build_without_weights, narrow_dense_layers, values_beside_variables
from helpers.designs import design, shallow
from helpers.rows import check_row, count_parameters
from keras.ops import convert_to_numpy as array

import cnnzoo
from cnnzoo.checkpoints.tensors import named_variables
from cnnzoo.models import FAMILIES, Variant

NAMES = cnnzoo.list_models()
DESIGNS = list({design(name): name for name in NAMES[::-1]}.values())  # one name of each


def random_images(count, shape):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), "uint8")


# tests/test_golden.py checks the others, which it builds too.
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n not in golden.NAMES or n in golden.WITH_HEADS_FOR_ONE_SIZE])
def test_the_row_states_its_figures(name):
    model = build_without_weights(name)
    assert model.name == name
    check_row(model)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_stated_minimum_size_is_the_smallest(name):
    row = shallow(cnnzoo.info(name).row)
    smallest = (row.min_size, row.min_size, row.input_shape[2])
    assert build_without_weights(row, input_shape=smallest, include_top=False).output_shape[1] >= 1
    with pytest.raises(cnnzoo.InputError, match=f"{max(row.min_size, 1)}x" if row.min_size > 1 else "whole number"):
        cnnzoo.get(name, input_shape=(row.min_size - 1, row.min_size, 3))
    if row.min_size > 1:
        assert has_empty_maps(row, row.min_size - 1)


def has_empty_maps(row, side):
    try:
        x = row.features(keras.Input((side, side, 3)))
    except ValueError:  # Keras 3.15 refuses an empty map; earlier versions accept it
        return True
    return min(x.shape[1:3]) < 1


@pytest.fixture(scope="module")
def small_model(request):
    """A model of the design that the test is parametrized with, for five classes of small images."""
    row = shallow(cnnzoo.info(request.param).row)
    side = 64 if row.min_size < 64 else row.min_size + 21
    keras.utils.set_random_seed(0)
    with narrow_dense_layers():
        return cnnzoo.get(row, input_shape=(side, side, row.input_shape[2]), classes=5)


def of_every_design(test):
    """Run a slow test on the small model of every design, which all such tests share on one worker."""
    designs = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in DESIGNS]
    return pytest.mark.slow(pytest.mark.parametrize("small_model", designs, indirect=True)(test))


@of_every_design
def test_layer_names_do_not_depend_on_earlier_models(small_model, request):
    row = shallow(cnnzoo.info(request.node.callspec.params["small_model"]).row)
    again = build_without_weights(row, input_shape=small_model.input_shape[1:], classes=5)
    assert list(named_variables(small_model)) == list(named_variables(again))
    assert [layer.name for layer in small_model.layers] == [layer.name for layer in again.layers]


@of_every_design
def test_models_without_top_end_in_feature_maps(small_model, request):
    row = shallow(cnnzoo.info(request.node.callspec.params["small_model"]).row)
    features = build_without_weights(row, include_top=False, input_shape=(None, None, row.input_shape[2]))
    assert features.output_shape[:3] == (None, None, None)
    assert cnnzoo.card(features).classes == ()
    inner_layers = slice(1, len(features.layers))
    configs = [[configure(layer) for layer in model.layers[inner_layers]] for model in (features, small_model)]
    assert configs[0] == configs[1], "layers depend on the size of the images"


def configure(layer):
    """Return how a layer is configured, without its type, where the first one keeps the card of the model."""
    return {key: value for key, value in layer.get_config().items() if key != "dtype"}


def test_feature_maps_can_be_pooled():
    shapes = [
        build_without_weights("resnet20", include_top=False, pooling=pooling).output_shape
        for pooling in ("avg", "max", None)
    ]
    assert shapes == [(None, 64), (None, 64), (None, 8, 8, 64)]


@of_every_design
def test_no_two_kernels_start_equal(small_model):
    """Layers that shared an initializer would have the same weights."""
    kernels = [variable for path, variable in named_variables(small_model).items() if path.endswith("kernel")]
    starts = [(kernel.shape, array(kernel[0]).ravel()[:50].tobytes()) for kernel in kernels]
    assert len(set(starts)) == len(starts)


@of_every_design
def test_a_keras_file_gives_the_same_outputs(small_model, tmp_path):
    loaded = cnnzoo.load(cnnzoo.save(small_model, tmp_path / "m.keras"))
    images = random_images(2, small_model.input_shape[1:])
    np.testing.assert_array_equal(array(loaded.model(images)), array(small_model(images)))
    assert cnnzoo.card(loaded.model) == cnnzoo.card(small_model)


@of_every_design
def test_one_step_of_training_changes_every_variable(small_model):
    """So no layer is left unconnected."""
    for variable in small_model.trainable_variables:
        if variable.name == "gamma" and not array(variable).any():  # in the first step nothing before it would learn
            variable.assign(np.ones(variable.shape))
    before = [array(variable).copy() for variable in small_model.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small_model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    small_model.train_on_batch(random_images(2, small_model.input_shape[1:]), np.arange(2))
    unchanged = [
        variable.path
        for variable, old in zip(small_model.trainable_variables, before, strict=True)
        if np.array_equal(array(variable), old)
    ]
    assert not unchanged


@pytest.mark.parametrize("name", [next(iter(rows)) for rows in FAMILIES.values()])
def test_fresh_weights_follow_the_seed(name):
    row, models = shallow(cnnzoo.info(name).row), []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        models.append(cnnzoo.get(row, include_top=False).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*models[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*models[1:], strict=True))


@pytest.mark.slow
def test_a_deep_network_is_saved_and_loaded(tmp_path):
    """With the share of the allowed recursion that resnet1202, of 22 times as many layers, leaves for as many."""
    model = cnnzoo.get(replace(cnnzoo.info("resnet1202").row, depths=(9, 9, 9)))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit * 3 * 9 // (3 * 200))
    try:
        loaded = cnnzoo.load(cnnzoo.save(model, tmp_path / "m.keras")).model
    finally:
        sys.setrecursionlimit(limit)
    images = random_images(1, (32, 32, 3))
    np.testing.assert_array_equal(array(loaded(images)), array(model(images)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("googlenet_2014", 2), ("inception_v3", 1)])
def test_auxiliary_heads(name, heads):
    """The networks with their auxiliary heads have as many parameters as published."""
    with values_beside_variables():
        model = cnnzoo.get(name, aux=True, classifier_activation="softmax")
        outputs = model(np.zeros((1, *model.input_shape[1:])))
    assert list(model.output) == ["logits", *(f"aux{i + 1}" for i in range(heads))]
    published = {"googlenet": 13_004_888, "googlenet_2014": 13_378_280, "inception_v3": 27_161_264}
    assert count_parameters(model) == published[name]
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
        ({"image_size": 8}, "at least 16x16"),
        ({"licence": "free"}, "Unknown license"),
        ({"license": "commercial", "licence": "free"}, "another spelling of license"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.get("lenet5", **options)


def test_unknown_names_get_the_nearest():
    with pytest.raises(cnnzoo.InputError, match="Did you mean lenet5.*Received: 'lenet-5'"):
        cnnzoo.get("lenet-5")


def test_a_family_must_define_features_and_head():
    bare = Variant(params=0, macs=0, paper="none")
    with pytest.raises(TypeError, match="must define features"):
        cnnzoo.get(bare)

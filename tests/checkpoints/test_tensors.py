"""Weights are read strictly, and written so that they can be read again."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints.tensors import assign_tensors, named_variables, read_weights_file

pytestmark = pytest.mark.usefixtures("small_models")
NAME = "small_resnet20"


@pytest.fixture(scope="module")
def model(small_models):
    keras.utils.set_random_seed(3)
    model = cnnzoo.get(NAME, classes=["a", "b", "c"], preprocessing="unit")
    for variable in model.non_trainable_variables:  # the statistics of batch normalization, which start at 0 and 1
        variable.assign(np.random.default_rng(0).uniform(0.5, 2, variable.shape))
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return cnnzoo.save_weights(model, tmp_path_factory.mktemp("weights") / "r.safetensors")


@pytest.fixture(scope="module")
def tensors(path):
    return read_weights_file(path)[0].tensors


def assert_equal_weights(expected, model):
    for array, weight in zip(expected, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, array)


def test_saved_weights_come_back_with_names_and_preprocessing(model, path):
    loaded = cnnzoo.get(NAME, weights=path)
    assert_equal_weights(model.get_weights(), loaded)
    card = cnnzoo.card(loaded)
    assert card.classes == ("a", "b", "c")
    assert card.preprocessing == "unit"
    assert card.weights == {"file": "r.safetensors"}
    assert len(card.receipt.loaded) == len(loaded.weights)
    assert not card.receipt.initialized
    assert not card.receipt.dropped


def test_other_classes_get_a_new_head_and_the_receipt_says_so(model, path):
    for classes in (5, ["x", "y", "z"]):
        other = cnnzoo.get(NAME, weights=path, classes=classes)
        receipt = cnnzoo.card(other).receipt
        assert receipt.initialized == receipt.dropped == ("fc.bias", "fc.kernel")
        assert "2 initialized (fc.bias, fc.kernel), 2 dropped" in str(receipt)
        np.testing.assert_array_equal(other.get_layer("conv1").kernel, model.get_layer("conv1").kernel)
    assert cnnzoo.card(cnnzoo.get(NAME, weights=path, classes=3)).classes == ("a", "b", "c")


def test_a_file_without_a_card_keeps_its_head(tensors, tmp_path):
    arrays = {name: np.asarray(variable) for name, variable in named_variables(cnnzoo.get(NAME)).items()}
    save_file(arrays, tmp_path / "ten.safetensors")
    for classes in (None, 10, list("abcdefghij")):
        loaded = cnnzoo.get(NAME, weights=tmp_path / "ten.safetensors", classes=classes)
        assert not cnnzoo.card(loaded).receipt.initialized
    assert cnnzoo.card(cnnzoo.get(NAME, weights=tmp_path / "ten.safetensors", classes=4)).receipt.initialized
    save_file(tensors, tmp_path / "three.safetensors")
    with pytest.raises(cnnzoo.InputError, match=r"wrong shape: fc\.kernel \(8, 3\) instead of \(8, 10\)"):
        cnnzoo.get(NAME, weights=tmp_path / "three.safetensors")


def test_without_the_top_the_head_is_dropped(path):
    model = cnnzoo.get(NAME, weights=path, include_top=False)
    receipt = cnnzoo.card(model).receipt
    assert receipt.dropped == ("fc.bias", "fc.kernel")
    assert len(receipt.loaded) == len(model.weights)
    with pytest.raises(cnnzoo.InputError, match="does not fit"):
        cnnzoo.get("lenet5", weights=path, include_top=False)


def test_loading_is_strict(tensors, tmp_path):
    changes = {
        "missing: conv1.kernel": {name: array for name, array in tensors.items() if name != "conv1.kernel"},
        "unexpected: conv9.kernel": tensors | {"conv9.kernel": np.zeros(3, "float32")},
        r"wrong shape: bn1.gamma \(8,\) instead of \(2,\)": tensors | {"bn1.gamma": np.zeros(8, "float32")},
    }
    for message, changed in changes.items():
        save_file(changed, tmp_path / "w.safetensors")
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.get(NAME, classes=3, weights=tmp_path / "w.safetensors")


def test_nothing_is_assigned_if_something_does_not_fit(tensors):
    model = cnnzoo.get(NAME, classes=3)
    before = model.get_weights()
    with pytest.raises(cnnzoo.InputError):
        assign_tensors(model, tensors | {"fc.bias": np.zeros(9)}, "w")
    assert_equal_weights(before, model)


def test_damaged_files_raise_an_error_that_names_them(path, tmp_path):
    content = path.read_bytes()
    cases = {
        "torn": content[: len(content) // 2],
        "empty": b"",
        "html": b"<html>404</html>",
        "bomb": (2**60).to_bytes(8, "little") + content[8:],
    }
    for name, damaged in cases.items():
        (tmp_path / f"{name}.safetensors").write_bytes(damaged)
        with pytest.raises(cnnzoo.InputError, match=f"Cannot read {name}.safetensors as safetensors"):
            cnnzoo.get(NAME, weights=tmp_path / f"{name}.safetensors")
    flipped = bytearray(content)
    flipped[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    with pytest.raises(cnnzoo.InputError, match="is not the published file. Expected: sha256"):
        read_weights_file(tmp_path / "flipped.safetensors", "0" * 64)
    save_file({"a": np.zeros(1)}, tmp_path / "card.safetensors", {"cnnzoo": '{"no": "card"}'})
    with pytest.raises(cnnzoo.InputError, match="card.safetensors: .*model card"):
        read_weights_file(tmp_path / "card.safetensors")


def test_suffixes_are_checked(model, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=r"must end in \.safetensors"):
        cnnzoo.save_weights(model, tmp_path / "w.h5")
    with pytest.raises(cnnzoo.InputError, match=r"must end in \.keras"):
        cnnzoo.save(model, tmp_path / "w.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["conv1.kernel", "bn1.moving_variance"])
def test_weights_that_could_not_be_loaded_are_not_saved(value, name, tmp_path):
    broken = cnnzoo.get(NAME, classes=3)
    variable = named_variables(broken)[name]
    array = np.array(variable)
    array.flat[0] = value
    variable.assign(array)
    with pytest.raises(cnnzoo.InputError, match=f"are not saved.*{name}"):
        cnnzoo.save_weights(broken, tmp_path / "w.safetensors")
    assert not any(tmp_path.iterdir())


def test_the_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cnnzoo.save_weights(cnnzoo.get("lenet5"), tmp_path / "w.safetensors")
    assert len(cnnzoo.card(cnnzoo.get("lenet5", weights="~/w.safetensors")).receipt.loaded) == 10
    with pytest.raises(cnnzoo.InputError, match="No such file"):
        cnnzoo.get("lenet5", weights="~/other.safetensors")

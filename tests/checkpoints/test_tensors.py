"""Weights in, strictly; and out again."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints import tensors


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(3)
    model = cnnzoo.get("resnet20", classes=["a", "b", "c"], preprocessing="unit")
    for variable in model.non_trainable_variables:  # batch norm's statistics, which start at 0 and 1
        variable.assign(np.random.default_rng(0).uniform(0.5, 2, variable.shape))
    path = cnnzoo.save_weights(model, tmp_path_factory.mktemp("weights") / "r.safetensors")
    return model, path


def test_a_round_trip_keeps_weights_names_and_preprocessing(saved):
    model, path = saved
    again = cnnzoo.get("resnet20", weights=path)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    card = cnnzoo.card(again)
    assert card.classes == ("a", "b", "c")
    assert card.preprocessing == "unit"
    assert card.weights == {"file": "r.safetensors"}
    assert len(card.receipt.loaded) == len(again.weights)
    assert not card.receipt.initialised
    assert not card.receipt.dropped


def test_other_classes_get_a_new_head_and_the_receipt_says_so(saved):
    model, path = saved
    for classes in (5, ["x", "y", "z"]):
        other = cnnzoo.get("resnet20", weights=path, classes=classes)
        receipt = cnnzoo.card(other).receipt
        assert receipt.initialised == receipt.dropped == ("fc.bias", "fc.kernel")
        assert "2 initialised (fc.bias, fc.kernel), 2 dropped" in str(receipt)
        np.testing.assert_array_equal(other.get_layer("conv1").kernel, model.get_layer("conv1").kernel)
    assert cnnzoo.card(cnnzoo.get("resnet20", weights=path, classes=3)).classes == ("a", "b", "c")


def test_a_file_without_a_card_keeps_its_head(saved, tmp_path):
    model = cnnzoo.get("resnet20")
    save_file({name: np.asarray(v) for name, v in tensors.named_variables(model).items()}, tmp_path / "w.safetensors")
    for classes in (None, 10, list("abcdefghij")):
        again = cnnzoo.get("resnet20", weights=tmp_path / "w.safetensors", classes=classes)
        assert not cnnzoo.card(again).receipt.initialised
    assert cnnzoo.card(cnnzoo.get("resnet20", weights=tmp_path / "w.safetensors", classes=4)).receipt.initialised
    with pytest.raises(cnnzoo.InputError, match=r"wrong shape: fc\.kernel \(64, 3\) instead of \(64, 10\)"):
        good, _ = tensors.read_weights_file(saved[1])
        save_file(good, tmp_path / "three.safetensors")
        cnnzoo.get("resnet20", weights=tmp_path / "three.safetensors")


def test_without_the_top_the_head_is_dropped(saved):
    _, path = saved
    model = cnnzoo.get("resnet20", weights=path, include_top=False)
    receipt = cnnzoo.card(model).receipt
    assert receipt.dropped == ("fc.bias", "fc.kernel")
    assert len(receipt.loaded) == len(model.weights)
    with pytest.raises(cnnzoo.InputError, match="does not fit"):
        cnnzoo.get("lenet5", weights=path, include_top=False)


def test_loading_is_strict(saved, tmp_path):
    _, path = saved
    good, _ = tensors.read_weights_file(path)
    changes = {
        "missing: conv1.kernel": {k: v for k, v in good.items() if k != "conv1.kernel"},
        "unexpected: conv9.kernel": good | {"conv9.kernel": np.zeros(3, "float32")},
        r"wrong shape: bn1.gamma \(8,\) instead of \(16,\)": good | {"bn1.gamma": np.zeros(8, "float32")},
    }
    for message, changed in changes.items():
        save_file(changed, tmp_path / "w.safetensors")
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.get("resnet20", classes=3, weights=tmp_path / "w.safetensors")


def test_nothing_is_assigned_where_something_does_not_fit(saved):
    _, path = saved
    good, _ = tensors.read_weights_file(path)
    model = cnnzoo.get("resnet20", classes=3)
    before = model.get_weights()
    with pytest.raises(cnnzoo.InputError):
        tensors.assign_tensors(model, good | {"fc.bias": np.zeros(9)}, "w")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_broken_files_are_named(saved, tmp_path):
    _, path = saved
    content = path.read_bytes()
    cases = {
        "torn": content[: len(content) // 2],
        "empty": b"",
        "html": b"<html>404</html>",
        "bomb": (2**60).to_bytes(8, "little") + content[8:],
    }
    for name, broken in cases.items():
        (tmp_path / f"{name}.safetensors").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=f"Cannot read {name}.safetensors as safetensors"):
            cnnzoo.get("resnet20", weights=tmp_path / f"{name}.safetensors")
    flipped = bytearray(content)
    flipped[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    with pytest.raises(cnnzoo.InputError, match="is not the published file: expected sha256"):
        tensors.read_weights_file(tmp_path / "flipped.safetensors", "0" * 64)
    save_file({"a": np.zeros(1)}, tmp_path / "card.safetensors", {"cnnzoo": '{"no": "card"}'})
    with pytest.raises(cnnzoo.InputError, match="no model card"):
        tensors.read_weights_file(tmp_path / "card.safetensors")


def test_the_suffixes_are_told(saved, tmp_path):
    model, _ = saved
    with pytest.raises(cnnzoo.InputError, match=r"to a \.safetensors file"):
        cnnzoo.save_weights(model, tmp_path / "w.h5")
    with pytest.raises(cnnzoo.InputError, match=r"to a \.keras file"):
        cnnzoo.save(model, tmp_path / "w.h5")

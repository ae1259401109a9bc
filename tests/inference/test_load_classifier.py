"""`load`: accepted and refused paths."""

import keras
import pytest
from helpers.processes import run_code

import cnnzoo


def test_a_missing_or_broken_file_is_named(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04 half a zip")
    messages = {"nowhere": "there is none at", "m.kera": "Did you mean .*m.keras", "m.keras": "Cannot load"}
    for path, message in messages.items():
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load(tmp_path / path)


def test_a_hostile_model_file_runs_no_code(tmp_path):
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Lambda(lambda t: t)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    model.save(tmp_path / "m.keras")
    with pytest.raises(cnnzoo.InputError, match="Cannot load.*unsafe"):
        cnnzoo.load(tmp_path / "m.keras")


def test_a_model_file_without_a_card_gets_numbers_for_names(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    model.save(tmp_path / "m.keras")
    assert cnnzoo.load(tmp_path / "m.keras").classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(("old", "new"), [("eN", "xx"), (":", ":!")])
def test_a_damaged_card_inside_is_named(old, new, tmp_path):
    model = cnnzoo.get("lenet5", classes=["a", "b"])
    table = model.get_layer("normalise").dtype_policy
    (key,) = table
    del table[key]
    table[f"{key.rpartition(':')[0]}{key[key.rindex(':') :].replace(old, new, 1)}"] = "float32"
    model.save(tmp_path / "m.keras")
    with pytest.raises(cnnzoo.InputError, match=r"Cannot load .*m\.keras': The card inside the model is damaged"):
        cnnzoo.load(tmp_path / "m.keras")


@pytest.mark.slow
def test_rows_of_stock_layers_load_without_cnnzoo(tmp_path):
    """Each row is checked to have only such layers, but for four; see tests/helpers/rows.py.

    The process is a fork, in which the package is made to look as if it had never been imported.
    """
    names = ["lenet5", "resnet20"]
    for name in names:
        cnnzoo.save(cnnzoo.get(name, include_top=False), tmp_path / f"{name}.keras")
    code = f"""
import sys, keras
for name in [name for name in sys.modules if name.partition(".")[0] == "cnnzoo"] + ["cnnzoo"]:
    sys.modules[name] = None
keras.saving.get_custom_objects().clear()
for name in {names}:
    print(keras.saving.load_model(f"{tmp_path}/{{name}}.keras").name)
"""
    assert run_code(code).split() == names

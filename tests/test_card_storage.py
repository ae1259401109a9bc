"""Text that stays with the layers of a Keras model."""

import zlib

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo import card_storage, cards
from cnnzoo.card_storage import PREFIX, head_name, iter_layers, read_texts, write_text
from cnnzoo.core.card_fields import INTERPOLATION_NAMES, PREPROCESSING_NAMES
from cnnzoo.data.resize import INTERPOLATIONS
from cnnzoo.preprocessing import STATISTICS
from cnnzoo.surgery.outputs import as_functional
from cnnzoo.surgery.precision import mixed_precision

L = keras.layers
TEXT = 'Größe: "{[(*+?|\\^$' + "x" * 1000


def small_model(*layers):
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, L.Flatten(), L.Dense(4, name="answer")])


def test_any_text_comes_back_and_changes_no_number():
    model = small_model(L.Conv2D(2, 3))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    before = model.predict(images, verbose=0)
    assert write_text(model, "answer", TEXT)
    assert write_text(model, "a:b%c/é", "another")
    assert read_texts(model) == {"answer": TEXT, "a:b%c/é": "another"}
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert write_text(model, "answer", "new")
    assert write_text(model, "a:b%c/é", None)
    assert read_texts(model) == {"answer": "new"}


def test_the_text_is_held_by_a_layer_that_stays():
    holder = {"normalization": L.Rescaling(1 / 255), "pooling": L.MaxPooling2D(), "convolution": L.Conv2D(2, 3)}
    for name, layer in holder.items():
        model = small_model(layer)
        write_text(model, "answer", TEXT)
        has_table = [isinstance(each.dtype_policy, keras.dtype_policies.DTypePolicyMap) for each in model.layers]
        assert has_table == ([True, False, False] if name != "convolution" else [False, True, False])


def test_layers_of_others_hold_no_text():
    class Own(L.Layer):
        def call(self, x):
            return x

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Own()(inputs))
    assert not write_text(model, "answer", TEXT)
    card = cards.Card("own", ("a", "b", "c", "d"))
    assert cnnzoo.card(cards.attach_card(model, card)) == card, "then it is an attribute"


@pytest.mark.parametrize(
    "content",
    ["", "no base64!", "AAAA", "eJw"],
)
def test_a_damaged_text_is_an_error(content):
    model = small_model()
    write_text(model, "answer", TEXT)
    table = next(card_storage._iter_tables(model))
    table.clear()
    table[f"{PREFIX}:answer:{content}"] = "float32"
    with pytest.raises(cnnzoo.InputError, match="The card inside the model is damaged"):
        cnnzoo.card(model)


def test_a_text_cannot_be_a_bomb(monkeypatch):
    monkeypatch.setattr(card_storage, "MAX_TEXT_BYTES", 1000)
    model = small_model()
    write_text(model, "answer", "x" * 1000)
    assert read_texts(model)
    write_text(model, "answer", "x" * 1_000_000)
    with pytest.raises(cnnzoo.InputError, match="cut off or too long"):
        read_texts(model)
    assert len(zlib.compress(b"x" * 1_000_000)) < 2000


def test_the_head_is_the_last_layer_with_weights():
    inputs = keras.Input((8, 8, 3))
    features = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, name="last")(inputs))
    logits, aux = L.Dense(3, name="main")(features), L.Dense(3, name="side")(features)
    assert head_name(keras.Model(inputs, features)) == "last"
    assert head_name(keras.Model(inputs, L.Softmax()(logits))) == "main"
    assert head_name(keras.Model(inputs, {"logits": logits, "aux1": aux})) == "main"
    nested = keras.Sequential([keras.Input((8, 8, 3)), keras.Model(inputs, logits), L.Softmax()])
    assert head_name(nested) == "main"
    assert [layer.name for layer in iter_layers(nested)][-2:] == ["main", nested.layers[-1].name]


def test_a_view_has_another_card_and_the_model_keeps_its_own():
    model = cnnzoo.get("lenet5", classes=["a", "b"])
    card = cnnzoo.card(model)
    view = cards.with_card(model, cards.change_card(card, crop=0.5, classes=["c", "d"]))
    assert cnnzoo.card(view).classes == ("c", "d")
    assert cnnzoo.card(view).evaluation_transform == {"crop": 0.5, "interpolation": "bilinear"}
    assert cnnzoo.card(model) == card == cnnzoo.card(keras.Model(model.input, model.output))


def test_a_view_is_saved_with_its_own_card(tmp_path):
    model = cnnzoo.get("lenet5", classes=["a", "b"])
    view = cards.with_card(model, cards.change_card(cnnzoo.card(model), classes=["c", "d"]))
    path = cnnzoo.save(view, tmp_path / "m.keras")
    assert cnnzoo.load(path, "keras").classes == ("c", "d")
    assert cnnzoo.card(model).classes == ("a", "b")


def test_two_heads_on_the_same_layers_have_their_own_cards():
    first = cnnzoo.get("lenet5", classes=["a", "b", "c"])
    second = keras.Model(first.input, L.Dense(3, name="other")(first.layers[-2].output))
    cards.attach_card(second, cards.Card("second", ("x", "y", "z")))
    assert cnnzoo.card(first).classes == ("a", "b", "c")
    assert cnnzoo.card(second).classes == ("x", "y", "z")


def test_mixed_precision_comes_and_goes_in_the_layer_with_the_text():
    model = as_functional(small_model(L.MaxPooling2D()))
    write_text(model, "answer", TEXT)
    holder = model.layers[1]
    for _ in range(2):
        with mixed_precision(model, "bfloat16"):
            assert holder.compute_dtype == "bfloat16"
        assert holder.compute_dtype == "float32"
        assert len(holder.dtype_policy) == 1
    assert read_texts(model) == {"answer": TEXT}


def test_the_names_that_a_card_may_hold_are_those_of_the_package():
    assert set(INTERPOLATION_NAMES) == set(INTERPOLATIONS)
    assert set(PREPROCESSING_NAMES) == set(STATISTICS)

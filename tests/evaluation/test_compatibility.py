"""Checks that a model and a data set fit each other."""

import keras
import pytest

import cnnzoo
from cnnzoo.cards import default_class_names
from cnnzoo.evaluation.compatibility import (
    bind_to_model,
    check_output_matches,
    match_class_names,
    same_class_names,
)

NAMES = ("ant", "bee", "cow")


@pytest.mark.parametrize(
    ("model", "data", "same"),
    [
        (NAMES, NAMES, True),
        (("0", "1", "2"), NAMES, True),
        (NAMES, ("0", "1", "2"), True),
        (("ant", "cow", "bee"), NAMES, False),
        (("0", "1"), NAMES, False),
        (NAMES, ("0", "1"), False),
    ],
)
def test_default_names_match_any_names_of_the_same_number(model, data, same):
    assert same_class_names(model, data) == same_class_names(list(model), list(data)) == same
    if same:
        assert match_class_names(model, data) == NAMES
    else:
        with pytest.raises(cnnzoo.InputError, match="The model's classes are .*; the data's are "):
            match_class_names(model, data)


def test_default_class_names_are_numbers():
    assert default_class_names(3) == match_class_names(["0", "1", "2"], ["0", "1", "2"]) == ("0", "1", "2")


def test_outputs_must_be_one_per_class():
    check_output_matches(cnnzoo.get("lenet5", classes=3), NAMES)
    for options in ({}, {"include_top": False}):
        with pytest.raises(cnnzoo.InputError, match=r"outputs of shape \(None, .* but the data has 3 classes"):
            check_output_matches(cnnzoo.get("lenet5", **options), NAMES)


def test_data_gets_the_size_of_the_model(data):
    assert bind_to_model(cnnzoo.get("lenet5"), data).image_size == (32, 32)


def test_a_model_of_any_size_takes_the_size_of_the_data(data):
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs)))
    assert bind_to_model(model, data).image_size == (12, 12)


def test_evaluate_needs_data_of_ours_and_a_split():
    model = cnnzoo.get("lenet5")
    with pytest.raises(cnnzoo.InputError, match=r"data must come from cnnzoo\.load_data. Received: str"):
        cnnzoo.evaluate(model, "digits")
    data = cnnzoo.load_data("digits")
    with pytest.raises(cnnzoo.InputError, match="Unknown split. Did you mean test"):
        cnnzoo.evaluate(model, data, split="tset")


def test_shares_in_place_of_a_split_name_splits():
    with pytest.raises(cnnzoo.InputError, match=r"are splits=\(0.7, 0.1, 0.2\)"):
        cnnzoo.load_data("digits", split=(0.7, 0.1, 0.2))

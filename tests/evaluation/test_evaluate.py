"""evaluate: one split, checked against the model."""

import numpy as np
import pytest
from helpers.images import make_blobs

import cnnzoo


def test_evaluating_on_training_images_warns(trained):
    other = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), seed=1)
    with pytest.warns(UserWarning, match="of the 12 images .* are training images of lenet5"):
        cnnzoo.evaluate(trained.model, other)


def test_class_names_of_model_and_data_must_match(data):
    named = {
        order: cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), classes=list(order)) for order in ("abc", "cab")
    }
    model = cnnzoo.get("lenet5", classes=list("abc"))
    assert cnnzoo.evaluate(model, data).classes == ("a", "b", "c"), "numbers are replaced by the names of the model"
    assert cnnzoo.evaluate(cnnzoo.get("lenet5", classes=3), named["cab"]).classes == ("c", "a", "b")
    with pytest.raises(
        cnnzoo.InputError, match=r"The model's classes are a, b, c; the data's are c, a, b\. Pass load_data"
    ):
        cnnzoo.evaluate(model, named["cab"])
    assert cnnzoo.card(model).classes == ("a", "b", "c"), "evaluate must not change the model"
    model.set_weights([w * np.nan for w in model.get_weights()])
    with pytest.raises(cnnzoo.InputError, match="NaN or infinite values for 12 of 12 images"):
        cnnzoo.evaluate(model, data)


def test_evaluate_uses_only_the_split_it_is_given(trained, data):
    report = cnnzoo.evaluate(trained.model, data)
    np.testing.assert_array_equal(report.probabilities, trained.report.probabilities)
    assert len(cnnzoo.evaluate(trained.model, data, split="train").labels) == len(data.train)
    with pytest.raises(cnnzoo.InputError, match="Did you mean validation"):
        cnnzoo.evaluate(trained.model, data, split="val")

"""evaluate: one split, checked against the model."""

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs

import cnnzoo
from cnnzoo import cards
from cnnzoo.evaluation.calibration import apply_temperature


def test_evaluating_on_training_images_warns(trained):
    other = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), seed=1)
    with pytest.warns(UserWarning, match="of the 12 images .* are training images of lenet5"):
        report = cnnzoo.evaluate(trained.model, other)
    assert report.counted_images == "12 images", "they are no test images"
    for text in (str(report), repr(report), report.to_html(), report._repr_html_()):
        assert "12 images" in text
        assert "12 test images" not in text


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


def new_model(end="logits"):
    """A model of the blobs that is right in most cases, and too sure of itself."""
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = keras.layers.Dense(3, activation="softmax" if end == "softmax" else None, name="head")(x)
    model = keras.Model(inputs, outputs, name="bad")
    kernel = np.random.default_rng(0).normal(size=(12, 12, 3)) * 2
    for label in range(3):
        kernel[label * 3 : label * 3 + 3, label * 3 : label * 3 + 3, label] += 1.2
    model.get_layer("head").set_weights([kernel.reshape(144, 3), np.zeros(3)])
    return model


@pytest.mark.parametrize("end", ["logits", "softmax"])
@pytest.mark.parametrize("temperature", [None, 1.0, 0.2, 3.0, 20.0])
def test_the_report_has_the_probabilities_that_predict_gives(data, end, temperature, tmp_path):
    model = new_model(end)
    cards.attach_card(model, replace(cards.card(model), temperature=temperature))
    report = cnnzoo.evaluate(model, data, split="validation")
    report.save(tmp_path)
    classifier = cnnzoo.Classifier.of(model, runtime="keras")
    expected = classifier.probabilities(data.validation.images)
    np.testing.assert_allclose(report.probabilities, expected, atol=2e-6)
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    predictions = classifier.predict(data.validation.images, top=1)
    for row, prediction in zip(rows, predictions, strict=True):
        assert row["predicted"] == prediction.label
        assert float(row["probability"]) == pytest.approx(prediction.probabilities[0], abs=2e-6)
    has_temperature = temperature not in (None, 1.0)
    assert (report.uncalibrated_probabilities is not None) == has_temperature
    assert ("uncalibrated" in report.metrics) == has_temperature
    cards.attach_card(model, replace(cards.card(model), temperature=None))
    raw = cnnzoo.evaluate(model, data, split="validation")
    np.testing.assert_array_equal(raw.predicted, report.predicted)
    assert raw.accuracy == report.accuracy
    if has_temperature:
        np.testing.assert_array_equal(raw.probabilities, report.uncalibrated_probabilities)


def test_a_temperature_that_the_model_has_not_is_shown_beside():
    """What `predict` gives stays the main figure, and the card stays as it is."""
    blobs = cnnzoo.load_data(make_blobs(count=600), splits=(0.1, 0.8, 0.1))
    model = new_model()
    before = cnnzoo.card(model)
    report = cnnzoo.evaluate(model, blobs)
    assert cnnzoo.card(model) == before
    assert report.uncalibrated_probabilities is None
    assert report.temperature > 1.2
    measured = report.metrics["calibrated"]
    assert measured["temperature"] == report.temperature
    assert measured["log_loss"] < report.metrics["log_loss"]
    assert (
        f"The model has no temperature. One of {report.temperature:.3g}, fitted on {len(blobs.validation)} validation"
        in str(report)
    )


def test_a_target_accuracy_calibrates_the_model():
    blobs = cnnzoo.load_data(make_blobs(count=600), splits=(0.1, 0.8, 0.1))
    model = new_model()
    report = cnnzoo.evaluate(model, blobs, target_accuracy=0.95)
    card = cnnzoo.card(model)
    assert (card.temperature, card.min_probability) == (report.temperature, report.min_probability)
    assert card.calibration == report.calibration
    assert 0.3 < card.min_probability < 1
    assert card.calibration["min_probability"]["images"] == len(blobs.validation)
    np.testing.assert_allclose(
        report.probabilities, apply_temperature(report.uncalibrated_probabilities, card.temperature)
    )
    assert report.metrics["answers"]["min_probability"] == card.min_probability
    assert cards.Card.from_json(card.to_json()) == card
    again = cnnzoo.evaluate(model, blobs)
    assert again.metrics == report.metrics, "the card has the temperature and the threshold"
    refused = cnnzoo.evaluate(model, blobs, target_accuracy=0.999)
    assert refused.min_probability is cnnzoo.card(model).min_probability is None
    assert "No min_probability for an accuracy of 99.9 %: 481 validation images cannot show it" in str(refused)
    assert cnnzoo.card(model).temperature == card.temperature


def test_a_target_accuracy_needs_validation_images(data):
    model = new_model()
    with pytest.raises(cnnzoo.InputError, match="target_accuracy must be a share above 0 and below 1"):
        cnnzoo.evaluate(model, data, target_accuracy=95)
    with pytest.raises(cnnzoo.InputError, match="needs validation images, on which min_probability is chosen"):
        cnnzoo.evaluate(model, cnnzoo.load_data(make_blobs(), split="test"), target_accuracy=0.9)

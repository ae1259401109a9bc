"""Predictions of a classifier, and images that it cannot read."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import cnnzoo


def test_predictions_are_sorted_and_named_and_add_up_to_one(classifier, data):
    predictions = classifier.predict(data.test.images)
    assert len(predictions) == len(data.test)
    for prediction in predictions:
        assert sorted(prediction.classes) == list(classifier.classes)
        assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.label == prediction.classes[0]
        assert str(prediction).startswith(f"{prediction.label} ")
    assert len(classifier.predict(data.test.images[:1], top=2)[0].classes) == 2


def test_files_are_decoded_to_the_same_pixels(classifier, data, tmp_path):
    image = data.test.images[0]
    gray, color = Image.fromarray(image[..., 0]), Image.fromarray(np.repeat(image, 3, axis=2))
    gray.save(tmp_path / "gray.png")
    color.save(tmp_path / "color.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    gray.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    expected = classifier.predict(image[None])[0]
    for prediction in classifier.predict([tmp_path / name for name in ("gray.png", "color.png", "turned.png")]):
        assert prediction.classes == expected.classes
        assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert classifier.predict(str(tmp_path / "gray.png"))[0].classes == expected.classes


def test_unreadable_files_are_named(classifier, tmp_path):
    (tmp_path / "html.png").write_bytes(b"<html>not found</html>")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), "uint8")
    Image.fromarray(noise).save(tmp_path / "torn.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:600])
    Image.new("1", (10_000, 9_000)).save(tmp_path / "bomb.png")
    for name, message in {
        "html.png": "as an image",
        "torn.png": "as an image",
        "bomb.png": "pixels",
        "missing.png": "there is no such file",
    }.items():
        with pytest.raises(cnnzoo.InputError, match=message) as error:
            classifier.predict(tmp_path / name)
        assert name in str(error.value)

    good = tmp_path / "good.png"
    Image.fromarray(noise).save(good)
    with pytest.warns(UserWarning, match=r"2 of 3 images cannot be read. The first: .*html\.png"):
        predictions = classifier.predict([tmp_path / "html.png", good, tmp_path / "missing.png"])
    assert [bool(prediction.error) for prediction in predictions] == [True, False, True]
    assert predictions[1] == replace(classifier.predict(good)[0], source=str(good))
    assert str(predictions[2]).startswith("Error: Cannot read")
    with pytest.raises(cnnzoo.InputError, match="there is no such file"):
        assert predictions[2].label


def test_arrays_that_are_no_images_are_refused(classifier):
    with pytest.raises(cnnzoo.InputError, match="values 0 to 255"):
        classifier.predict(np.zeros((1, 2, 3, 4, 4)))
    with pytest.raises(cnnzoo.InputError, match=r"one image of 40x50 .*, or 40 gray .*; pass images\[None\]"):
        classifier.predict(np.zeros((40, 50, 4), "uint8"))
    with pytest.raises(cnnzoo.InputError, match="top must be a whole number from 1"):
        classifier.predict(np.zeros((1, 4, 4)), top=0)
    with pytest.warns(UserWarning, match="rescaled already"):
        classifier.predict(np.random.default_rng(0).uniform(0, 1, (1, 12, 12)))


@pytest.mark.parametrize("units", [1, 3])
def test_sigmoid_outputs_are_refused(units):
    inputs = keras.Input((12, 12, 1))
    model = keras.Model(inputs, keras.layers.Dense(units, "sigmoid")(keras.layers.Flatten()(inputs)))
    with pytest.raises(cnnzoo.InputError, match="from sigmoid, which are not probabilities"):
        cnnzoo.Classifier.of(model)

"""load and predict: one interface, images from anywhere."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import cnnzoo


@pytest.fixture(scope="module")
def classifier(trained):
    return cnnzoo.load(trained.folder)


def test_predictions_are_sorted_named_and_add_up(classifier, data):
    predictions = classifier.predict(data.test.images)
    assert len(predictions) == len(data.test)
    for prediction in predictions:
        assert sorted(prediction.classes) == list(classifier.classes)
        assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.label == prediction.classes[0]
        assert str(prediction).startswith(f"{prediction.label} ")
    assert len(classifier.predict(data.test.images[:1], top=2)[0].classes) == 2


def test_files_and_their_pixels_give_the_same_predictions(classifier, data, tmp_path):
    image = data.test.images[0]
    gray, colour = Image.fromarray(image[..., 0]), Image.fromarray(np.repeat(image, 3, axis=2))
    gray.save(tmp_path / "g.png")
    colour.save(tmp_path / "c.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: shown turned by 90 degrees
    gray.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    expected = classifier.predict(image[None])[0]
    for prediction in classifier.predict([tmp_path / name for name in ("g.png", "c.png", "turned.png")]):
        assert prediction.classes == expected.classes
        assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert classifier.predict(str(tmp_path / "g.png"))[0].classes == expected.classes


def test_deep_and_transparent_images_are_converted(tmp_path):
    from cnnzoo.data.decode import decode_image

    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(ramp.astype("uint16")).save(tmp_path / "16bit.png")
    np.testing.assert_allclose(decode_image(tmp_path / "16bit.png", 1)[..., 0], ramp / 257, atol=0.51)
    see_through = np.zeros((4, 4, 4), "uint8")
    see_through[:2, :, 3] = 255
    Image.fromarray(see_through, "RGBA").save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "alpha.png", 3)[:, 0, 0], [0, 0, 255, 255])
    Image.fromarray(ramp.astype("float32")).save(tmp_path / "float.tiff")
    with pytest.raises(cnnzoo.InputError, match="no agreed range"):
        decode_image(tmp_path / "float.tiff", 1)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(cnnzoo.InputError, match="no regular file"):
        decode_image(tmp_path / "pipe.png", 1)


def test_bad_images_raise_an_error_that_names_them(classifier, tmp_path):
    (tmp_path / "no.png").write_bytes(b"<html>not found</html>")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), "uint8")
    Image.fromarray(noise).save(tmp_path / "torn.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:600])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for name, message in {
        "no.png": "as an image",
        "torn.png": "as an image",
        "bomb.png": "pixels",
        "gone.png": "there is no such file",
    }.items():
        with pytest.raises(cnnzoo.InputError, match=message) as error:
            classifier.predict(tmp_path / name)
        assert name in str(error.value)
    good = tmp_path / "good.png"
    Image.fromarray(noise).save(good)
    with pytest.warns(UserWarning, match=r"2 of 3 images cannot be read. The first: .*no\.png"):
        answers = classifier.predict([tmp_path / "no.png", good, tmp_path / "gone.png"])
    assert [bool(answer.error) for answer in answers] == [True, False, True]
    assert answers[1] == replace(classifier.predict(good)[0], source=str(good))
    assert str(answers[2]).startswith("Error: Cannot read")
    with pytest.raises(cnnzoo.InputError, match="there is no such file"):
        assert answers[2].label
    with pytest.raises(cnnzoo.InputError, match="values 0 to 255"):
        classifier.predict(np.zeros((4, 4)))
    with pytest.raises(cnnzoo.InputError, match=r"holds several images.*image\[None\] does. Received: \(40, 50, 3\)"):
        classifier.predict(np.zeros((40, 50, 3), "uint8"))
    with pytest.raises(cnnzoo.InputError, match="top is a whole number from 1"):
        classifier.predict(np.zeros((1, 4, 4)), top=0)
    with pytest.warns(UserWarning, match="rescaled already"):
        classifier.predict(np.random.default_rng(0).uniform(0, 1, (1, 12, 12)))


def test_arguments_that_are_not_models_are_named(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04 half a zip")
    for path, message in {"nowhere": "there is none at", "m.keras": "Cannot load"}.items():
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load(tmp_path / path)


def test_a_hostile_model_file_runs_no_code(tmp_path):
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Lambda(lambda t: t)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    model.save(tmp_path / "m.keras")
    with pytest.raises(cnnzoo.InputError, match="Cannot load.*unsafe"):
        cnnzoo.load(tmp_path / "m.keras")


def test_a_keras_file_from_elsewhere_gets_numbers_for_names(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    model.save(tmp_path / "m.keras")
    assert cnnzoo.load(tmp_path / "m.keras").classes == ("0", "1", "2", "3")


def test_a_stock_row_loads_without_cnnzoo(tmp_path):
    """Rows that need only Keras' layers are built of these: tests/test_registry.py says which ones are not."""
    stock = ["lenet5", "resnet18d", "googlenet", "xception_timm"]
    for name in stock:
        cnnzoo.save(cnnzoo.get(name, include_top=False), tmp_path / f"{name}.keras")
    code = f"""
import sys; sys.modules["cnnzoo"] = None
import keras
for name in {stock}:
    print(keras.saving.load_model(f"{tmp_path}/{{name}}.keras").name)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == stock

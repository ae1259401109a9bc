"""Real weights on real photographs: every export says what its model says."""

import numpy as np
import pytest

import cnnzoo
from cnnzoo.export import export

COUNT = 100
MODELS = [
    "googlenet_2014",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "lenet5:mnist",
    "lenet5:digits",
    "lenet5_1998:mnist",
]


@pytest.fixture(scope="module")
def photos(test_data):
    """Paths of photographs of many sizes, PNG and JPEG."""
    png = sorted(test_data("imagenet_100").glob("*.png"))
    jpeg = sorted(test_data("hymenoptera").glob("*/*/*.jpg"))[::4]
    assert len(png) == COUNT
    return png + jpeg[:COUNT]


@pytest.fixture(scope="module")
def classifier(request, test_data):
    """Of a model with real weights, run by Keras."""
    name, _, tag = request.param.partition(":")
    if tag:
        model = cnnzoo.get(name, weights=tag)
    elif name == "googlenet_2014":
        model = cnnzoo.get(name, weights=str(test_data("checkpoints/googlenet_bvlc.npz")))
    else:
        (file,) = test_data("checkpoints").glob(f"{name}-*.th")
        model = cnnzoo.get(name, weights=str(file))
    return cnnzoo.Classifier.of(model, "keras")


@pytest.fixture(scope="module")
def images(classifier, photos, test_data):
    """Photographs or scans, those of other sizes resized."""
    if classifier.shape == (224, 224, 3):
        return classifier.transform(photos)
    if classifier.shape == (32, 32, 3):
        with np.load(test_data("cifar10/cifar10_4k_lossless.npz")) as file:
            return file["x"][:COUNT]
    with np.load(test_data("mnist.npz")) as file:
        return file["x_test"][:COUNT, ..., None]


@pytest.mark.slow
@pytest.mark.parametrize("format", export.FORMATS)
@pytest.mark.parametrize("classifier", MODELS, indirect=True)
def test_exports_give_the_same_probabilities(classifier, images, format, tmp_path):
    path = cnnzoo.export(classifier.model, tmp_path / "out", format).path
    probabilities, expected = cnnzoo.load(path).probabilities(images), classifier.probabilities(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["googlenet_2014"], indirect=True)
def test_the_bytes_of_files_give_what_the_pipeline_gives(classifier, photos, images, tmp_path):
    import tensorflow as tf

    path = cnnzoo.export(classifier.model, tmp_path / "out").path
    ask = tf.saved_model.load(str(path)).signatures["serving_default"]
    expected = classifier.probabilities(images)
    for i in range(0, len(photos), 50):
        answer = ask(image_bytes=tf.constant([photo.read_bytes() for photo in photos[i : i + 50]]))
        assert set(answer["errors"].numpy()) == {b""}
        np.testing.assert_allclose(answer["scores"], expected[i : i + 50], atol=1e-5)

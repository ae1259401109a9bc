"""Exports of many kinds of graphs, and of real weights on real photographs."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.runtimes.choose import FORMATS

PRETRAINED = ["googlenet_2014", "resnet20", "lenet5_1998:mnist"]
PHOTO_COUNT = 10  # of each kind
CROP = 0.875

pytestmark = pytest.mark.usefixtures("saved_models_once")


# Graphs that no pretrained model below has, or in another format: grouped convolutions, average pooling in shortcuts,
# batch norms before convolutions, local response normalization
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "activation", "format"),
    [
        ("resnext50_32x4d", None, "openvino"),
        ("resnet18d", "softmax", "openvino"),
        ("preresnet18", None, "openvino"),
        ("googlenet_2014", None, "openvino"),
        ("googlenet_2014", None, "litert"),
    ],
)
def test_graphs_export(name, activation, format, tmp_path):
    """`export` compares the probabilities with those of the model."""
    keras.utils.set_random_seed(0)
    row = cnnzoo.info(name).row
    if name.startswith("googlenet"):  # the stem and two Inception modules
        small = replace(row, modules=row.modules[:5])
    else:
        small = replace(row, depths=(1,) * len(row.depths))
    model = cnnzoo.get(small, classes=["a", "b"], input_shape=(64, 64, 3), classifier_activation=activation)
    cnnzoo.export(model, tmp_path / "out", format)
    (prediction,) = cnnzoo.load(tmp_path / "out").predict(np.zeros((1, 40, 40, 3)))
    assert set(prediction.classes) == {"a", "b"}


@pytest.fixture(scope="module")
def photos(test_data):
    """Paths of photographs of many sizes, PNG and JPEG."""
    png = sorted(test_data("imagenet_100").glob("*.png"))[:PHOTO_COUNT]
    jpeg = sorted(test_data("hymenoptera").glob("*/*/*.jpg"))[::4][:PHOTO_COUNT]
    assert len(png) == len(jpeg) == PHOTO_COUNT
    return png + jpeg


@pytest.fixture(scope="module")
def classifier(request, test_data):
    """A classifier with real weights, run by Keras."""
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
    """Photographs or scans at the size of the network."""
    if classifier.shape == (224, 224, 3):
        return classifier.transform(photos)
    if classifier.shape == (32, 32, 3):
        with np.load(test_data("cifar10/cifar10_4k_lossless.npz")) as file:
            return file["x"][:PHOTO_COUNT]
    with np.load(test_data("mnist.npz")) as file:
        return file["x_test"][:PHOTO_COUNT, ..., None]


@pytest.fixture(scope="module")
def expected(classifier, images):
    return classifier.probabilities(images)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classifier", "format"),
    # The large one takes long to convert: only to ONNX, which also runs on OpenVINO by default. A SavedModel is Keras'
    # own graph, whatever the layers.
    [(name, format) for name in PRETRAINED for format in FORMATS if name != "googlenet_2014" or format == "onnx"],
    indirect=["classifier"],
)
def test_pretrained_models_answer_the_same(classifier, images, expected, format, photos, tmp_path):
    path = cnnzoo.export(classifier.model, tmp_path / "out", format, crop=CROP).path
    probabilities = cnnzoo.load(path).probabilities(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), expected.argmax(axis=1))
    if format == "saved_model" and classifier.shape[2] == 3:
        check_decoded_files(path, photos, cnnzoo.Classifier.of(classifier.model, "keras", crop=CROP))


def check_decoded_files(path, photos, classifier):
    """The bytes of files give what `predict` gives for their paths."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    answer = signature(image_bytes=tf.constant([photo.read_bytes() for photo in photos]))
    assert set(answer["errors"].numpy()) == {b""}
    np.testing.assert_allclose(answer["scores"], classifier.probabilities(classifier.transform(photos)), atol=1e-5)

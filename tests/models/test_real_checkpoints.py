"""Checkpoints as they were published, loaded by path, give what their publishers measured."""

import numpy as np
import pytest

import cnnzoo

pytestmark = pytest.mark.usefixtures("fast_variables")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "minimum"),
    [
        ("resnet20", "resnet20-12fca82f.th", 0.998),  # measured: 0.999
        ("resnet32", "resnet32-d509ac18.th", 0.999),  # measured: 1
        ("resnet44", "resnet44-014dd654.th", 0.998),  # measured: 0.999
        ("resnet56", "resnet56-4bfd9763.th", 0.999),  # measured: 1
    ],
)
def test_cifar_resnets(name, file, minimum, test_data):
    """On five hundred of the training images, on which the networks were trained."""
    model = cnnzoo.get(name, weights=test_data(f"checkpoints/{file}"))
    with np.load(test_data("cifar10/cifar10_4k_lossless.npz")) as data:
        images, labels = data["x"][:500], data["y"][:500]
    accuracy = (np.asarray(model(images)).argmax(axis=1) == labels).mean()
    assert accuracy >= minimum
    receipt = cnnzoo.card(model).receipt
    assert len(receipt.loaded) == len(model.weights)
    assert all("num_batches_tracked" in dropped for dropped in receipt.dropped)


@pytest.mark.slow
def test_googlenet_of_caffe(test_data):
    """The reference run gives class 967 with p = 0.99486."""
    weights = test_data("checkpoints/googlenet_bvlc.npz")
    options = {"input_shape": (227, 227, 3), "preprocessing": "none", "classifier_activation": "softmax"}
    model = cnnzoo.get("googlenet_2014", weights=weights, **options)
    with np.load(test_data("checkpoints/googlenet_bvlc_reference.npz")) as reference:
        probabilities = np.asarray(model(reference["data"][None]))[0]
        assert np.abs(probabilities - reference["prob"]).max() <= 1e-5
        features = cnnzoo.feature_extractor(model, levels=[4])
        maps = np.asarray(features(reference["data"][None])["level4"])[0]
        np.testing.assert_allclose(maps, reference["inception_4e_output"], atol=1e-3)
    assert probabilities.argmax() == 967
    with_heads = cnnzoo.get("googlenet_2014", weights=weights, aux=True, preprocessing="none")
    assert all(name.startswith("aux") for name in cnnzoo.card(with_heads).receipt.initialized), "not in this file"


@pytest.mark.slow
def test_lenet_of_keras_2(test_data, mnist):
    model = cnnzoo.get("lenet5", weights=test_data("checkpoints/lenet5_tanh_mnist.h5"), preprocessing="none")
    images = np.pad(mnist["x_test"], ((0, 0), (2, 2), (2, 2)))[..., None]
    accuracy = (np.asarray(model(images)).argmax(axis=1) == mnist["y_test"]).mean()
    assert 100 * accuracy == pytest.approx(98.89, abs=0.02)

"""Pixel statistics inside the model."""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo import preprocessing as pre


def normalize_pixels(images, preprocessing):
    """Return the images as the network behind the normalization sees them."""
    inputs = keras.Input(images.shape[1:])
    return keras.Model(inputs, pre.normalize(inputs, preprocessing)).predict(images, verbose=0)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype("float32")


def test_torch_mode_is_mean_and_std_of_imagenet(images):
    expected = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalize_pixels(images, "torch"), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
def test_the_modes_equal_those_of_keras_applications(images, mode):
    from keras.src.applications.imagenet_utils import preprocess_input

    expected = preprocess_input(images.copy(), mode=mode, data_format="channels_last")
    np.testing.assert_allclose(normalize_pixels(images, mode), expected, atol=1e-4)


def test_unit_none_and_a_pair_of_numbers_are_accepted(images):
    np.testing.assert_allclose(normalize_pixels(images, "unit"), images / 255, atol=1e-6)
    inputs = keras.Input(images.shape[1:])
    assert pre.normalize(inputs, "none") is inputs
    np.testing.assert_allclose(normalize_pixels(images, ([0.5], [0.25])), (images / 255 - 0.5) / 0.25, atol=1e-5)


def test_lenet5_1998_scales_the_background_to_minus_a_tenth():
    row = cnnzoo.info("lenet5_1998").row
    ends = normalize_pixels(np.array([[[[0.0], [255.0]]]]), row.preprocessing).ravel()
    np.testing.assert_allclose(ends, [-0.1, 1.175], atol=1e-6)


def test_statistics_for_other_channels_are_averaged():
    gray = np.full((1, 2, 2, 1), 255.0, "float32")
    mean, std = (np.mean(side) for side in pre.STATISTICS["torch"])
    np.testing.assert_allclose(normalize_pixels(gray, "torch"), np.full((1, 2, 2, 1), (1 - mean) / std), atol=1e-6)

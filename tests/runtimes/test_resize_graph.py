"""Resizing in a TensorFlow graph gives the pixels of Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from cnnzoo.data.transform import Transform
from cnnzoo.runtimes.resize_graph import resize_in_graph

PHOTO = load_sample_images().images[0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "nearest"])
@pytest.mark.parametrize(
    ("size", "crop", "pad"),
    [((96, 128), 0.875, 0), ((64, 48), None, 0), ((299, 299), 1.0, 0), ((32, 32), 0.9, 2), ((300, 350), 0.9, 0)],
)
def test_pixels_equal_those_of_pillow(interpolation, size, crop, pad):
    transform = Transform(size, 3, crop, interpolation, pad)
    for part in (PHOTO, PHOTO[:200, :177], PHOTO[:50, :60]):
        resized = resize_in_graph(tf.constant(part[None]), transform, keep_matching=False)
        np.testing.assert_array_equal(resized[0], transform.resize_and_crop(Image.fromarray(part)))


def test_channels_are_converted_as_by_pillow():
    gray = np.asarray(Image.fromarray(PHOTO).convert("L"))
    to_gray = resize_in_graph(tf.constant(PHOTO[None]), Transform(PHOTO.shape[:2], 1))
    np.testing.assert_array_equal(to_gray[0, ..., 0], gray)
    to_rgb = resize_in_graph(tf.constant(gray[None, ..., None]), Transform(PHOTO.shape[:2], 3))
    np.testing.assert_array_equal(to_rgb[0], np.repeat(gray[..., None], 3, axis=2))


def test_arrays_of_the_right_size_are_kept_and_files_are_cropped():
    transform = Transform((40, 56), 3, 0.5)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (1, 40, 56, 3), "uint8"))
    any_size = tf.function(
        lambda x: resize_in_graph(x, transform), input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)]
    )
    np.testing.assert_array_equal(any_size(images), images)
    np.testing.assert_array_equal(resize_in_graph(images, transform), images)
    assert (resize_in_graph(images, transform, keep_matching=False) != images).numpy().any()

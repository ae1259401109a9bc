"""Geometry of resizing: in numbers, in tensors and on pixels."""

import keras
import numpy as np
import pytest
from PIL import Image

import cnnzoo
from cnnzoo.data.resize import center_offset, resize_images, resized_size


def test_sizes_are_computed_equally_for_numbers_and_tensors():
    for sides in ((375, 500), (500, 375), (333, 333), (10, 1999)):
        for size, crop in (((224, 224), 0.875), ((96, 160), 0.9), ((32, 32), 1.0)):
            numbers = resized_size(*sides, size, crop)
            tensors = resized_size(*map(keras.ops.convert_to_tensor, sides), size, crop)
            assert numbers == tuple(map(int, tensors))
            assert all(outer >= inner for outer, inner in zip(numbers, size, strict=True))
    assert resized_size(375, 500, (224, 224), 0.875) == (256, 341)
    assert [center_offset(341, 224), center_offset(343, 224), center_offset(256, 224)] == [58, 60, 16]


@pytest.mark.parametrize("size", [(32, 32), (13, 40), (8, 8)])
def test_resizing_is_within_a_level_of_pillow(size):
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 30, 3), "uint8")
    resized = np.asarray(resize_images(images, (*size, 3)))
    pillow = [np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)) for image in images]
    assert np.abs(resized - np.array(pillow, "float32")).max() <= 1
    assert (resized == resized.round()).all()


def test_padding_is_a_black_border():
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), "uint8")
    resized = np.asarray(resize_images(images, (32, 32, 1), pad=2))
    np.testing.assert_array_equal(resized[:, 2:-2, 2:-2], images)
    assert resized.sum() == images.sum()


def test_gray_and_color_are_converted_into_each_other():
    gray = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), "uint8")
    color = np.asarray(resize_images(gray, (4, 4, 3)))
    np.testing.assert_array_equal(color, np.repeat(gray, 3, axis=3))
    np.testing.assert_allclose(np.asarray(resize_images(color, (4, 4, 1))), gray, atol=1)
    with pytest.raises(cnnzoo.InputError, match="3 channels. Received: 2"):
        resize_images(np.zeros((1, 4, 4, 2)), (4, 4, 3))

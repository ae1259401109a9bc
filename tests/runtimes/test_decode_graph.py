"""Decoding in a TensorFlow graph gives the pixels of `data.decode`, whatever a file holds."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnzoo.data.transform import Transform
from cnnzoo.runtimes.decode_graph import decode_files

NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 4), "uint8")
RGB_IMAGE = Image.fromarray(NOISE[..., :3])
TRANSFORM = Transform((24, 32), 3, None)
ORIENTATION_TAG = 0x0112


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode_with_orientation(image, orientation, format, **options):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encode(image, format, exif=exif, **options)


@pytest.fixture(scope="module")
def decode():
    signature = [tf.TensorSpec((None,), tf.string)]
    return tf.function(lambda contents: decode_files(contents, TRANSFORM), input_signature=signature, autograph=False)


def test_exif_orientation_is_applied(decode):
    contents = []
    for orientation in range(10):  # 0 and 9 are invalid
        contents += [encode_with_orientation(RGB_IMAGE, orientation, format) for format in ("JPEG", "PNG")]
        contents.append(encode_with_orientation(RGB_IMAGE, orientation, "WEBP", lossless=True))
    images, problems = decode(tf.constant(contents))
    assert not any(problems.numpy())
    for content, pixels in zip(contents, images.numpy(), strict=True):
        np.testing.assert_array_equal(pixels, TRANSFORM(content))


def files_that_are_no_images():
    png, jpeg = encode(RGB_IMAGE), encode(RGB_IMAGE, "JPEG")
    too_large, too_long = bytearray(png), bytearray(png)
    too_large[16:24] = struct.pack(">II", 50_000, 50_000)
    too_long[16:24] = struct.pack(">II", 5_000, 5)
    return [
        b"",
        b"hello",
        png[:500],
        jpeg[:100],
        bytes(too_large),
        bytes(too_long),
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"RIFF0000WEBP",
    ]


def test_other_files_are_marked_and_images_are_decoded(decode):
    image, others = encode(RGB_IMAGE), files_that_are_no_images()
    images, problems = decode(tf.constant([image, *others, image]))
    assert [not problem for problem in problems.numpy()] == [True, *([False] * len(others)), True]
    for pixels in (images[0], images[-1]):
        np.testing.assert_array_equal(pixels, TRANSFORM(image))
    assert not images[1:-1].numpy().any()
    assert all(decode(tf.constant(others))[1].numpy())
    assert len(decode(tf.constant([], tf.string))[0]) == 0


def test_broken_exif_data_is_tolerated(decode):
    """Cut off, pointing outside, endless, or circular."""
    jpeg = encode_with_orientation(RGB_IMAGE, 6, "JPEG")
    tiff = jpeg.index(b"Exif\0\0") + 6
    changes = ((tiff + 4, b"\xff\xff\xff\x7f"), (tiff + 8, b"\xff\xff"), (tiff, b"\0\0"), (tiff - 8, b"\0\0"))
    files = [jpeg[:position] + value + jpeg[position + len(value) :] for position, value in changes]
    assert not any(decode(tf.constant(files))[1].numpy())

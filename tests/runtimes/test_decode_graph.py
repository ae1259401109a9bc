"""Decoding in a TensorFlow graph gives the pixels of `data.decode`, whatever a file holds."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnzoo.data.transform import Transform
from cnnzoo.runtimes.decode_graph import decode_files, read_exif_orientation

NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 4), "uint8")
RGB_IMAGE, GRAY_IMAGE = Image.fromarray(NOISE[..., :3]), Image.fromarray(NOISE[..., 0])
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
    return tf.function(lambda contents: decode_files(contents, TRANSFORM), input_signature=signature)


def files_of_every_kind():
    indexed = RGB_IMAGE.quantize(50)
    return {
        "jpeg": encode(RGB_IMAGE, "JPEG"),
        "jpeg 4:4:4": encode(RGB_IMAGE, "JPEG", subsampling=0),
        "progressive": encode(RGB_IMAGE, "JPEG", progressive=True, quality=60),
        "gray jpeg": encode(GRAY_IMAGE, "JPEG"),
        "png": encode(RGB_IMAGE),
        "gray png": encode(GRAY_IMAGE),
        "16-bit png": encode(Image.fromarray(NOISE[..., 0].astype("uint16") * 257 + 7)),
        "bits": encode(RGB_IMAGE.convert("1")),
        "transparent": encode(Image.fromarray(NOISE)),
        "transparent gray": encode(Image.fromarray(NOISE[..., :2], "LA")),
        "indexed": encode(indexed),
        "indexed, transparent": encode(indexed, transparency=3),
        "gif": encode(indexed, "GIF"),
        "bmp": encode(RGB_IMAGE, "BMP"),
        "webp": encode(RGB_IMAGE, "WEBP"),
        "transparent webp": encode(Image.fromarray(NOISE), "WEBP", lossless=True),
    }


def test_files_of_every_kind_give_the_pixels_of_pillow(decode):
    files = files_of_every_kind()
    images, is_decoded = decode(tf.constant(list(files.values())))
    for i, (name, content) in enumerate(files.items()):
        assert is_decoded[i], name
        np.testing.assert_array_equal(images[i], TRANSFORM(content), err_msg=name)


def test_exif_orientation_is_applied(decode):
    contents = []
    for orientation in range(10):  # 0 and 9 are invalid
        contents += [encode_with_orientation(RGB_IMAGE, orientation, format) for format in ("JPEG", "PNG")]
        contents.append(encode_with_orientation(RGB_IMAGE, orientation, "WEBP", lossless=True))
    images, is_decoded = decode(tf.constant(contents))
    assert is_decoded.numpy().all()
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
    images, is_decoded = decode(tf.constant([image, *others, image]))
    assert is_decoded.numpy().tolist() == [True, *([False] * len(others)), True]
    for pixels in (images[0], images[-1]):
        np.testing.assert_array_equal(pixels, TRANSFORM(image))
    assert not images[1:-1].numpy().any()
    assert decode(tf.constant(others))[1].numpy().sum() == 0
    assert len(decode(tf.constant([], tf.string))[0]) == 0


def test_broken_exif_data_is_tolerated():
    """Cut off, pointing outside, endless, or circular."""
    jpeg = encode_with_orientation(RGB_IMAGE, 6, "JPEG")
    tiff = jpeg.index(b"Exif\0\0") + 6
    for position, value in (
        (tiff + 4, b"\xff\xff\xff\x7f"),
        (tiff + 8, b"\xff\xff"),
        (tiff, b"\0\0"),
        (tiff - 8, b"\0\0"),
    ):
        broken = jpeg[:position] + value + jpeg[position + len(value) :]
        assert 1 <= int(read_exif_orientation(tf.constant(broken))) <= 8
    assert int(read_exif_orientation(tf.constant(jpeg))) == 6

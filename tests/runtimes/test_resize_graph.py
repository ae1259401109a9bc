"""Pixels in a TensorFlow graph are Pillow's: resized, cropped, turned, and decoded from whatever a file holds."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from cnnzoo.data.transform import Transform
from cnnzoo.runtimes import decode_graph, resize_graph

PHOTO = load_sample_images().images[0]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 4), "uint8")
CHANGE = Transform((24, 32), 3, None)


def file(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def decode():
    signature = [tf.TensorSpec((None,), tf.string)]
    return tf.function(lambda contents: decode_graph.decode_files(contents, CHANGE), input_signature=signature)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "nearest"])
@pytest.mark.parametrize(
    "change",
    [((96, 128), 0.875, 0), ((64, 48), None, 0), ((299, 299), 1.0, 0), ((32, 32), 0.9, 2), ((300, 350), 0.9, 0)],
)
def test_resizing_in_the_graph_equals_pillow(interpolation, change):
    size, crop, pad = change
    transform = Transform(size, 3, crop, interpolation, pad)
    for part in (PHOTO, PHOTO[:200, :177], PHOTO[:50, :60]):
        resized = resize_graph.resize_in_graph(tf.constant(part[None]), transform, ready=False)
        np.testing.assert_array_equal(resized[0], transform.resize_and_crop(Image.fromarray(part)))


def test_gray_and_color_are_converted_as_in_pillow():
    gray = np.asarray(Image.fromarray(PHOTO).convert("L"))
    one = resize_graph.resize_in_graph(tf.constant(PHOTO[None]), Transform(PHOTO.shape[:2], 1))
    np.testing.assert_array_equal(one[0, ..., 0], gray)
    three = resize_graph.resize_in_graph(tf.constant(gray[None, ..., None]), Transform(PHOTO.shape[:2], 3))
    np.testing.assert_array_equal(three[0], np.repeat(gray[..., None], 3, axis=2))


def test_arrays_of_the_right_size_stay_and_files_are_cropped():
    change = Transform((40, 56), 3, 0.5)
    images = tf.constant(NOISE[None, ..., :3])
    any_size = tf.function(
        lambda x: resize_graph.resize_in_graph(x, change),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
    )
    np.testing.assert_array_equal(any_size(images), images)
    np.testing.assert_array_equal(resize_graph.resize_in_graph(images, change), images)
    assert (resize_graph.resize_in_graph(images, change, ready=False) != images).numpy().any()


def kinds():
    colour, gray = Image.fromarray(NOISE[..., :3]), Image.fromarray(NOISE[..., 0])
    indexed = colour.quantize(50)
    yield from {
        "jpeg": file(colour, "JPEG"),
        "jpeg 4:4:4": file(colour, "JPEG", subsampling=0),
        "progressive": file(colour, "JPEG", progressive=True, quality=60),
        "gray jpeg": file(gray, "JPEG"),
        "png": file(colour),
        "gray png": file(gray),
        "16-bit png": file(Image.fromarray(NOISE[..., 0].astype("uint16") * 257 + 7)),
        "bits": file(colour.convert("1")),
        "transparent": file(Image.fromarray(NOISE)),
        "transparent gray": file(Image.fromarray(NOISE[..., :2], "LA")),
        "indexed": file(indexed),
        "indexed, transparent": file(indexed, transparency=3),
        "gif": file(indexed, "GIF"),
        "bmp": file(colour, "BMP"),
        "webp": file(colour, "WEBP"),
        "transparent webp": file(Image.fromarray(NOISE), "WEBP", lossless=True),
    }.items()


def test_every_file_format_gives_the_pixels_of_pillow(decode):
    names, contents = zip(*kinds(), strict=True)
    images, good = decode(tf.constant(contents))
    for name, content, pixels, fine in zip(names, contents, images.numpy(), good.numpy(), strict=True):
        assert fine, name
        np.testing.assert_array_equal(pixels, CHANGE(content), err_msg=name)


def test_exif_orientation_is_applied(decode):
    contents = []
    for value in range(10):  # 0 and 9 mean nothing
        exif = Image.Exif()
        exif[0x0112] = value
        picture = Image.fromarray(NOISE[..., :3])
        contents += [file(picture, kind, exif=exif) for kind in ("JPEG", "PNG")]
        contents.append(file(picture, "WEBP", exif=exif, lossless=True))
    images, good = decode(tf.constant(contents))
    assert good.numpy().all()
    for content, pixels in zip(contents, images.numpy(), strict=True):
        np.testing.assert_array_equal(pixels, CHANGE(content))


def hostile():
    whole = file(Image.fromarray(NOISE[..., :3]))
    jpeg = file(Image.fromarray(NOISE[..., :3]), "JPEG")
    huge = bytearray(whole)
    huge[16:24] = struct.pack(">II", 50_000, 50_000)
    strip = bytearray(whole)
    strip[16:24] = struct.pack(">II", 5_000, 5)
    return [
        b"",
        b"hello",
        whole[:500],
        jpeg[:100],
        bytes(huge),
        bytes(strip),
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"RIFF0000WEBP",
    ]


def test_inputs_that_are_not_images_are_flagged_and_the_others_decoded(decode):
    good = file(Image.fromarray(NOISE[..., :3]))
    contents = [good, *hostile(), good]
    images, fine = decode(tf.constant(contents))
    assert fine.numpy().tolist() == [True, *([False] * len(hostile())), True]
    for pixels in (images[0], images[-1]):
        np.testing.assert_array_equal(pixels, CHANGE(good))
    assert not images[1:-1].numpy().any()
    assert decode(tf.constant(hostile()))[1].numpy().sum() == 0
    assert len(decode(tf.constant([], tf.string))[0]) == 0


def test_broken_exif_data_is_ignored(decode):
    """Cut off, pointing outside, endless, or circular."""
    picture = Image.fromarray(NOISE[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = file(picture, "JPEG", exif=exif)
    at = jpeg.index(b"Exif\0\0") + 6
    damaged = []
    for place, value in ((at + 4, b"\xff\xff\xff\x7f"), (at + 8, b"\xff\xff"), (at, b"\0\0"), (at - 8, b"\0\0")):
        damaged.append(jpeg[:place] + value + jpeg[place + len(value) :])
    orientations = [int(decode_graph.read_exif_orientation(tf.constant(content))) for content in damaged]
    assert all(1 <= value <= 8 for value in orientations)
    assert int(decode_graph.read_exif_orientation(tf.constant(jpeg))) == 6

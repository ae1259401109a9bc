"""Common JPEG files are decoded without Pillow's header, to the same pixels; all others as before."""

import io
import random

import numpy as np
import pytest
from helpers.image_files import encode, make_scene
from PIL import Image

import cnnzoo
from cnnzoo.data import plain_jpeg
from cnnzoo.data.decode import decode_image
from cnnzoo.data.plain_jpeg import is_plain
from cnnzoo.data.repair import repair_content
from cnnzoo.data.transform import Transform

SCENE = Image.fromarray(make_scene(61, 83))


def with_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(SCENE, "JPEG", exif=exif)


def with_adobe_transform(transform):
    """Return a file whose Adobe segment says how colors are stored: 0 is RGB."""
    segment = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    content = encode(SCENE, "JPEG")
    end = 4 + int.from_bytes(content[4:6], "big")  # of the segment of JFIF
    return content[:2] + segment + content[end:]


PLAIN = {
    "420": encode(SCENE, "JPEG", quality=80),
    "444": encode(SCENE, "JPEG", quality=95, subsampling=0),
    "gray": encode(SCENE.convert("L"), "JPEG"),
    "restart": encode(SCENE, "JPEG", restart_marker_blocks=3),
    "optimized": encode(SCENE, "JPEG", optimize=True, comment=b"a comment"),
    "rgb": encode(SCENE, "JPEG", keep_rgb=True),
    "adobe-0": with_adobe_transform(0),
    "adobe-1": with_adobe_transform(1),
    "large": encode(SCENE.resize((900, 700)), "JPEG"),
}
OTHERS = {
    "progressive": encode(SCENE, "JPEG", progressive=True),
    "cmyk": encode(SCENE.convert("CMYK"), "JPEG"),
    "exif": with_exif(),
    "icc": encode(SCENE, "JPEG", icc_profile=b"profile"),
    "png": encode(SCENE, "PNG"),
    "without-end": PLAIN["420"][:-2],
}


def decode_both_ways(monkeypatch, content, action):
    """Return what an action gives with and without the shorter way."""
    results = []
    for largest in (plain_jpeg.MAX_PLAIN_PIXELS, 0):
        monkeypatch.setattr(plain_jpeg, "MAX_PLAIN_PIXELS", largest)
        try:
            pixels = action(content)
            results.append((pixels.shape, pixels.tobytes()))
        except cnnzoo.InputError as error:
            results.append(str(error))
    return results


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_the_pixels_are_the_same(name, monkeypatch):
    content = (PLAIN | OTHERS)[name]
    _, _, layout = repair_content(content)
    # A file that lacks its end only is completed
    assert is_plain(layout) == (name in PLAIN or name == "without-end")
    transform = Transform((32, 32), crop=0.875)
    for action in (
        decode_image,
        lambda content: decode_image(content, 1),
        transform.transform_file,
        transform.resize_only,
        lambda content: transform.random_resized_crop(content, (0.3, 1.0), random.Random(1)),
    ):
        one, other = decode_both_ways(monkeypatch, content, action)
        assert not isinstance(one, str)
        assert one == other


def test_damaged_files_are_the_same_errors(monkeypatch):
    """Any byte may be wrong."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        content = bytearray(PLAIN["420"])
        for position in rng.integers(2, len(content) if rng.random() < 0.5 else 200, 2):
            content[position] = rng.integers(256)
        one, other = decode_both_ways(monkeypatch, bytes(content), decode_image)
        assert one == other
        outcomes.add(isinstance(one, str))
    assert outcomes == {True, False}


def test_truncated_files_are_errors(monkeypatch):
    content = PLAIN["420"]
    for length in (len(content) // 2, len(content) // 3):
        for cut in (content[:length], content[:length] + b"\xff\xd9"):
            one, other = decode_both_ways(monkeypatch, cut, decode_image)
            assert one == other
    assert np.asarray(Image.open(io.BytesIO(content))).shape == (61, 83, 3)

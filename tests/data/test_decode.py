"""Files to pixels: every format and mode, upright, as Pillow gives them; what cannot be read is named."""

import io

import numpy as np
import pytest
from pictures import broken, formats, orientations, saved, scene, write
from PIL import Image

import cnnzoo
from cnnzoo.data.decode import MAX_PIXELS, decode

GOOD = formats() | orientations()


@pytest.mark.parametrize("name", GOOD)
def test_the_pixels_are_right(name, tmp_path):
    content, pixels, tolerance = GOOD[name]
    path = write(tmp_path, {name: content})[name]
    found = decode(path)
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).max() <= tolerance
    np.testing.assert_array_equal(decode(content), found)
    gray = decode(path, 1)
    assert gray.shape == (*pixels.shape[:2], 1)


@pytest.mark.parametrize("name", broken())
def test_what_cannot_be_read_is_named(name, tmp_path):
    path = write(tmp_path, {name: broken()[name]})[name]
    with pytest.raises(cnnzoo.InputError, match=f"Cannot read '.*{name}' as an image: .+"):
        decode(path)


def test_nothing_large_reaches_a_decoder(tmp_path, monkeypatch):
    sizes = []
    load = Image.Image.load
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: (sizes.append(image.size), load(image))[1])
    for name, path in write(tmp_path, {"huge.png": broken()["huge.png"]}).items():
        with pytest.raises(cnnzoo.InputError, match=name):
            decode(path)
    assert all(width * height <= MAX_PIXELS for width, height in sizes)


def test_other_formats_are_refused(tmp_path):
    out = io.BytesIO()
    Image.fromarray(scene()).save(out, "PPM")
    with pytest.raises(cnnzoo.InputError, match="no JPEG, PNG, GIF, BMP, DIB, WEBP, TIFF file"):
        decode(out.getvalue())


def test_floating_point_and_deep_levels():
    with pytest.raises(cnnzoo.InputError, match="no agreed range"):
        decode(saved(Image.fromarray(np.ones((4, 4), "float32")), "TIFF"))
    with pytest.raises(cnnzoo.InputError, match="0 to 65535"):
        decode(saved(Image.fromarray(np.full((4, 4), 70_000, "int32")), "TIFF"))
    with pytest.raises(cnnzoo.InputError, match="1 or 3 channels"):
        decode(b"", 4)


@pytest.mark.parametrize("folder", ["hymenoptera", "imagenet_100"])
def test_jpeg_and_png_are_pillows(test_data, folder):
    """Bit by bit, on real photos."""
    found = 0
    for path in sorted(test_data(folder).rglob("*")):
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as image:
                np.testing.assert_array_equal(decode(path), np.asarray(image.convert("RGB")))
            found += 1
    assert found >= 100

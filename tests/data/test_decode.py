"""Decoding files: every format and mode, upright, with Pillow's pixels; unreadable files are explained."""

import random

import numpy as np
import pytest
from helpers.image_files import broken_files, encode, make_scene, oriented_files, valid_files, write_files
from PIL import Image, PngImagePlugin

import cnnzoo
from cnnzoo import Transform
from cnnzoo.data import decode, repair
from cnnzoo.data.decode import MAX_PIXELS, decode_image
from cnnzoo.data.repair import may_be_turned
from cnnzoo.data.scan import examine_image

VALID_FILES = valid_files() | oriented_files()


@pytest.mark.parametrize("name", VALID_FILES)
def test_files_have_the_right_pixels(name, tmp_path):
    content, pixels, tolerance = VALID_FILES[name]
    path = write_files(tmp_path, {name: content})[name]
    decoded = decode_image(path)
    assert decoded.dtype == np.uint8
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).max() <= tolerance
    np.testing.assert_array_equal(decode_image(content), decoded)
    gray = decode_image(path, 1)
    assert gray.shape == (*pixels.shape[:2], 1)


@pytest.mark.parametrize("name", broken_files())
def test_unreadable_files_are_named(name, tmp_path):
    path = write_files(tmp_path, {name: broken_files()[name]})[name]
    with pytest.raises(cnnzoo.InputError, match=f"Cannot read '.*{name}' as an image: .+"):
        decode_image(path)


def test_large_images_are_refused_before_decoding(tmp_path, monkeypatch):
    sizes = []
    load = Image.Image.load
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: (sizes.append(image.size), load(image))[1])
    for name, path in write_files(tmp_path, {"huge.png": broken_files()["huge.png"]}).items():
        with pytest.raises(cnnzoo.InputError, match=name):
            decode_image(path)
    assert all(width * height <= MAX_PIXELS for width, height in sizes)


def test_levels_without_an_agreed_range_are_refused():
    with pytest.raises(cnnzoo.InputError, match="no agreed range"):
        decode_image(encode(Image.fromarray(np.ones((4, 4), "float32")), "TIFF"))
    with pytest.raises(cnnzoo.InputError, match=r"0 to 65535.*levels=\(low, high\)"):
        decode_image(encode(Image.fromarray(np.full((4, 4), 70_000, "int32")), "TIFF"))
    with pytest.raises(cnnzoo.InputError, match="1 or 3 channels"):
        decode_image(b"", 4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 9, 65535])
def test_sizes_are_known_before_decoding(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(make_scene(40, 64)).save(path, exif=exif)
    facts = examine_image(path)
    assert (facts.height, facts.width) == decode_image(path).shape[:2]
    plain = tmp_path / "plain.png"
    Image.fromarray(decode_image(path)).save(plain)
    crops = [Transform((32, 32)).random_resized_crop(p, (0.3, 0.9), random.Random(1)) for p in (path, plain)]
    np.testing.assert_array_equal(*crops)


def test_16_bit_images_with_white_as_zero():
    ramp = Image.fromarray(np.linspace(0, 65535, 64).astype("uint16").reshape(8, 8))
    straight, negative = (decode_image(encode(ramp, "TIFF", tiffinfo={262: white})) for white in (1, 0))
    np.testing.assert_array_equal(255 - straight, negative)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["hymenoptera", "imagenet_100"])
def test_photos_have_pillows_pixels(test_data, folder):
    """Bit by bit."""
    count = 0
    for path in sorted(test_data(folder).rglob("*")):
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as image:
                np.testing.assert_array_equal(decode_image(path), np.asarray(image.convert("RGB")))
            count += 1
    assert count >= 100


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("keyword", ["Raw profile type exif", "XML:com.adobe.xmp"])
def test_orientation_in_text_of_png_files_is_applied(keyword, is_compressed):
    """ImageMagick writes EXIF data as text; the memory of turning the image is counted then."""
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    text = f"\nexif\n{len(raw):8}\n{raw.hex()}\n" if "exif" in keyword else '<x tiff:Orientation="6"/>'
    info = PngImagePlugin.PngInfo()
    info.add_text(keyword, text, zip=is_compressed)
    content = encode(Image.fromarray(make_scene(20, 30)), "PNG", pnginfo=info)
    assert decode_image(content).shape == (30, 20, 3)
    assert may_be_turned(content)


def test_a_jpeg_file_is_walked_through_once(tmp_path, monkeypatch):
    path = tmp_path / "scene.jpg"
    Image.fromarray(make_scene(60, 80)).save(path)
    calls = []

    def count_calls(content, read=repair.read_jpeg_layout):
        calls.append(len(content))
        return read(content)

    monkeypatch.setattr(repair, "read_jpeg_layout", count_calls)
    monkeypatch.setattr(decode, "read_jpeg_layout", count_calls)
    decode_image(path)
    assert calls == [path.stat().st_size]


def test_a_file_that_is_cut_off_is_told_in_plain_words(tmp_path):
    for suffix in ("jpg", "png"):
        file = tmp_path / f"a.{suffix}"
        Image.fromarray(np.arange(64 * 64 * 3, dtype="uint8").reshape(64, 64, 3)).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(cnnzoo.InputError, match="the file is truncated: it ends before the image does"):
            decode_image(file)

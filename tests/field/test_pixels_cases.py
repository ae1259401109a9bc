"""Image files as cameras, programs and strangers write them: equal pixels everywhere, or the same refusal."""

import io
import os
import random
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.cases import Case, parametrize_cases
from helpers.image_files import make_scene, write_class_folders
from helpers.image_kinds import encode, image_kinds, insert_after_start, make_png, png_chunk
from helpers.processes import ForkedProcess, finish
from PIL import Image

import cnnzoo
from cnnzoo import Transform
from cnnzoo.cards import Card
from cnnzoo.data.bit_depth import scale_levels
from cnnzoo.data.decode import decode_image
from cnnzoo.data.scan import examine_image
from cnnzoo.runtimes.decode_graph import decode_files

KINDS = image_kinds()
GRAPH_LEVELS = (None, 4095)  # a graph for each takes seconds to build


@pytest.fixture(scope="module")
def graphs():
    """The function that a SavedModel decodes with, by levels."""

    def build(transform):
        signature = [tf.TensorSpec((None,), tf.string)]
        return tf.function(lambda files: decode_files(files, transform), input_signature=signature, autograph=False)

    return {levels: build(Transform((24, 32), levels=levels)) for levels in GRAPH_LEVELS}


# One table of image kinds for all decoders


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_decoder_gives_equal_pixels(kind, graphs):
    pixels = decode_image(kind.content, levels=Transform((8, 8), levels=kind.levels).levels)
    if kind.white:
        top, bottom, left, right = kind.white
        assert (pixels[top:bottom, left:right] == 255).all()
    if kind.in_graph is None:
        return
    transform = Transform((24, 32), levels=kind.levels if kind.levels in GRAPH_LEVELS else None)
    images, problems = graphs[kind.levels if kind.levels in GRAPH_LEVELS else None](tf.constant([kind.content]))
    problem = problems.numpy()[0].decode()
    if kind.in_graph:
        assert not problem
        np.testing.assert_array_equal(images[0], transform(kind.content))
    else:
        assert "TensorFlow can" in problem


@pytest.mark.slow
def test_gray_networks_see_equal_pixels_too():
    transform = Transform((24, 32), 1, 0.875, "bicubic")
    kinds = [kind for kind in KINDS if kind.in_graph and kind.levels is None]
    images, problems = decode_files(tf.constant([kind.content for kind in kinds]), transform)
    assert not any(problems.numpy())
    for kind, image in zip(kinds, images.numpy(), strict=True):
        np.testing.assert_array_equal(image, transform(kind.content), err_msg=kind.name)


@pytest.mark.slow
def test_hostile_webp_files_do_not_end_the_process(monkeypatch):
    """R01: TensorFlow corrupts its heap on an animated WebP that states no transparency."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finish(ForkedProcess(decode_changed_webp_files))


def decode_changed_webp_files():
    decode = tf.function(
        lambda x: decode_files(x, Transform((8, 8))), [tf.TensorSpec((None,), tf.string)], autograph=False
    )
    draw = random.Random(0)
    contents = [kind.content for kind in image_kinds() if kind.name.startswith("webp")]
    for _ in range(30):
        changed = [bytearray(content) for content in contents]
        for content in changed:
            for _ in range(draw.randint(0, 6)):
                content[draw.randrange(min(len(content), 64))] = draw.randrange(256)
        decode(tf.constant([*map(bytes, changed), *contents]))


# Levels


def save_levels(folder, make):
    """Write 24 images, `make(gray)` of 8-bit pictures, into two class folders."""
    write_class_folders(folder, {"cat": 12, "dog": 12}, size=(40, 40))
    for path in folder.rglob("*.png"):
        gray = np.asarray(Image.open(path).convert("L"))
        path.write_bytes(make(gray))
    return folder


def png_of_levels(levels):
    return encode(Image.fromarray(levels))


LEVELS = [
    Case("12 bits", "aiff22/PyNET-PyTorch#6", lambda gray: png_of_levels(gray.astype("uint16") * 16), "12 bits.*=4095"),
    Case("10 bits", "microscope", lambda gray: png_of_levels(gray.astype("uint16") * 4), "10 bits.*=1023"),
    Case("8 bits", "NumPy's astype", lambda gray: png_of_levels(gray.astype("uint16")), "8 bits.*=255"),
    Case("14 bits, not from 0", "camera", lambda gray: png_of_levels(gray.astype("uint16") * 40 + 47), "14 bits"),
    Case(
        "TIFF", "deepcell-tf#618", lambda gray: encode(Image.fromarray(gray.astype("uint16") * 16), "TIFF"), "12 bits"
    ),
    Case("32-bit TIFF", "ImageJ", lambda gray: encode(Image.fromarray(gray.astype("int32") * 16), "TIFF"), "12 bits"),
    Case(
        "RGB",
        "pytorch#20524",
        lambda gray: make_png(np.repeat(gray.astype(">u2") * 16, 3, 1).astype(">u2").view("uint8"), 16, 2),
        "12 bits",
    ),
]


@parametrize_cases(LEVELS)
def test_unused_bits_are_found_and_scaled(case, tmp_path):
    folder = save_levels(tmp_path / "photos", case.make)
    with pytest.warns(UserWarning, match=case.expected):
        data = cnnzoo.load_data(folder, image_size=24)
    finding = next(finding for finding in data.diagnosis.findings if finding.kind == "levels")
    assert len(finding.images) == 24
    assert not finding.set_aside
    bits = int(finding.reason.split(" bits?")[0].split()[-1])
    scaled = cnnzoo.load_data(folder, image_size=24, levels=2**bits - 1)
    assert not any(finding.kind == "levels" for finding in scaled.diagnosis.findings)
    assert scaled.train.images[:].max() > 150 > data.train.images[:].max()


def test_images_of_0_and_1_are_found(tmp_path):
    folder = save_levels(tmp_path / "masks", lambda gray: png_of_levels((gray > gray.mean()).astype("uint8")))
    with pytest.warns(UserWarning, match="levels to 1 of 255 in 24 images: masks.* multiply their pixels by 255"):
        data = cnnzoo.load_data(folder, image_size=24)
    assert not data.diagnosis.set_aside


def test_full_range_and_dark_pictures_are_no_finding(tmp_path):
    folder = save_levels(tmp_path / "photos", lambda gray: png_of_levels(gray.astype("uint16") * 257))
    Image.fromarray(np.full((40, 40), 900, "uint16")).save(folder / "cat" / "night.png")
    data = cnnzoo.load_data(folder, image_size=24)
    assert not any(finding.kind == "levels" for finding in data.diagnosis.findings)
    with pytest.warns(UserWarning, match=r"beyond 0 to 4,095 become black or white in 24 images"):
        cnnzoo.load_data(folder, image_size=24, levels=4095)


def test_fractions_and_signed_levels_need_levels(tmp_path):
    for make, levels in (
        (lambda gray: encode(Image.fromarray((gray / 255).astype("float32")), "TIFF"), (0, 1)),
        (lambda gray: encode(Image.fromarray(gray.astype("int32") * 12 - 1000), "TIFF"), (-1000, 2060)),
    ):
        folder = save_levels(tmp_path / str(levels), make)
        with pytest.raises(cnnzoo.InputError, match=r"levels=\(low, high\)"):
            cnnzoo.load_data(folder)
        data = cnnzoo.load_data(folder, image_size=24, levels=levels)
        assert data.train.images[:].std() > 20
        with pytest.raises(cnnzoo.InputError, match=r"levels=\(low, high\)"):  # the cache of scans does not forget
            cnnzoo.load_data(folder)


def test_levels_travel_with_the_model():
    transform = Transform((24, 32), levels=4095)
    card = Card.from_json(Card("a", ("b", "c"), transform=transform.to_dict()).to_json())
    assert Transform((24, 32), **card.evaluation_transform) == transform
    assert (transform(np.full((9, 9), 4095, "uint16")) == 255).all()
    images = np.random.default_rng(0).integers(0, 4096, (30, 8, 8), "uint16")
    data = cnnzoo.load_data((images, ["a", "b", "c"] * 10), levels=4095)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.max() > 250


@pytest.mark.parametrize("levels", [0, -5, "4095", (5, 5), (9, 1), (1, 2, 3), float("nan"), True])
def test_wrong_levels_are_refused(levels):
    with pytest.raises(cnnzoo.InputError, match="levels must be the level that becomes white, such as 4095"):
        cnnzoo.load_data("digits", levels=levels)


def test_levels_are_rounded_and_clipped():
    levels = np.array([-7, 0, 8, 9, 4095, 60_000])
    np.testing.assert_array_equal(scale_levels(levels, (0, 4095)), [0, 0, 0, 1, 255, 255])


# What a file is


OTHER_FILES = {
    "a PDF document.*pdftoppm": b"%PDF-1.7\n%abc",
    "a HEIC photo.*convert it to JPEG": b"\0\0\0\x18ftypheic\0\0\0\0",
    "a JPEG XL image": b"\xff\x0a\xfa\x1f",
    "a DICOM file.*levels=": bytes(128) + b"DICM\x02\0",
    "a Canon CR2 raw photo": b"II*\0\x10\0\0\0CR\x02\0",
    "a Photoshop document": b"8BPS\0\1" + bytes(20),
    "an SVG drawing.*render": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page.*download": b"\n <!DOCTYPE html><html><body>404</body></html>",
    "a pointer of Git LFS.*git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
    "compressed with gzip.*unpack": b"\x1f\x8b\x08\0abc",
    "a zip archive.*unpack": b"PK\3\4\x14\0",
    "a data: URL.*base64": b"data:image/jpeg;base64,/9j/4AAQ",
    "a JPEG image in base64": b"/9j/4AAQSkZJRgABAQ",
    "a video.*ffmpeg": b"\0\0\0\x20ftypisom\0\0\2\0",
    "a text file": b"name,label\ncat.jpg,cat\n",
    "a JSON file": b'{"error": "not found"}',
    "metadata of macOS": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a NumPy array.*numpy.load": b"\x93NUMPY\1\0",
    "a file of zeros.*get the file again": bytes(500),
    "an empty file": b"",
    "unknown kind.*e6 fb 89 21": b"\xe6\xfb\x89\x21\x7b\x9f\xab\x1e\x00\x00",
}


@pytest.mark.parametrize("pattern", OTHER_FILES)
def test_other_files_are_named(pattern):
    with pytest.raises(cnnzoo.InputError, match=f"(?s){pattern}"):
        decode_image(OTHER_FILES[pattern])


def test_a_saved_model_names_other_files_too(graphs):
    names = ["a PDF document.*pdftoppm", "a HEIC photo.*convert it to JPEG", "a web page.*download", "a zip archive"]
    contents = [content for pattern, content in OTHER_FILES.items() if pattern.startswith(tuple(names))]
    problems = graphs[None](tf.constant(contents))[1].numpy()
    for name, problem in zip(names[:3], problems, strict=False):
        assert name.split(".*")[0] in problem.decode()


def test_truncated_jpeg_files_are_not_completed(graphs):
    """Only the end marker may be missing; a file that lacks pixels is refused."""
    scene = Image.fromarray(make_scene(31, 45))
    for options in ({}, {"progressive": True}):
        whole = encode(scene, "JPEG", **options)
        wrong = [whole[:-cut] for cut in range(3, 12)]
        for content in wrong:
            with pytest.raises(cnnzoo.InputError, match="truncated"):
                decode_image(content)
        assert all(graphs[None](tf.constant(wrong))[1].numpy())
        assert examine_image(io.BytesIO(whole[:-2])).repairs == "the end marker is missing, but all pixels are there"
    leading = examine_image(io.BytesIO(b"\r\n" + whole))
    assert leading.repairs == "2 bytes before the image, which are skipped"
    with pytest.raises(cnnzoo.InputError):
        decode_image(b"x" * 70 + whole)


# Small files that would take long, or much memory


def bomb(width, height, bits, color_type, *chunks):
    """Return a PNG file that announces many pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(999))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def hostile_files():
    """Return small files of kinds that used to take minutes or gigabytes, with a pattern of the refusal."""
    jpeg = encode(Image.fromarray(make_scene()), "JPEG")
    large = bytearray(encode(Image.new("L", (2000, 2000)), "JPEG", progressive=True))
    scan = bytes(large[large.rindex(b"\xff\xda") : -2])
    gif = encode(Image.fromarray(make_scene()).quantize(9), "GIF")
    webp = encode(Image.new("RGB", (5200, 5200)), "WEBP", lossless=True, method=0)
    png = encode(Image.fromarray(make_scene()))
    return {
        "4.3 RGBA16": (bomb(9000, 9800, 16, 6), "9000x9800 pixels, more than the 22500000 allowed"),
        "gray 16": (bomb(9000, 9800, 16, 0), "more than the 26470588 allowed"),
        "RGB16 tRNS": (bomb(9000, 9000, 16, 2, (b"tRNS", bytes(6))), "more than the"),
        "too many pixels": (bomb(50_000, 50_000, 8, 2), "2500000000 pixels, more than the 89,000,000 allowed"),
        "strip": (bomb(5000, 5, 8, 2), "one side is over 200 times the other"),
        "webp canvas": (webp, "5200x5200 pixels, more than the 26470588 allowed"),
        "4.2 comments": (insert_after_start(jpeg, *[(0xFE, b"")] * 50_000), "a JPEG image of over 2,000 segments"),
        "7.1 scans": (bytes(large[:-2]) + scan * 1000 + b"\xff\xd9", "more than the [0-9]{6} allowed"),
        "7.1 more scans": (bytes(large[:-2]) + scan * 5000 + b"\xff\xd9", "over 2,000 segments"),
        "7.2 junk": (jpeg[:20] + bytes(100_000) + jpeg[20:], "over 4,096 bytes of junk"),
        "7.2 zeros": (jpeg[:20] + bytes(2_000_000), "over 4,096 bytes of junk"),
        "png chunks": (png[:33] + png_chunk(b"abCd", b"") * 5000 + png[33:], "67[0-9]+ bytes in over 1066 chunks"),
        "gif blocks": (gif[:13] + bytes(gif[13:]).replace(b",", b"!\xfe" + b"\1a" * 5000 + b"\0,", 1), "blocks"),
    }


HOSTILE_FILES = hostile_files()


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_hostile_files_are_refused_at_once_in_both_decoders(name, graphs):
    content, pattern = HOSTILE_FILES[name]
    start = time.process_time()
    with pytest.raises(cnnzoo.InputError, match=pattern) as refusal:
        decode_image(content)
    assert time.process_time() - start < 2
    graphs[None](tf.constant([b""]))
    start = time.process_time()
    problem = graphs[None](tf.constant([content]))[1].numpy()[0].decode()
    assert time.process_time() - start < 4
    assert str(refusal.value) == f"Cannot read the bytes as an image: {problem}"


def test_a_large_picture_in_an_icon_is_refused():
    """Pillow decodes it when it opens the file, whatever size the icon states."""
    png = bomb(9000, 9000, 8, 6)
    content = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(png), 22) + png
    with pytest.raises(cnnzoo.InputError, match="an icon of 9000x9000 pixels, more than 1024 on a side"):
        decode_image(content)


def test_a_sparse_file_is_refused_without_reading_all_of_it(tmp_path):
    """7.2: a header and zeros up to a gigabyte, which take no space on the disk."""
    path = tmp_path / "sparse.jpg"
    path.write_bytes(encode(Image.fromarray(make_scene()), "JPEG")[:20])
    os.truncate(path, 2**30)
    start = time.process_time()
    with pytest.raises(cnnzoo.InputError, match="bytes of junk"):
        decode_image(path)
    assert time.process_time() - start < 2


def test_large_files_may_have_more_pixels():
    """What is refused in a small file is read in a large one, as photographs are large."""
    pixels = np.zeros((6000, 6000), "uint16")
    content = encode(Image.fromarray(pixels), compress_level=1)
    with pytest.raises(cnnzoo.InputError, match="6000x6000 pixels, more than the 26470588 allowed"):
        decode_image(content)
    padded = content + bytes(14_000_000)
    with pytest.raises(cnnzoo.InputError, match="more than the 3[0-9]+ allowed"):
        decode_image(padded[:-1_000_000])


def test_the_disk_cache_reserves_its_space(tmp_path, monkeypatch):
    """7.3: a disk that fills up is told at once, and does not end the process later."""
    folder = write_class_folders(tmp_path / "photos", {"cat": 12, "dog": 12})
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path / "home"))

    def fail(file, offset, length):
        raise OSError(28, "No space left on device")

    data = cnnzoo.load_data(folder, cache="disk", image_size=24)
    (file, *_) = sorted((tmp_path / "home").rglob("*.u8"))
    assert file.stat().st_blocks * 512 >= file.stat().st_size
    assert data.train.images[:].any()
    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(cnnzoo.InputError, match="No space left on device"):
        cnnzoo.load_data(folder, cache="disk", image_size=25)
    assert len(list((tmp_path / "home").rglob("*.u8"))) == 3

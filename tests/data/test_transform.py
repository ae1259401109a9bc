"""Transforms: crops equal those of torchvision and Pillow, for files, arrays and graphs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from helpers.image_files import make_scene, oriented_files, valid_files, write_files
from PIL import Image

import cnnzoo
from cnnzoo import Transform, cards
from cnnzoo.data.decode import decode_image
from cnnzoo.data.resize import INTERPOLATIONS, resize_images
from cnnzoo.data.transform import random_crop_box

FILTERS = {name: Image.Resampling(number) for name, number in INTERPOLATIONS.items()}


def resize_and_center_crop(pixels, side, resize, interpolation):
    """Resize the shorter side, then crop the center, as torchvision's documentation describes it."""
    image = Image.fromarray(pixels)
    short, long = sorted(image.size)
    sides = (resize, int(resize * long / short))
    image = image.resize(sides if image.width <= image.height else sides[::-1], FILTERS[interpolation])
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return np.asarray(image.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("side", "resize"), [(24, 28), (50, 50), (96, 110), (33, 38)])
def test_the_center_crop_equals_torchvisions(interpolation, side, resize):
    transform = Transform((side, side), 3, side / resize, interpolation)
    for height, width in ((60, 80), (80, 60), (61, 90), (64, 64), (41, 200)):
        pixels = make_scene(height, width)
        difference = np.abs(transform(pixels).astype(int) - resize_and_center_crop(pixels, side, resize, interpolation))
        if interpolation == "nearest":  # may take the neighboring pixel
            assert (difference > 0).mean() < 0.2
        else:
            assert difference.max() <= 2
            assert (difference > 1).mean() < 0.001


@pytest.mark.slow
def test_parity_with_pillow_on_photos(test_data):
    """Resizing without a crop is equal, with a crop it is within one level; on every fourth photo."""
    whole, crop = Transform((224, 224)), Transform((224, 224), crop=0.875)
    shares = []
    for folder in ("hymenoptera", "imagenet_100"):
        for path in sorted(test_data(folder).rglob("*.[jp][pn]g"))[::4]:
            pixels = decode_image(path)
            plain = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(whole(path), plain)
            difference = np.abs(crop(path).astype(int) - resize_and_center_crop(pixels, 224, 256, "bilinear"))
            assert difference.max() <= 1
            shares.append((difference > 0).mean())
    assert len(shares) > 100
    assert np.mean(shares) < 0.01


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop", [None, 0.875])
def test_graphs_resize_as_files_do(interpolation, crop):
    """Exported graphs resize within one level of Pillow, except for one pixel in ten thousand."""
    transform = Transform((48, 40), 3, crop, interpolation, pad=2)
    for height, width in ((60, 80), (131, 90), (30, 31)):
        pixels = np.stack([make_scene(height, width, seed) for seed in range(3)])
        graph = np.asarray(resize_images(pixels, (48, 40, 3), 2, crop, interpolation))
        difference = np.abs(graph - transform(pixels))
        assert difference.max() <= 3
        assert (difference > 1).mean() < 1e-4


def test_transform_takes_paths_bytes_arrays_and_lists(tmp_path):
    paths = write_files(tmp_path, valid_files())
    transform = Transform((32, 48), 3, 0.9)
    one = transform(paths["a.png"])
    assert one.shape == transform.shape == (32, 48, 3)
    assert transform([paths["a.png"], str(paths["a.jpg"])]).shape == (2, 32, 48, 3)
    np.testing.assert_array_equal(transform(paths["a.png"].read_bytes()), one)
    np.testing.assert_array_equal(transform(make_scene()), one)
    np.testing.assert_array_equal(transform(make_scene()[None]), one[None])
    assert transform(make_scene()[..., 0]).shape == (32, 48, 3)
    assert np.abs(transform(make_scene().astype("float32")).astype(int) - one).max() <= 1
    assert transform([]).shape == (0, 32, 48, 3)
    many = Transform((32, 48), 5, 0.9)(np.repeat(make_scene()[..., :1], 5, axis=2))
    assert many.shape == (32, 48, 5)
    with pytest.raises(cnnzoo.InputError, match="path or an array"):
        transform(np.zeros(3))
    with pytest.raises(cnnzoo.InputError, match="Did you mean bilinear"):
        Transform((32, 32), interpolation="bilinera")
    with pytest.raises(cnnzoo.InputError, match="share of the side"):
        Transform((32, 32), crop=1.2)


def test_the_transform_of_a_model():
    keras_weights = {"crop": None, "interpolation": "nearest"}
    model = cnnzoo.get("resnet20", input_shape=(48, 48, 3))
    assert cnnzoo.transform(model) == Transform((48, 48), 3, 0.875)
    cards.attach_card(model, replace(cards.card(model), transform=keras_weights))
    assert cnnzoo.transform(model) == Transform((48, 48), 3, None, "nearest")
    assert cnnzoo.transform(cnnzoo.get("lenet5", weights="mnist")) == Transform((32, 32), 1, None, pad=2)
    with pytest.raises(cnnzoo.InputError, match="no fixed input size"):
        cnnzoo.transform(cnnzoo.get("resnet20", input_shape=(None, None, 3)))


def test_transforms_of_published_weights():
    from cnnzoo.checkpoints import manifest

    assert manifest.find_weights("resnet18", "imagenet.tv_v1").transform == {
        "crop": 224 / 256,
        "interpolation": "bilinear",
    }
    assert manifest.find_weights("vgg16", "imagenet.keras").transform == {"crop": None, "interpolation": "nearest"}
    for row in manifest.load_published_weights():
        transform = Transform((row.input_size, row.input_size), **row.transform, pad=row.pad)
        assert min(transform.resized_size((300, 400))) == row.resize


def test_random_crops_ignore_the_orientation_and_stay_inside(tmp_path):
    paths = write_files(tmp_path, oriented_files())
    transform, area = Transform((24, 24)), (0.2, 0.6)
    rngs = [random.Random(5) for _ in range(9)]
    crop = transform.random_resized_crop
    upright = [crop(path, area, rng) for path, rng in zip(paths.values(), rngs, strict=False)]
    for other in upright[1:]:  # the orientation of the camera does not change the crop
        assert np.abs(other.astype(int) - upright[0]).mean() < 4
    array = crop(decode_image(paths["turned1.jpg"]), area, rngs[8])
    assert np.abs(array.astype(int) - upright[0]).mean() < 4
    for _ in range(200):
        top, left, height, width = random_crop_box(60, 80, area, rngs[0])
        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        assert 0.18 < height * width / 4800 < 0.62
    assert random_crop_box(10, 1000, (0.9, 1), rngs[0])[2:] == (10, 13)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path):
    big = Image.fromarray(make_scene(1200, 1600))
    big.save(tmp_path / "big.jpg", quality=95)
    whole = Transform((96, 96)).random_resized_crop(tmp_path / "big.jpg", (1, 1), random.Random(0))
    array = Transform((96, 96)).random_resized_crop(np.asarray(big), (1, 1), random.Random(0))
    assert np.abs(whole.astype(int) - array).mean() < 3


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_random_crops_equal_those_of_pillow(channels, tmp_path):
    size, area = (24, 32), (0.2, 0.9)
    scene = make_scene(60, 80)
    pixels = {1: scene[..., :1], 2: scene[..., :2], 3: scene}[channels]
    transform = Transform(size, channels)
    mirrored = 0
    for seed in range(12):
        crop = transform.random_resized_crop(pixels, area, random.Random(seed))
        rng = random.Random(seed)
        top, left, height, width = random_crop_box(60, 80, area, rng)
        part = pixels[top : top + height, left : left + width].astype("float32")
        planes = [Image.fromarray(part[..., i]).resize(size[::-1], Image.Resampling.BILINEAR) for i in range(channels)]
        expected = np.rint(np.dstack([np.asarray(plane) for plane in planes]))
        is_mirrored = rng.random() < 0.5
        mirrored += is_mirrored
        expected = expected[:, ::-1] if is_mirrored else expected
        assert np.abs(crop.astype(int) - expected).max() <= (0 if channels == 2 else 1)  # Pillow's 8 bits round twice
    assert 0 < mirrored < 12


def test_random_crop_of_a_file_equals_the_one_written_with_pillow(tmp_path):
    path, area = tmp_path / "scene.jpg", (0.3, 0.9)
    Image.fromarray(make_scene(60, 80)).save(path, quality=90)
    for seed in range(8):
        crop = Transform((40, 40)).random_resized_crop(path, area, random.Random(seed))
        rng = random.Random(seed)
        top, left, height, width = random_crop_box(60, 80, area, rng)
        with Image.open(path) as image:
            expected = image.resize((40, 40), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
        if rng.random() < 0.5:
            expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert np.array_equal(crop, np.asarray(expected))

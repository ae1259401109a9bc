"""The operations of TrivialAugment and RandAugment: torchvision's results, the papers' ranges, the draws."""

import collections
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.operations import OPERATIONS, apply_operations, draw_operations
from cnnzoo.data.policies import POLICIES

REFERENCE = np.load(Path(__file__).parent / "files" / "operations.npz")  # files/make_operations.py wrote it
CASES = [name for name in REFERENCE.files if " " in name]
BY_NAME = {operation.name.replace("_", ""): operation for operation in OPERATIONS}


@pytest.mark.parametrize("case", CASES)
def test_operations_equal_those_of_torchvision(case):
    image, name, amount = case.split()
    pixels = REFERENCE[image]
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    result = apply_operations(pixels, [(BY_NAME[name.lower()], float(amount))]).reshape(REFERENCE[case].shape)
    difference = np.abs(result.astype(int) - REFERENCE[case])
    if name.startswith("Shear"):  # torchvision takes the amount as an angle and back, which moves a few roundings
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
    else:
        assert difference.max() == 0


PILLOW = {
    "brightness": lambda image, amount: ImageEnhance.Brightness(image).enhance(1 + amount),
    "contrast": lambda image, amount: ImageEnhance.Contrast(image).enhance(1 + amount),
    "sharpness": lambda image, amount: ImageEnhance.Sharpness(image).enhance(1 + amount),
    "posterize": lambda image, amount: ImageOps.posterize(image, round(amount)),
    "solarize": ImageOps.solarize,
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
}


@pytest.mark.parametrize("shape", [(130, 140, 3), (200, 170, 1), (3, 2, 1), (1, 1, 3)])
@pytest.mark.parametrize("name", PILLOW)
def test_operations_of_numpy_equal_those_of_pillow(name, shape):
    """For images of several strips, and for the smallest."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    image = Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels)
    low, high = BY_NAME[name].trivial
    for share in (-1, -0.4, 0.2, 1) if low == 0 else (0, 0.3, 1):
        amount = low + share * (high - low)
        expected = np.asarray(PILLOW[name](image, amount)).reshape(shape)
        np.testing.assert_array_equal(apply_operations(pixels, [(BY_NAME[name], amount)]), expected)


def test_the_reference_covers_every_operation():
    assert {case.split()[1].lower() for case in CASES} == BY_NAME.keys()


def test_ranges_are_those_of_the_papers():
    """TrivialAugment: table 1, column "Wide". RandAugment: the 14 operations, with the ranges of AutoAugment."""
    trivial = {operation.name: operation.trivial for operation in OPERATIONS if operation.trivial != (0, 0)}
    assert trivial == {
        "shear_x": (0, 0.99),
        "shear_y": (0, 0.99),
        "translate_x": (0, 32),
        "translate_y": (0, 32),
        "rotate": (0, 135),
        "brightness": (0, 0.99),
        "color": (0, 0.99),
        "contrast": (0, 0.99),
        "sharpness": (0, 0.99),
        "posterize": (8, 2),
        "solarize": (256, 0),
    }
    draw = POLICIES["rand"].draw
    amounts = collections.defaultdict(set)
    rng = random.Random(0)
    for _ in range(500):
        for operation, amount in draw_operations(draw, (100, 200), rng):
            amounts[operation.name].add(round(amount, 4))
    share = 150 / 331 * 0.3
    assert amounts == {
        "identity": {0},
        "auto_contrast": {0},
        "equalize": {0},
        "shear_x": {0.09, -0.09},
        "shear_y": {0.09, -0.09},
        "translate_x": {round(200 * share, 4), round(-200 * share, 4)},
        "translate_y": {round(100 * share, 4), round(-100 * share, 4)},
        "rotate": {9, -9},
        "brightness": {0.27, -0.27},
        "color": {0.27, -0.27},
        "contrast": {0.27, -0.27},
        "sharpness": {0.27, -0.27},
        "posterize": {6.8},
        "solarize": {179.2},
    }


def test_trivial_draws_one_operation_of_uniform_strength():
    rng, count = random.Random(0), 14 * 31 * 100
    draws = [draw_operations(POLICIES["trivial"].draw, (32, 32), rng) for _ in range(count)]
    assert {len(draw) for draw in draws} == {1}
    frequencies = collections.Counter(operation.name for ((operation, _),) in draws)
    assert frequencies.keys() == {operation.name for operation in OPERATIONS}
    assert all(abs(n - count / 14) < 5 * (count / 14) ** 0.5 for n in frequencies.values())
    angles = collections.Counter(amount for ((operation, amount),) in draws if operation.name == "rotate")
    assert {round(abs(angle) / 4.5, 9) for angle in angles} == set(range(31)), "31 levels up to 135 degrees"
    assert 0.45 < sum(n for angle, n in angles.items() if angle < 0) / sum(angles.values()) < 0.52


def test_strength_0_changes_nothing():
    pixels = REFERENCE["colors"]
    for operation in OPERATIONS:
        if operation.trivial != (0, 0):
            for low in (operation.trivial[0], operation.rand[0]):
                np.testing.assert_array_equal(apply_operations(pixels, [(operation, low)]), pixels, operation.name)


def test_gray_moves_in():
    white = np.full((40, 40, 3), 255, "uint8")
    for name in ("shearx", "sheary", "translatex", "translatey", "rotate"):
        out = apply_operations(white, [(BY_NAME[name], 10 if name[0] in "tr" else 0.9)])
        assert {128, 255} >= set(np.unique(out).tolist()), name
        assert (out == 128).any(), name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_channel_of_other_images_is_a_gray_image(operation):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 5), "uint8")
    amount = 0.3 * operation.trivial[1] + 0.7 * operation.trivial[0]
    out = apply_operations(pixels, [(operation, amount)])
    for i in range(5):
        np.testing.assert_array_equal(out[..., i : i + 1], operation.apply(pixels[..., i : i + 1], amount))


def test_other_types_are_rounded_and_keep_their_type():
    pixels = REFERENCE["colors"]
    draw = [(BY_NAME["equalize"], 0), (BY_NAME["contrast"], 0.5)]
    expected = apply_operations(pixels, draw)
    for dtype, offset in (("float32", 0.3), ("float64", -0.3), ("int64", 0)):
        out = apply_operations(pixels.astype(dtype) + np.array(offset, dtype), draw)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, expected)


def test_an_augmentation_can_be_sent_to_another_process():
    augmentation = Augmentation("trivial+erase+shift+mixup", (16, 16))
    pixels = REFERENCE["colors"][:16, :16]
    out = pickle.loads(pickle.dumps(augmentation)).augment_image(pixels, random.Random(3))
    np.testing.assert_array_equal(out, augmentation.augment_image(pixels, random.Random(3)))

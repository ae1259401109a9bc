"""Augmentation policies: what they do to a batch, and that everything depends on the seed."""

import itertools

import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.augmentation import POLICIES, Augmentation, parse_policy, random_shift_and_flip


def make_batch(channels=3, side=96):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, side, side, channels)).astype("float32")
    return images, np.eye(3, dtype="float32")[np.arange(12) % 3]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", [*POLICIES, "rand+erase+mixup+cutmix"])
def test_policies_change_images_by_the_seed_alone(policy, channels):
    images, labels = make_batch(channels)
    augmentation = Augmentation(policy, (96, 96))
    out, mixed = augmentation(images, labels, np.random.default_rng(1))
    same, _ = Augmentation(policy, (96, 96))(images, labels, np.random.default_rng(1))
    other, _ = augmentation(images, labels, np.random.default_rng(2))
    np.testing.assert_array_equal(out, same)
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 255
    assert np.array_equal(out, images) == (not augmentation)
    assert np.array_equal(out, other) == (not augmentation)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(mixed, labels) == (not augmentation.mixes)


def test_policies_crop_large_images_and_shift_small_ones():
    assert Augmentation("basic", (96, 96)).area == (0.08, 1.0)
    small = Augmentation("basic", (32, 32))
    assert small.area is None
    assert small.shift == 1 / 8
    assert not Augmentation("basic", (96, 96)).shift
    assert Augmentation("none", (96, 96)).area is None


def test_labels_are_mixed_like_their_images():
    images = np.zeros((2, 8, 8, 1), "float32")
    images[1] = 200
    for seed in range(8):
        out, labels = Augmentation("mixup", (8, 8))(images, np.eye(2, dtype="float32"), np.random.default_rng(seed))
        np.testing.assert_allclose(out[:, 0, 0, 0] / 200, labels[:, 1], atol=1e-6)


def test_unknown_policies_are_explained():
    with pytest.raises(cnnzoo.InputError, match="Did you mean shift"):
        parse_policy("shfit")
    with pytest.raises(cnnzoo.InputError, match="Did you mean mixup"):
        cnnzoo.Recipe(epochs=1, batch_size=1, learning_rate=0.1, augment="basic+mixupp")
    with pytest.raises(cnnzoo.InputError, match="must be a name"):
        parse_policy(None)


def test_small_images_are_shifted_by_whole_pixels_and_half_of_them_mirrored():
    images = np.random.default_rng(0).integers(1, 256, (400, 16, 12, 3), "uint8")
    shifted = random_shift_and_flip(images, 1 / 8, np.random.default_rng(1))
    assert shifted.dtype == np.uint8
    assert shifted.shape == images.shape
    offsets = set()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for before, after in zip(padded, shifted, strict=True):
        candidates = itertools.product(range(5), range(5), (1, -1))
        (offset,) = [p for p in candidates if (before[p[0] : p[0] + 16, p[1] : p[1] + 12][:, :: p[2]] == after).all()]
        offsets.add(offset)
    assert {row for row, _, _ in offsets} == {0, 1, 2, 3, 4}, "up to an eighth of 16 rows each way"
    assert {column for _, column, _ in offsets} == {1, 2, 3}, "less than 1.5 of 12 columns"
    assert {mirror for _, _, mirror in offsets} == {1, -1}
    np.testing.assert_array_equal(shifted, random_shift_and_flip(images, 1 / 8, np.random.default_rng(1)))

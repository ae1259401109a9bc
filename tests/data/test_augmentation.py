"""Augmentation policies: what they do to a batch, and that everything depends on the seed."""

import random

import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.policies import POLICIES, parse_policy


def make_batch(channels=3, side=96, dtype="uint8"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, side, side, channels)).astype(dtype)
    return images, np.eye(3, dtype="float32")[np.arange(12) % 3]


def augment(policy, images, labels, seed):
    """Augment a batch as `Batches` does, but for the crops."""
    augmentation, rng = Augmentation(policy, images.shape[1:3]), np.random.default_rng(seed)
    if augmentation.changes_images:
        rngs = [random.Random(f"{seed} {i}") for i in range(len(images))]
        images = np.stack([augmentation.augment_image(*pair) for pair in zip(images, rngs, strict=True)])
    return augmentation.mix(augmentation.shift_batch(images, rng), labels, rng)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("side", [40, 96])
@pytest.mark.parametrize("policy", [*POLICIES, "rand+erase+mixup+cutmix", "shift+trivial"])
def test_policies_change_images_by_the_seed_alone(policy, side, channels, dtype):
    images, labels = make_batch(channels, side, dtype)
    original = images.copy()
    out, mixed = augment(policy, images, labels, 1)
    same, _ = augment(policy, images, labels, 1)
    other, _ = augment(policy, images, labels, 2)
    np.testing.assert_array_equal(images, original, "the data itself stays as it is")
    np.testing.assert_array_equal(out, same)
    assert (out.shape, out.dtype, mixed.dtype) == (images.shape, images.dtype, labels.dtype)
    assert out.min() >= 0
    assert out.max() <= 255
    augmentation = Augmentation(policy, (side, side))
    unchanged = not (augmentation.changes_images or augmentation.shifts or augmentation.mixes)
    assert np.array_equal(out, images) == unchanged
    assert np.array_equal(out, other) == unchanged
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(mixed, labels) == (not augmentation.mixes)


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 1, 1), (1, 9, 2), (70, 66, 4)])
def test_images_of_any_shape_and_type_are_augmented(shape, dtype):
    """Read-only, mirrored and in columns, as crops and arrays may be."""
    images = (np.random.default_rng(0).random((4, *shape)) * 255).astype(dtype)
    images.flags.writeable = False
    for policy in (*POLICIES, "shift+rand+erase+trivial+cutmix"):
        augmentation, rng = Augmentation(policy, shape[:2]), random.Random(0)
        for pixels in (images[0], images[0][:, ::-1], np.asfortranarray(images[0])):
            for _ in range(4):
                out = augmentation.augment_image(pixels, rng)
                assert (out.shape, out.dtype) == (pixels.shape, pixels.dtype)
        rng = np.random.default_rng(0)
        out, labels = augmentation.mix(augmentation.shift_batch(images, rng), np.eye(4, dtype="float32"), rng)
        assert (out.shape, out.dtype) == (images.shape, images.dtype)
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_batches_keep_the_type_of_their_arrays(dtype):
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3)).astype(dtype)
    data = cnnzoo.load_data((images, np.arange(20) % 2))
    for policy in ("basic", "shift", "trivial+erase+mixup", "cutmix"):
        batches = data.batches("train", 4, seed=0, augment=policy)
        pixels, labels = batches[0]
        assert (pixels.dtype, labels.dtype) == (dtype, "float32"), policy
        assert data.dataset("train", 4, seed=0, augment=policy).element_spec[0].dtype == dtype


def test_a_batch_of_one_image_is_not_mixed():
    images, labels = np.full((1, 8, 8, 1), 9, "uint8"), np.eye(2, dtype="float32")[:1]
    out, mixed = Augmentation("mixup+cutmix", (8, 8)).mix(images, labels, np.random.default_rng(0))
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(mixed, labels)


def test_policies_crop_large_images_and_shift_small_ones():
    assert Augmentation("basic", (96, 96)).area == (0.08, 1.0)
    small = Augmentation("basic", (32, 32))
    assert small.area is None
    assert small.shift == 1 / 8
    assert not Augmentation("basic", (96, 96)).shift
    assert Augmentation("none", (96, 96)).area is None


def test_images_are_shifted_either_alone_or_with_their_batch():
    for policy in ("basic", "shift", "trivial", "shift+erase", "basic+mixup"):
        augmentation = Augmentation(policy, (32, 32))
        assert augmentation.shifts != augmentation.changes_images, policy


def test_unknown_policies_are_explained():
    with pytest.raises(cnnzoo.InputError, match="Did you mean shift"):
        parse_policy("shfit")
    with pytest.raises(cnnzoo.InputError, match="Did you mean mixup"):
        cnnzoo.Recipe(epochs=1, batch_size=1, learning_rate=0.1, augment="basic+mixupp")
    with pytest.raises(cnnzoo.InputError, match="must be a name"):
        parse_policy(None)

"""Images that stay on the device give the batches of images that do not. On JAX: `test_jax_programs.py`."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.images import make_blobs
from helpers.training import RECIPE, CrashAt, CrashError, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.data import device_batches
from cnnzoo.data.batches import Batches
from cnnzoo.data.device_batches import DeviceBatches, check_device_cache, put_on_device
from cnnzoo.data.splits import Split

POLICIES = ("none", "shift", "basic", "gentle", "gentle+shift")


def make_split(shape, dtype="uint8", seed=0):
    """A split of random images (N, H, W, C)."""
    images = np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)
    return Split(images, np.arange(len(images)) % 3, np.array([f"image {i}" for i in range(len(images))]))


def take_all(batches, epoch):
    """The batches of an epoch, with the images that a training step gets."""
    batches.set_epoch(epoch)
    parts = [batches[i] for i in range(len(batches))]
    if isinstance(batches, DeviceBatches) and batches.gives_plans:
        parts = [(batches.device_images.take(plan), *rest) for plan, *rest in parts]
    return [tuple(map(keras.ops.convert_to_numpy, part)) for part in parts]


def assert_same_batches(split, size, seed, augment="none", **options):
    device_images = put_on_device(split, augment if seed is not None else None)
    on_device = DeviceBatches(device_images, split, 3, size, seed, augment, **options)
    on_host = Batches(split, 3, size, seed, augment, **options)
    for epoch in (0, 1):
        for mine, usual in zip(take_all(on_device, epoch), take_all(on_host, epoch), strict=True):
            assert [part.dtype for part in mine] == [part.dtype for part in usual]
            for a, b in zip(mine, usual, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("augment", POLICIES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_batches_of_small_images_are_equal_to_the_last_bit(augment, dtype):
    assert_same_batches(make_split((11, 12, 9, 3), dtype), 4, 0, augment)


@pytest.mark.parametrize("options", [{"balance": "sampling"}, {"balance": "weights"}, {"first_batch": 1}])
def test_order_and_weights_are_the_same(options):
    assert_same_batches(make_split((11, 8, 8, 1)), 4, 3, "basic", **options)


def test_evaluation_batches_are_the_same_up_to_the_images_that_are_added():
    split = make_split((10, 8, 8, 1))
    batches = DeviceBatches(put_on_device(split, None), split, 3, 4, pad=1)
    for mine, usual in zip(take_all(batches, 0), take_all(Batches(split, 3, 4, pad=1), 0), strict=True):
        real = usual[2] > 0
        for a, b in zip(mine, usual, strict=True):
            assert a.shape == b.shape
            np.testing.assert_array_equal(a[real], b[real])
        np.testing.assert_array_equal(mine[2], usual[2])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of photos of several sizes, loaded for a network of 64 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    write_class_folders(folder, {"a": 8, "b": 8}, size=(90, 75))
    write_class_folders(folder, {"c": 8}, size=(70, 110))

    def load(cache):
        return cnnzoo.load_data(folder, image_size=64, cache=cache, splits=(0.6, 0.2, 0.2), doctor=False)

    return load


def test_photos_are_cropped_as_in_main_memory(photos):
    """Random crops are resized in floating point, so a pixel may differ by a level."""
    train, usual = photos("device").train, photos("memory").train
    batches = DeviceBatches(put_on_device(train, "basic"), train, 3, 5, 0, "basic")
    for mine, expected in zip(take_all(batches, 1), take_all(Batches(usual, 3, 5, 0, "basic"), 1), strict=True):
        difference = np.abs(mine[0].astype(int) - expected[0])
        assert mine[0].dtype == np.uint8
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.1
        np.testing.assert_array_equal(mine[1], expected[1])
    for name in ("train", "validation"):
        assert_same_batches(photos("device").splits[name], 5, None)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_those_of_pillow(interpolation):
    yy, xx = np.mgrid[:90, :100]
    split = make_split((6, 80, 96, 3))
    for i, image in enumerate(split.images):
        image[:] = (127 + 100 * np.sin((yy + i * xx)[:80, :96, None] / (5 + np.arange(3)))).astype("uint8")
    device_images = put_on_device(split, "basic")
    device_images.interpolation = interpolation
    batches = DeviceBatches(device_images, split, 3, 6, 0, "basic")
    usual = Batches(split, 3, 6, 0, "basic")
    usual.pipeline = usual.pipeline._replace(transform=replace(usual.pipeline.transform, interpolation=interpolation))
    difference = np.abs(take_all(batches, 0)[0][0].astype(int) - take_all(usual, 0)[0][0])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.fixture(scope="module")
def blobs():
    """The same data set for each cache."""
    return {cache: cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), cache=cache) for cache in ("auto", "device")}


def test_a_training_gives_the_same_numbers(blobs, tmp_path):
    reports = {}
    for cache, data in blobs.items():
        fit(new_lenet(), data, run_dir=tmp_path / cache)
        reports[cache] = read_report(tmp_path / cache)
    assert reports["device"] == reports["auto"]


@pytest.mark.slow
def test_a_training_resumes_and_may_take_the_other_cache(blobs, tmp_path):
    fit(new_lenet(), blobs["auto"], run_dir=tmp_path / "whole")
    with pytest.raises(CrashError):
        fit(new_lenet(), blobs["device"], run_dir=tmp_path / "torn", callbacks=[CrashAt(1, 1)], checkpoint_every=0)
    fit(new_lenet(), blobs["device"], run_dir=tmp_path / "torn")
    assert read_report(tmp_path / "torn") == read_report(tmp_path / "whole")


def test_after_a_training_the_model_takes_images_again(blobs):
    model = new_lenet()
    fit(model, blobs["device"], recipe=replace(RECIPE, epochs=1))
    images = np.zeros((2, 32, 32, 1), "uint8")
    assert np.isfinite(model.train_on_batch(images, np.eye(3)[:2])).all()
    assert len(model.evaluate(images, np.eye(3)[:2], verbose=0)) == 2


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            "trivial",
            r"trivial changes each image with Pillow. Choose one of these, or load .* cache=.memory",
        ),
        ("basic+mixup", r"basic\+mixup mixes images"),
    ],
)
def test_what_the_device_cannot_do_is_refused(blobs, tmp_path, augment, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        fit(new_lenet(), blobs["device"], recipe=replace(RECIPE, augment=augment), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_devices_are_refused(blobs):
    with pytest.raises(
        cnnzoo.InputError, match="images on the default device, and the training is to use GPU:0, GPU:1"
    ):
        check_device_cache(blobs["device"], "none", ["GPU:0", "GPU:1"])


def test_an_interpolation_that_the_device_cannot_do_is_refused(photos):
    data = photos("device")
    data = replace(data, transform=replace(data.transform, interpolation="lanczos3"))
    check_device_cache(data, "none")
    with pytest.raises(cnnzoo.InputError, match="resized by bilinear or bicubic. Received: lanczos3"):
        check_device_cache(data, "basic")


def test_images_that_do_not_fit_are_refused_with_their_size(blobs, monkeypatch):
    monkeypatch.setattr(device_batches, "_free_memory", lambda: 2**30)
    check_device_cache(blobs["device"], "basic")
    big = replace(blobs["device"].train, images=np.broadcast_to(np.uint8(0), (40_000, 224, 224, 3)))
    big = replace(big, labels=np.zeros(40_000, "int64"))
    with pytest.raises(cnnzoo.InputError, match=r"take 5\.61 GiB on the device, which has 1\.00 GiB free.*memory"):
        check_device_cache(replace(blobs["device"], train=big), "basic")

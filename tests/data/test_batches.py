"""Batches: equal for equal seeds, whatever else runs; cached images; bounded memory."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from helpers.image_files import write_class_folders
from sklearn.utils.class_weight import compute_sample_weight

import cnnzoo
from cnnzoo.data import cache
from cnnzoo.data.batches import Batches
from cnnzoo.data.splits import Split


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("photos") / "p", {"a": 30, "b": 30})


def load(root, side=80, **options):
    """Load square images."""
    return cnnzoo.load_data(root, image_size=(side, side), **options)


def take_epoch(batches):
    """Return the images and labels of all batches."""
    images, labels = zip(*(batches[i] for i in range(len(batches))), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_batches_depend_on_seed_epoch_and_index_alone():
    data = cnnzoo.load_data("digits", image_size=(8, 8))
    one, two = (data.batches("train", 32, seed=5, augment="shift") for _ in range(2))
    one.set_epoch(3)
    two.set_epoch(1)
    two[7]
    two.set_epoch(3)
    two[1]
    for a, b in zip(one[4], two[4], strict=True):
        np.testing.assert_array_equal(a, b)
    two.set_epoch(4)
    assert not np.array_equal(one[4][0], two[4][0])
    assert len(one) == 45
    labels = np.concatenate([one[i][1] for i in range(len(one))])[: len(data.train)]
    np.testing.assert_array_equal(labels.sum(axis=0), np.bincount(data.train.labels))


def test_without_a_seed_batches_keep_the_order():
    data = cnnzoo.load_data("digits", image_size=(8, 8))
    np.testing.assert_array_equal(take_epoch(data.batches("test", 50))[0], data.test.images)
    with pytest.raises(cnnzoo.InputError, match="drawn from a seed"):
        data.batches("test", 50, augment="basic")
    with pytest.raises(IndexError):
        data.batches("test", 50)[99]


def test_every_pass_is_another_epoch(root):
    """For a loop over the batches and for Keras' `fit`."""
    batches, again = (load(root, 32).batches("train", 16, seed=3) for _ in range(2))
    passes = [np.concatenate([images for images, _ in batches]) for _ in range(3)]
    assert not np.array_equal(passes[0], passes[1])
    for number, images in enumerate(passes):
        again.set_epoch(number)
        np.testing.assert_array_equal(take_epoch(again)[0], images)
    batches.set_epoch(0)
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(batches, epochs=3, verbose=0, shuffle=False)
    assert batches.epoch >= 3  # Keras may take a first batch beforehand


@pytest.mark.parametrize("augment", ["none", "basic", "trivial+erase+mixup"])
def test_two_loads_give_the_same_batches(root, augment):
    one, two = (take_epoch(load(root).batches("train", 7, seed=3, augment=augment)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    other = take_epoch(load(root).batches("train", 7, seed=4, augment=augment))
    assert not np.array_equal(one[0], other[0])
    assert one[0].shape == (7 * 7, 80, 80, 3)


def test_a_crop_depends_on_the_image_not_on_its_batch(root):
    few, many = (load(root).batches("train", size, seed=3, augment="basic") for size in (3, 16))
    few.set_epoch(2)
    many.set_epoch(2)
    np.testing.assert_array_equal(take_epoch(few)[0][:48], take_epoch(many)[0][:48])
    assert take_epoch(few)[0].dtype == np.uint8


def test_keras_prefetches_the_same_batches(root):
    model = keras.Sequential([keras.Input((80, 80, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    outputs = []
    for workers in (1, 3):
        batches = load(root).batches("train", 7, seed=3, augment="rand")
        batches.workers = workers
        outputs.append(model.predict(batches, verbose=0))
    np.testing.assert_array_equal(*outputs)


def test_tf_dataset_equals_the_batches(root):
    data = load(root)
    dataset = data.dataset("train", 7, seed=3, augment="basic")
    batches = data.batches("train", 7, seed=3, augment="basic")
    assert int(dataset.cardinality()) == len(batches) == 7
    for number in range(2):
        batches.set_epoch(number)
        images, labels = take_epoch(batches)
        tf_batches = list(dataset.as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([image for image, _ in tf_batches]), images)
        np.testing.assert_array_equal(np.concatenate([label for _, label in tf_batches]), labels)
    with pytest.raises(cnnzoo.InputError, match="Did you mean train"):
        data.dataset("tain")
    with pytest.raises(cnnzoo.InputError, match="batch_size must be a whole number from 1"):
        data.batches(batch_size=0)


@pytest.mark.parametrize("mode", ["none", "auto", "memory", "disk"])
def test_cached_images_are_those_decoded(root, mode, cache_folder):
    uncached, data = load(root, cache="none"), load(root, cache=mode)
    for _ in range(2):
        for split in data.splits:
            images, expected = (take_epoch(d.batches(split, 9))[0].astype(int) for d in (data, uncached))
            softer = split == "train" and mode in ("memory", "disk")
            assert np.abs(images - expected).max() <= (2 if softer else 0)
    image_cache = data.train.images.cache
    assert ("Resized images take" in str(data)) == (mode != "none")
    assert (image_cache is None) == (mode == "none")
    assert bool(list(cache_folder.glob("images/*.u8"))) == (mode == "disk")
    if image_cache is not None:
        assert image_cache.marks.all()
    again = load(root, cache=mode)
    if mode == "disk":
        assert again.train.images.cache.marks.all()
    first, second = (take_epoch(d.batches("train", 9, seed=1, augment="basic"))[0] for d in (data, again))
    np.testing.assert_array_equal(first, second)


def test_the_cache_auto_never_changes_a_pixel(root):
    one, two = (
        take_epoch(load(root, cache=c).batches("train", 9, seed=1, augment="basic"))[0] for c in ("none", "auto")
    )
    np.testing.assert_array_equal(one, two)


def test_the_least_recently_used_cache_is_deleted_first(root, cache_folder, monkeypatch):
    monkeypatch.setattr(
        cache, "MAX_DISK_BYTES", 1_200_000
    )  # 60 images of 64x64x3, resized to 73x97, are 1,274,000 bytes
    for side in (32, 40, 48):
        load(root, side, cache="disk")
        for i, file in enumerate(sorted(cache_folder.glob("images/*.u8"), key=lambda file: file.stat().st_mtime)):
            os.utime(file, (i, i))
    sizes = [file.stat().st_size for file in cache_folder.glob("images/*.u8")]
    assert sum(sizes) <= 1_200_000
    with pytest.raises(cnnzoo.InputError, match=r"resized images take 0\.0 GiB; .*cache='none'"):
        load(root, 96, cache="disk")


def test_a_truncated_cache_is_replaced(root, cache_folder):
    data = load(root, cache="disk")
    expected = take_epoch(data.batches("train", 9))[0]
    for file in cache_folder.glob("images/*.u8"):
        file.write_bytes(file.read_bytes()[:-5])
    np.testing.assert_array_equal(take_epoch(load(root, cache="disk").batches("train", 9))[0], expected)


MEMORY_SCRIPT = """
import resource, sys
import numpy as np
import cnnzoo
from cnnzoo.data import cache
limit = 16 * 2**20
cache.MAX_AUTO_BYTES = limit
data = cnnzoo.load_data(sys.argv[1], image_size=(512, 512), doctor=False)
total = sum(len(split) for split in data.splits.values()) * 512 * 512 * 3
assert total > 10 * limit, total
batches = data.batches("train", 4, seed=0, augment="basic")
batches[0]
data.test.images[:4]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(len(batches)):
    batches[i]
for i in range(0, len(data.test), 4):
    data.test.images[i : i + 4]
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
assert grown < limit, grown
print("done")
"""


@pytest.mark.slow
def test_memory_is_bounded_for_data_ten_times_the_limit(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 110, "b": 110}, size=(30, 40))
    command = [sys.executable, "-c", textwrap.dedent(MEMORY_SCRIPT), str(root)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout == "done\n", result.stderr


def test_arrays_are_cropped_too():
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 5), "uint8"), np.arange(40) % 2
    data = cnnzoo.load_data((images, labels), image_size=(80, 80))
    out, _ = take_epoch(data.batches("train", 8, seed=0, augment="basic"))
    assert out.shape == (32, 80, 80, 5)
    assert out.dtype == np.uint8


def imbalanced_split():
    """Return 60, 20 and 10 images of three classes."""
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), "uint8")
    return Split(images, labels, np.arange(90).astype(str))


def test_rare_classes_are_drawn_as_often_as_others():
    batches = Batches(imbalanced_split(), 3, 18, 0, balance="sampling")
    labels = np.concatenate([y.argmax(1) for _, y in batches])
    assert np.bincount(labels).tolist() == [30, 30, 30]
    assert len(set(batches.indices[labels == 0])) == 30, "no image of a common class is drawn twice"
    first = batches.indices.copy()
    batches.set_epoch(1)
    assert not np.array_equal(first, batches.indices)
    batches.set_epoch(0)
    np.testing.assert_array_equal(first, batches.indices)


def test_rare_classes_count_more():
    split = imbalanced_split()
    weights = np.random.default_rng(1).random(90).astype("float32")
    batches = Batches(split, 3, 18, 0, balance="weights", sample_weights=weights)
    pairs = [(y.argmax(1), w) for _, y, w in batches]
    labels, batch_weights = (np.concatenate(column) for column in zip(*pairs, strict=True))
    expected = compute_sample_weight("balanced", split.labels)[batches.indices] * weights[batches.indices]
    np.testing.assert_allclose(batch_weights, expected, rtol=1e-6)
    np.testing.assert_array_equal(labels, split.labels[batches.indices])


def test_weights_follow_their_images_through_mixup():
    batches = Batches(imbalanced_split(), 3, 90, 0, "mixup", balance="weights")
    _, labels, weights = batches[0]
    assert (np.sort(labels, axis=1)[:, -2] > 0).any(), "labels are mixed"
    np.testing.assert_allclose(weights, labels @ np.array([0.5, 1.5, 3.0]), rtol=1e-5)


def test_batches_from_the_middle_of_an_epoch():
    whole, rest = (Batches(imbalanced_split(), 3, 16, 0, first_batch=start) for start in (0, 4))
    for batches in (whole, rest):
        batches.set_epoch(5)
    assert (len(whole), len(rest)) == (6, 2)
    for i in range(2):
        for a, b in zip(whole[4 + i], rest[i], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("options", "size"), [({}, 16), ({"balance": "sampling"}, 64), ({}, 200)])
def test_every_training_batch_is_full(options, size):
    """The last batch is completed with the first images of the next epoch."""
    batches, next_epoch = (Batches(imbalanced_split(), 3, size, 0, **options) for _ in range(2))
    next_epoch.set_epoch(1)
    parts = [batches[i] for i in range(len(batches))]
    assert {len(images) for images, _ in parts} == {min(size, 90)}
    images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    np.testing.assert_array_equal(images[:90], batches.split.images[batches.indices])
    added = next_epoch.indices[: len(images) - 90]
    np.testing.assert_array_equal(images[90:], batches.split.images[added])
    np.testing.assert_array_equal(labels[90:].argmax(1), batches.split.labels[added])


@pytest.mark.parametrize(("size", "multiple", "expected"), [(16, 1, 16), (30, 1, 30), (200, 1, 90), (200, 4, 92)])
def test_padded_batches_have_the_mean_loss_of_the_images(size, multiple, expected):
    split = imbalanced_split()
    batches = Batches(split, 3, size, pad=multiple)
    parts = [batches[i] for i in range(len(batches))]
    assert {len(part[0]) for part in parts} == {expected}
    assert {len(part) for part in parts} == ({3} if 90 % expected else {2}), "no weights unless they are needed"
    images = np.concatenate([part[0] for part in parts])
    np.testing.assert_array_equal(images[:90], split.images)
    assert not images[90:].any(), "black"

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(0)))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, weighted_metrics=["accuracy"])
    values = model.evaluate(batches, verbose=0, return_dict=True)
    labels = np.eye(3)[split.labels]
    logits = model.predict(split.images, verbose=0)
    assert values["loss"] == pytest.approx(float(loss(labels, logits)), rel=1e-5)
    assert values["accuracy"] == pytest.approx((logits.argmax(1) == split.labels).mean(), rel=1e-6)


def test_several_heads_get_the_labels_by_name():
    _, labels = Batches(imbalanced_split(), 3, 16, heads=("logits", "aux1"))[0]
    assert labels.keys() == {"logits", "aux1"}

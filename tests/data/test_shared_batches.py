"""Batches that several processes share: together they are those of one process, and each loads its own rows alone."""

from unittest import mock

import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.batches import Batches


@pytest.fixture(scope="module")
def data():
    labels = np.arange(50) % 3
    images = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 1), "uint8")
    return cnnzoo.load_data((images, labels), splits=(0.6, 0.2, 0.2))


def share_batches(split, rank, count, *arguments, **options):
    """Return all batches of the process `rank` of `count`, and how many images it has loaded for them."""
    loaded = []

    def own_rows(size):
        return slice(rank * size // count, (rank + 1) * size // count)

    functions = {"count_processes": lambda: count, "own_rows": own_rows}
    with mock.patch.multiple("cnnzoo.data.batches", **functions):
        batches = Batches(split, 3, *arguments, shared=True, **options)
        start = split.loader.start

        def count_images(images, pipeline, indices, seeds):
            loaded.append(len(indices))
            return start(images, pipeline, indices, seeds)

        with mock.patch.object(type(split.loader), "start", lambda _, *values: count_images(*values)):
            return [batches[i] for i in range(len(batches))], loaded


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("policy", ["none", "shift", "basic", "rand+erase", "basic+mixup", "shift+mixup+cutmix"])
def test_the_processes_together_have_the_batches_of_one(data, count, policy):
    options = {"seed": 1, "augment": policy, "balance": "weights"}
    whole, _ = share_batches(data.train, 0, 1, 12, **options)
    parts = [share_batches(data.train, rank, count, 12, **options)[0] for rank in range(count)]
    assert len(whole) == 3
    for expected, *shares in zip(whole, *parts, strict=True):
        for array, *rows in zip(expected, *shares, strict=True):
            assert len(array) == 12
            np.testing.assert_array_equal(np.concatenate(rows), array)


def test_a_process_loads_its_rows_and_their_partners_alone(data):
    _, loaded = share_batches(data.train, 1, 4, 12, seed=1, augment="basic")
    assert set(loaded) == {3}
    _, loaded = share_batches(data.train, 1, 4, 12, seed=1, augment="basic+mixup")
    assert 3 < max(loaded) <= 6


@pytest.mark.parametrize("size", [4, 8, 12])
def test_the_last_batch_of_an_evaluation_is_padded_alike(data, size):
    whole, _ = share_batches(data.test, 0, 1, size, pad=4)
    parts = [share_batches(data.test, rank, 4, size, pad=4)[0] for rank in range(4)]
    assert sum(weights.astype(bool).sum() for *_, weights in whole) == len(data.test)
    for expected, *shares in zip(whole, *parts, strict=True):
        for array, *rows in zip(expected, *shares, strict=True):
            np.testing.assert_array_equal(np.concatenate(rows), array)

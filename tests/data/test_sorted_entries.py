"""The names of large folders are sorted with few of them in memory."""

import random
import tracemalloc

import pytest

import cnnzoo
from cnnzoo.data import sorted_entries
from cnnzoo.data.listing import iter_files
from cnnzoo.data.sorted_entries import natural_sort_key, sort_entries
from cnnzoo.inference.inputs import iter_images

ODD_NAMES = ["line\nend", "1", "01", "Cat", "cat", "b\udcff"]


@pytest.fixture
def folder(tmp_path):
    numbers = list(range(300))
    random.Random(0).shuffle(numbers)
    for number in numbers:
        (tmp_path / f"image_{number}.png").touch()
    for name in ODD_NAMES:
        (tmp_path / name).mkdir()
    return tmp_path


def test_runs_on_disk_give_the_same_order(folder, monkeypatch):
    expected = list(sort_entries(folder, lambda name, is_folder: True))
    assert [name for name, _ in expected] == sorted((path.name for path in folder.iterdir()), key=natural_sort_key)
    assert sum(is_folder for _, is_folder in expected) == len(ODD_NAMES)
    files = list(iter_files(folder))
    matches = list(iter_images(str(folder / "image_1*.png")))
    monkeypatch.setattr(sorted_entries, "RUN_LENGTH", 7)
    monkeypatch.setattr(sorted_entries, "BLOCK_LENGTH", 2)
    assert list(sort_entries(folder, lambda name, is_folder: True)) == expected
    assert list(iter_files(folder)) == files
    assert list(iter_images(str(folder / "image_1*.png"))) == matches
    assert len(matches) == 111


def test_few_names_are_in_memory(folder, monkeypatch):
    monkeypatch.setattr(sorted_entries, "RUN_LENGTH", 200)
    monkeypatch.setattr(sorted_entries, "BLOCK_LENGTH", 8)

    class Entry:
        def __init__(self, number):
            self.name = f"{'n' * 100}{number}"

        def is_dir(self):
            return False

    class Scan:
        def __enter__(self):
            return (Entry(number) for number in range(4_000))

        def __exit__(self, *_):
            pass

    tracemalloc.start()
    with monkeypatch.context() as patch:
        patch.setattr(sorted_entries.os, "scandir", lambda folder: Scan())
        entries = sort_entries(folder, lambda name, is_folder: True)
    assert sum(1 for _ in entries) == 4_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000 * 153 / 1.5, f"{peak:,} bytes; all names alone take {4_000 * 153:,}"


def test_a_cache_that_cannot_be_written_is_named(folder, monkeypatch):
    monkeypatch.setattr(sorted_entries, "RUN_LENGTH", 7)
    monkeypatch.setenv("CNNZOO_HOME", str(folder / "image_1.png" / "cache"))
    with pytest.raises(cnnzoo.InputError, match="Cannot store the names of a large folder in the cache .*CNNZOO_HOME"):
        sort_entries(folder, lambda name, is_folder: True)

"""Files that worker processes read give the predictions of files that threads read, also where some cannot be read."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

import cnnzoo
from cnnzoo.data.transform import Transform
from cnnzoo.inference import classifier as classifier_module
from cnnzoo.inference import file_reading
from cnnzoo.inference.batches import iter_image_batches
from cnnzoo.inference.inputs import iter_images


@pytest.fixture
def folder(tmp_path):
    """Twenty photos, one of them torn, and a text file."""
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    photos.mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), "uint8")).save(photos / f"{i:02}.jpg")
    (photos / "05.jpg").write_bytes((photos / "05.jpg").read_bytes()[:300])
    (photos / "notes.bmp").write_text("no image")
    return photos


def test_processes_and_threads_read_the_same(folder):
    images = [folder, (folder / "03.jpg").read_bytes(), np.zeros((9, 9, 3), "uint8"), None, folder / "missing.jpg"]
    read = partial(iter_image_batches, size=4, transform=Transform((16, 16)))
    for mine, usual in zip(read(iter_images(images), workers=2), read(iter_images(images)), strict=True):
        assert mine.names == usual.names
        assert mine.errors == usual.errors
        np.testing.assert_array_equal(mine.pixels, usual.pixels)


def test_predictions_of_an_accelerator_are_read_by_processes(trained, folder, tmp_path, monkeypatch):
    classifier = cnnzoo.load(trained.folder, "keras")
    usual = classifier.predict_to(tmp_path / "usual.csv", folder, verbose=False)
    monkeypatch.setattr(type(classifier), "device_batch_size", 8)
    started, original = [], file_reading.WorkerPool
    monkeypatch.setattr(file_reading, "WorkerPool", lambda size: started.append(size) or original(size))
    monkeypatch.setattr(classifier_module, "count_reading_workers", lambda images: 2 if images == 21 else 0)
    result = classifier.predict_to(tmp_path / "mine.csv", folder, verbose=False)
    assert started == [2]
    assert (result.images, result.errors) == (usual.images, usual.errors) == (21, 2)
    assert (tmp_path / "mine.csv").read_text() == (tmp_path / "usual.csv").read_text()


def test_processes_are_used_for_many_images_only(monkeypatch):
    monkeypatch.setattr(file_reading, "available_cores", lambda: 8)
    assert file_reading.count_reading_workers(499) == 0
    assert file_reading.count_reading_workers(10_000) == 8
    monkeypatch.setattr(file_reading, "available_cores", lambda: 1)
    assert file_reading.count_reading_workers(10_000) == 0

"""Scans of image files: they are stored, and repeated when a file or the storage changes."""

import pytest
from helpers.image_files import make_scene, write_class_folders
from PIL import Image

import cnnzoo
from cnnzoo.data import scan


def test_damaged_storage_is_replaced(tmp_path, cache_folder, monkeypatch):
    root = write_class_folders(tmp_path / "p", {"a": 9, "b": 9})
    expected = cnnzoo.load_data(root).fingerprints
    file = cache_folder / f"scans-{scan.SCAN_VERSION}.sqlite"
    intact = file.read_bytes()
    for damaged in (b"rubbish" * 999, intact[:5000] + b"\xff" * (len(intact) - 5000)):
        file.write_bytes(damaged)
        assert cnnzoo.load_data(root).fingerprints == expected
    monkeypatch.setenv("CNNZOO_HOME", str(root / "a" / "a_0.png"))  # not a folder
    assert cnnzoo.load_data(root).fingerprints == expected
    with pytest.raises(cnnzoo.InputError, match=r"cannot be cached \(disk\)"):
        cnnzoo.load_data(root, image_size=(32, 32), cache="disk")


def test_only_changed_files_are_scanned_again(tmp_path, monkeypatch):
    root = write_class_folders(tmp_path / "p", {"a": 6, "b": 6})
    first = cnnzoo.load_data(root, splits=(0.4, 0.3, 0.3))
    examined = []
    examine_image = scan.examine_image
    monkeypatch.setattr(scan, "examine_image", lambda *args: (examined.append(args[0]), examine_image(*args))[1])
    again = cnnzoo.load_data(root, splits=(0.4, 0.3, 0.3))
    assert again.fingerprints == first.fingerprints
    assert not examined
    Image.fromarray(make_scene(seed=5)).save(root / "a" / "a_2.png")
    cnnzoo.load_data(root, splits=(0.4, 0.3, 0.3))
    assert [path.name for path in examined] == ["a_2.png"]

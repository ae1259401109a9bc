"""load_data on folders of photos: every file is loaded with the right pixels, or reported with a reason."""

import json
import os
import shutil
import warnings

import numpy as np
import pytest
from helpers.image_files import (
    broken_files,
    make_fifo,
    make_scene,
    oriented_files,
    valid_files,
    write_class_folders,
    write_files,
)
from PIL import Image

import cnnzoo
from cnnzoo.data.decode import decode_image
from cnnzoo.data.listing import natural_sort_key


def load_quietly(*args, **options):
    """Load data without the warning about images that were set aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cnnzoo.load_data(*args, **options)


def images_by_name(data):
    splits = data.splits.values()
    return {name: image for split in splits for name, image in zip(split.names, split.images, strict=True)}


def test_every_file_of_a_hostile_folder_is_loaded_or_reported(tmp_path):
    # Every format, broken files, odd names, links, pipes, hidden and system files
    root = tmp_path / "hostile"
    good = {"one": valid_files(1) | oriented_files(1), "two": valid_files(2) | oriented_files(2)}
    for label, files in good.items():
        write_files(root / label, files)
    bad = broken_files()
    write_files(root / "one", bad)
    odd = "a b \N{HONEYBEE} \n c.png"
    shutil.copy(root / "two" / "a.png", root / "two" / odd)
    (root / "two" / odd).write_bytes((root / "two" / odd).read_bytes() + b" ")
    (root / "two" / "inner").mkdir()
    Image.fromarray(make_scene(seed=77)).save(root / "two" / "inner" / "deeper.png")
    (root / "two" / "loop").symlink_to(root)
    (root / "two" / "dangling.png").symlink_to(root / "gone.png")
    make_fifo(root / "one" / "pipe.jpg")
    (root / "two" / os.fsdecode(b"latin\xe9.png")).write_bytes(
        (root / "two" / "inner" / "deeper.png").read_bytes() + b"2"
    )
    (root / ".hidden").mkdir()
    (root / "stray.jpg").write_bytes(valid_files()["a.jpg"][0])
    (root / "one" / "Thumbs.db").write_bytes(b"litter")
    if os.geteuid():
        shutil.copy(root / "one" / "a.png", root / "one" / "secret.png")
        (root / "one" / "secret.png").chmod(0)
        bad["secret.png"] = b""

    data = load_quietly(root, seed=1)
    images, set_aside = images_by_name(data), {f.images[0]: f for f in data.diagnosis.set_aside}
    for name in (*bad, "pipe.jpg"):
        assert set_aside[f"one/{name}"].kind == "unreadable"
        assert set_aside[f"one/{name}"].reason
    assert set_aside["stray.jpg"].kind == "stray"
    assert "dangling.png" in " ".join(set_aside)
    assert "no such file" in set_aside["two/dangling.png"].reason
    for label, files in good.items():
        for name, (_, pixels, tolerance) in files.items():
            if name == "bits.png":
                assert set_aside[f"{label}/{name}"].kind == "drawing"
                continue
            image = images[f"{label}/{name}"]
            assert image.shape == pixels.shape
            assert np.abs(image.astype(int) - pixels).max() <= tolerance
    assert {f"two/{odd}", "two/inner/deeper.png", "two/latin\\xe9.png"} <= set(images)
    assert set_aside["two/loop"].reason == "a link to a folder that was listed already"
    assert not any("loop" in name or "hidden" in name or "Thumbs" in name for name in images)
    everything = sum(len(files) for files in good.values()) + len(bad) + 7 - ("secret.png" in bad)
    assert len(images) + len(set_aside) >= everything - 1
    json.loads(data.diagnosis.to_json())
    assert "two/named.png" in data.diagnosis.to_html()
    with pytest.raises(cnnzoo.InputError, match=r"set aside: .*unreadable"):
        cnnzoo.load_data(root, strict=True)


def test_the_placeholder_of_a_deleted_photo_is_set_aside(test_data):
    """Hymenoptera has 397 photos, and a GIF that a photo-hosting site sent in place of a deleted one."""
    with pytest.warns(UserWarning, match="imageNotFound.gif' .33 colors, in a set of photos"):
        data = cnnzoo.load_data(test_data("hymenoptera"), image_size=(64, 64))
    assert [len(split) for split in data.splits.values()] == [219, 25, 153]
    assert data.classes == ("ants", "bees")
    (finding,) = data.diagnosis.set_aside
    assert finding.kind == "drawing"
    assert "1 set aside: 1 drawing" in str(data)
    assert data.test.images[:3].shape == (3, 64, 64, 3)


def test_classes_are_in_natural_order(tmp_path):
    write_class_folders(tmp_path / "p", {f"class_{i}": 3 for i in (1, 2, 10)})
    data = cnnzoo.load_data(tmp_path / "p", splits=(0.4, 0.3, 0.3))
    assert data.classes == ("class_1", "class_2", "class_10")
    reordered = cnnzoo.load_data(tmp_path / "p", splits=(0.4, 0.3, 0.3), classes=["class_10", "class_2", "class_1"])
    assert reordered.classes == ("class_10", "class_2", "class_1")
    assert all(name.startswith("class_10/") for name in reordered.train.names[reordered.train.labels == 0])
    assert sorted(["b", "a10", "A9", "10", "9"], key=natural_sort_key) == ["9", "10", "A9", "a10", "b"]
    assert sorted(["01", "cat", "1", "Cat"], key=natural_sort_key) == ["01", "1", "Cat", "cat"]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "Test"), ("training", "validation", "testing")]
)
def test_splits_of_the_source_are_kept(tmp_path, names):
    for i, name in enumerate(names):
        write_class_folders(tmp_path / "p" / name, {"a": 4 - i, "b": 5 - i}, seed=1000 * i)
    data = cnnzoo.load_data(tmp_path / "p")
    assert [len(split) for split in data.splits.values()] == [9, 7, 5]
    assert data.fingerprints == cnnzoo.load_data(tmp_path / "p", seed=5).fingerprints


def test_a_missing_validation_part_is_taken_from_training(tmp_path):
    for i, name in enumerate(("train", "test")):
        write_class_folders(tmp_path / "p" / name, {"a": 10, "b": 10}, seed=1000 * i)
    data = cnnzoo.load_data(tmp_path / "p")
    assert [len(split) for split in data.splits.values()] == [18, 2, 20]
    assert "The test part is used as the test split, and 2 images of the training part for validation." in data.notes
    (tmp_path / "p" / "test").rename(tmp_path / "p" / "val")
    with_validation = cnnzoo.load_data(tmp_path / "p")
    assert with_validation.fingerprints == data.fingerprints
    assert "The validation part is used as the test split" in str(with_validation)


def test_copies_never_cross_a_split(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 20, "b": 20})
    for i in range(20):
        for copy in range(3):
            shutil.copy(root / "a" / f"a_{i}.png", root / "a" / f"copy{copy}_{i}.png")
    shutil.copy(root / "a" / "a_0.png", root / "b" / "same.png")
    for seed in range(3):
        data = cnnzoo.load_data(root, seed=seed)
        digests = [{photo.digest for photo in split.images.photos} for split in data.splits.values()]
        assert not digests[0] & digests[1]
        assert not (digests[0] | digests[1]) & digests[2]
        assert sum(map(len, data.splits.values())) == 101
    kinds = [finding.kind for finding in data.diagnosis.findings]
    assert (kinds.count("duplicate"), kinds.count("conflict")) == (19, 1)  # each group of copies counts once
    assert kinds.count("conflict") == 1


def test_copies_of_test_images_are_removed_from_training(tmp_path):
    for i, name in enumerate(("train", "test")):
        write_class_folders(tmp_path / "p" / name, {"a": 10, "b": 10}, seed=1000 * i)
    shutil.copy(tmp_path / "p" / "test" / "a" / "a_3.png", tmp_path / "p" / "train" / "b" / "stolen.png")
    with pytest.warns(
        UserWarning, match="1 leak: 'train/b/stolen.png' .the same file is in test, as a: 'test/a/a_3.png'"
    ):
        data = cnnzoo.load_data(tmp_path / "p")
    assert len(data.test) == 20
    assert len(data.train) + len(data.validation) == 20


def test_folders_beside_the_splits_are_reported(tmp_path):
    for i, name in enumerate(("train", "val", "test")):
        write_class_folders(tmp_path / "p" / name, {"a": 4, "b": 4}, seed=1000 * i)
    (tmp_path / "p" / "extra").mkdir()
    (tmp_path / "p" / "__MACOSX").mkdir()
    data = load_quietly(tmp_path / "p")
    assert data.classes == ("a", "b")
    assert [f.images for f in data.diagnosis.set_aside] == [("extra",)]
    vehicles = write_class_folders(tmp_path / "v", {"car": 9, "train": 9})
    assert cnnzoo.load_data(vehicles).classes == ("car", "train")


def test_links_to_folders_are_followed_once(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 9, "b": 9})
    (root / "a" / "self").symlink_to(root / "a" / "self")
    for folder in range(6):
        (root / "b" / f"d{folder}").mkdir()
        Image.fromarray(make_scene(seed=50 + folder)).save(root / "b" / f"d{folder}" / "x.png")
        for other in range(6):
            (root / "b" / f"d{folder}" / f"to{other}").symlink_to(root / "b" / f"d{other}")
    data = load_quietly(root)
    assert sum(map(len, data.splits.values())) == 24


def test_sources_that_are_not_files(tmp_path):
    make_fifo(tmp_path / "x.csv")
    for source, message in ((tmp_path / "x.csv", "not a regular file"), ("a" * 5000, "too long")):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(source)


def test_without_the_doctor_only_headers_are_read(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 6, "b": 6}, suffix="jpg")
    content = (root / "a" / "a_1.jpg").read_bytes()
    (root / "a" / "a_1.jpg").write_bytes(content[: len(content) // 2])
    load_quietly(root, splits=(0.4, 0.3, 0.3))  # stores what the doctor finds, which is not used below
    data = cnnzoo.load_data(root, splits=(0.4, 0.3, 0.3), doctor=False, image_size=(32, 32))
    assert repr(data).startswith("<ImageData p: 2 classes, 4 train")
    assert sum(map(len, data.splits.values())) == 12
    with pytest.raises(cnnzoo.InputError, match=r"a_1\.jpg' as an image"):
        for split in data.splits:
            for batch in range(len(data.batches(split, 4))):
                data.batches(split, 4)[batch]


def bad_folders(root):
    """Write folders that cannot be loaded; return the messages by folder."""
    (root / "empty").mkdir()
    write_class_folders(root / "one class", {"a": 5})
    write_class_folders(root / "class of one", {"a": 9, "b": 1})
    write_class_folders(root / "train only in name" / "test", {"a": 3, "b": 3})
    write_class_folders(root / "unknown class in test" / "train", {"a": 5, "b": 5})
    write_class_folders(root / "unknown class in test" / "test", {"a": 5, "c": 5}, seed=2000)
    write_class_folders(root / "class missing in test" / "train", {"a": 5, "b": 5})
    write_class_folders(root / "class missing in test" / "test", {"a": 5}, seed=2000)
    for name in ("val", "valid"):
        write_class_folders(root / "two validations" / name, {"a": 3, "b": 3})
    write_class_folders(root / "two validations" / "train", {"a": 3, "b": 3})
    (root / "flat").mkdir()
    Image.fromarray(make_scene()).save(root / "flat" / "a.png")
    write_files(root / "rubbish" / "a", broken_files())
    write_files(root / "rubbish" / "b", {"x.jpg": b"x"})
    return {
        "missing": "Unknown data source",
        "empty": "no images in sub-folders",
        "one class": "at least two classes. Received: only a",
        "class of one": r"too few images of b \(1\)",
        "train only in name": "no training images",
        "unknown class in test": "No training image has the class c",
        "class missing in test": "test split has no image of: b",
        "two validations": "two folders for the validation split",
        "flat": "1 file is outside such folders",
        "rubbish": "set aside: .* unreadable",
    }


def test_bad_folders_are_explained(tmp_path):
    for name, message in bad_folders(tmp_path).items():
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(tmp_path / name)


def test_bad_options_are_explained(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 9, "b": 9})
    for options, message in (
        ({"cache": "disc"}, "Did you mean disk"),
        ({"classes": ["a"]}, "outside the 1 classes a: b"),
        ({"image_size": (0, 4)}, "a side of image_size"),
        ({"crop": 1.5}, "crop must be 'auto', None, or a share"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(root, **options)


def test_photos_take_the_transform_of_the_model(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 9, "b": 9})
    data = cnnzoo.load_data(root)
    assert data.train.images.shape[1:] == (None, None, 3)
    assert data.train.images[0].shape == (60, 80, 3)
    with pytest.raises(cnnzoo.InputError, match="one by one"):
        data.train.images[:2]
    with pytest.raises(cnnzoo.InputError, match="image_size"):
        data.batches()
    model = cnnzoo.get("resnet20", classes=["a", "b"])
    report = cnnzoo.evaluate(model, data)
    assert "center-cropped to 87.5 % of each side, to 32x32x3" in report.notes[0]
    resized = data.resize_to((32, 32, 3), 0)
    expected = cnnzoo.transform(model)([root / name for name in resized.test.names])
    np.testing.assert_array_equal(resized.test.images[:], expected)
    np.testing.assert_array_equal(report.images[:], expected)
    gray = data.resize_to((32, 32, 1), 2, {"crop": None, "interpolation": "bicubic"})
    assert gray.test.images[0].shape == (32, 32, 1)
    assert not gray.test.images[0][:2].any()
    with pytest.raises(cnnzoo.InputError, match="resized to"):
        gray.resize_to((48, 48, 1), 0)
    cropped = cnnzoo.load_data(root, crop=0.5).resize_to((32, 32, 3), 0, {"crop": 0.875, "interpolation": "bicubic"})
    assert (cropped.transform.crop, cropped.transform.interpolation) == (0.5, "bicubic")
    with pytest.raises(cnnzoo.InputError, match="any size"):
        cnnzoo.evaluate(cnnzoo.get("resnet20", classes=["a", "b"], input_shape=(None, None, 3)), data)


def test_a_photo_that_was_deleted_is_named(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 9, "b": 9})
    data = cnnzoo.load_data(root, image_size=(32, 32))
    (root / data.train.names[0]).unlink()
    with pytest.raises(cnnzoo.InputError, match="there is no such file"):
        data.batches()[0]
    assert decode_image(root / data.train.names[1]).shape == (60, 80, 3)


def test_one_image_is_counted_in_the_singular():
    images, labels = np.arange(4, dtype="uint8").repeat(16 * 16).reshape(4, 16, 16, 1), ["a", "a", "b", "b"]
    with pytest.raises(cnnzoo.InputError, match="would lack a class: 1 image for 2 classes"):
        cnnzoo.load_data((images, labels), splits=(0.5, 0.25, 0.25), doctor=False)

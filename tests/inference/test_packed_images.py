"""Packed data is predicted as its source, in threads, in processes and in shards."""

import pytest
from helpers.image_files import valid_files, write_class_folders

import cnnzoo
from cnnzoo.data.packed import iter_images as iter_packed_images
from cnnzoo.data.packed import read_manifest
from cnnzoo.data.transform import Transform
from cnnzoo.inference.batches import iter_image_batches
from cnnzoo.inference.inputs import find_count, is_single_image, iter_images

pytest.importorskip("array_record.python.array_record_module")
TRANSFORM = Transform((16, 16), 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a torn image, and its packed data."""
    root = write_class_folders(tmp_path_factory.mktemp("photos") / "photos", {"a": 11, "b": 6}, size=(20, 30))
    (root / "a" / "torn.jpg").write_bytes(valid_files()["a.jpg"][0][:-400])
    with pytest.warns(UserWarning, match="cannot be decoded"):
        cnnzoo.pack(root, root.parent / "packed", shards=3)
    return root, root.parent / "packed"


def read_all(images, **options):
    """Return the pixels or the error of each image by its name."""
    answers = {}
    for batch in iter_image_batches(images, 5, TRANSFORM, **options):
        for i, (name, pixels) in enumerate(zip(batch.names, batch.pixels, strict=True)):
            answers[name] = batch.errors.get(i) or pixels.tobytes()
    return answers


@pytest.mark.parametrize("workers", [0, 1])
def test_packed_images_are_read_as_their_files(folders, workers):
    root, packed = folders
    files = {name.removeprefix(f"{root}/"): value for name, value in read_all(iter_images(root)).items()}
    answers = read_all(iter_images(packed), workers=workers)
    reasons = [each.pop("a/torn.jpg") for each in (files, answers)]
    assert all("the file is truncated" in reason for reason in reasons)
    assert answers == files
    assert find_count(packed) == 18
    assert not is_single_image(packed)


def test_a_list_of_packed_data_and_files(folders):
    root, packed = folders
    names = [name for name, _ in iter_images([packed, root / "b" / "b_0.png"])]
    assert names == [*(image.name for image in iter_packed_images(read_manifest(packed))), str(root / "b" / "b_0.png")]


def test_shards_of_packed_data(folders, classifier, tmp_path):
    for number in (1, 2):
        classifier.predict_to(tmp_path / "out.csv", folders[1], shard=(number, 2), verbose=False)
    assert "18" in str(cnnzoo.merge_predictions(tmp_path / "out.csv", verbose=False))
    assert "a/a_3.png" in (tmp_path / "out.csv").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_cut_shard_is_an_error(folders, tmp_path):
    cnnzoo.pack(folders[1], tmp_path / "p", shards=1)
    next((tmp_path / "p").glob("*.array_record")).write_bytes(b"cut")
    with pytest.raises(cnnzoo.InputError, match="it was cut or changed"):
        list(iter_images(tmp_path / "p"))

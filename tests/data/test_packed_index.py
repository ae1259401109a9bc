"""Packed data that somebody else has made: what cannot be is refused before anything is read or allocated."""

import hashlib
import json
import shutil

import pytest
from helpers.image_files import write_class_folders

import cnnzoo
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.data.diagnose import diagnose_source
from cnnzoo.data.packed_folder import MANIFEST_FILE

pytest.importorskip("array_record.python.array_record_module")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    cnnzoo.pack(write_class_folders(folder / "photos", {"a": 5, "b": 5}, size=(12, 10)), folder / "p", shards=1)
    return folder / "p"


@pytest.fixture
def packed(original, tmp_path):
    return shutil.copytree(original, tmp_path / "p")


def change_index(folder, change):
    """Change the only index as somebody would who knows the format: with the right digests."""
    path = next(folder.glob("images-*.json"))
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    manifest = read_json(folder / MANIFEST_FILE, {})
    manifest["shards"][0]["index_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_json(folder / MANIFEST_FILE, manifest, add_sum=True)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lengths", 2**62, "'a/a_0.png' lies outside of the shard"),
        ("lengths", 0, "lies outside"),
        ("lengths", -1, "lies outside"),
        ("starts", 2**70, "lies outside"),
        ("starts", -1, "it has 9 images, and the manifest 10"),
        ("starts", -(2**70), "it has 9 images"),
        ("splits", "secret", "a split of another name"),
    ],
)
def test_places_outside_of_the_shard(packed, column, value, message):
    change_index(packed, lambda index: index[column].__setitem__(0, value))
    with pytest.raises(cnnzoo.InputError, match=f"-of-00001.json' is not one that cnnzoo pack writes: .*{message}"):
        cnnzoo.load_data(packed)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"height": [1] * 9}, "is not one that"),
        ({"height": ["1"] * 10}, "wrong values of 'height'"),
        ({"hight": [1] * 10}, "wrong values of 'hight'"),
        ({"levels": [[1]] * 10}, "levels must be two numbers"),
        ({"problem": ["gone"] * 10}, "lies outside of the shard"),
    ],
    ids=str,
)
def test_facts_that_cannot_be(packed, facts, message):
    change_index(packed, lambda index: index.update(facts=facts))
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load_data(packed)


def test_columns_of_different_lengths(packed):
    change_index(packed, lambda index: index["names"].append("more"))
    with pytest.raises(cnnzoo.InputError, match="its columns have different lengths|is not one that"):
        cnnzoo.load_data(packed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 10**12}, "numbers of images or bytes that cannot be"),
        ({"unusable": -1}, "numbers of images or bytes that cannot be"),
        ({"shards": []}, "numbers of images or bytes that cannot be"),
        ({"shards": [{"images": 1}]}, "the field 'bytes' is missing"),
        ({"shards": [3]}, "must be an object"),
    ],
    ids=str,
)
def test_manifests_that_cannot_be(packed, changes, message):
    write_json(packed / MANIFEST_FILE, read_json(packed / MANIFEST_FILE, {}) | changes, add_sum=True)
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load_data(packed)


def test_fields_of_later_versions_do_not_matter(packed):
    manifest = read_json(packed / MANIFEST_FILE, {})
    manifest["shards"][0]["codec"] = "none"
    write_json(packed / MANIFEST_FILE, manifest | {"license": "CC0"}, add_sum=True)
    assert len(cnnzoo.load_data(packed, split="all").test) == 10


def test_a_shard_that_is_a_folder_or_a_device_is_refused(packed):
    shard = next(packed.glob("*.array_record"))
    shard.unlink()
    shard.symlink_to("/dev/zero")
    with pytest.raises(cnnzoo.InputError, match=r"\.array_record' is no regular file"):
        cnnzoo.load_data(packed)


def test_the_doctor_tells_what_else_is_in_the_folder(packed):
    diagnose_source(packed)
    (packed / "cat").mkdir()
    with pytest.warns(UserWarning, match="is packed data, and also holds 'cat', which is not read"):
        diagnose_source(packed)
    (packed / "images-00001-of-00001.json").touch()
    with pytest.warns(UserWarning, match="'cat' and 1 other file or folder, which is not read"):
        diagnose_source(packed)

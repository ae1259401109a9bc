"""Which folders count as packed data: by their content, and not within other folders."""

import json
import shutil

import pytest
from helpers.image_files import write_class_folders

import cnnzoo
from cnnzoo.data.decode import read_image_bytes
from cnnzoo.data.packed_folder import FORMAT, MANIFEST_FILE, PLAN_FILE, is_packed
from cnnzoo.inference.inputs import iter_images

FOREIGN = [{}, {"name": "game", "version": 1}, [1], {"format": "zip"}, {"shards": 3}]


@pytest.fixture
def photos(tmp_path):
    return write_class_folders(tmp_path / "photos", {"a": 10, "b": 10}, size=(12, 10))


@pytest.mark.parametrize("name", [MANIFEST_FILE, PLAN_FILE])
@pytest.mark.parametrize("content", [*map(json.dumps, FOREIGN), "{", "", "\0"])
def test_files_of_other_programs_do_not_count(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert not is_packed(tmp_path)


def test_a_folder_of_images_with_such_a_file_is_one_of_images(photos):
    (photos / MANIFEST_FILE).write_text('{"name": "game"}')
    data = cnnzoo.load_data(photos, split="all")
    assert len(data.test) == 20
    assert data.notes[0] == "21 files, 1 set aside: 1 note."


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        (MANIFEST_FILE, {"format": FORMAT, "version": 9}, True),
        (PLAN_FILE, {"format": FORMAT}, True),
        (PLAN_FILE, {"shards": 1, "size": None, "source": "photos"}, True),  # of version 0.11.0
        (MANIFEST_FILE, {"shards": 1, "size": None, "source": "photos"}, False),
    ],
)
def test_the_content_tells(tmp_path, name, values, expected):
    (tmp_path / name).write_text(json.dumps(values))
    assert is_packed(tmp_path) == expected


def test_a_damaged_manifest_counts_beside_shards(tmp_path):
    (tmp_path / MANIFEST_FILE).write_text("{")
    (tmp_path / "images-00000-of-00001.array_record").touch()
    with pytest.raises(cnnzoo.InputError, match=r"packed.json cannot be read.*pack the images again"):
        cnnzoo.load_data(tmp_path)


@pytest.fixture
def with_packed(photos):
    """A folder of photos that holds packed data, too."""
    pytest.importorskip("array_record.python.array_record_module")
    cnnzoo.pack(photos, photos.parent / "packed")
    shutil.move(photos.parent / "packed", photos / "packed")
    return photos


def test_packed_data_in_a_folder_is_told_and_left_out(with_packed):
    with pytest.warns(UserWarning, match=r"1 set aside: 1 stray: 'packed' \(packed data .*if it is given itself"):
        data = cnnzoo.load_data(with_packed)
    assert data.classes == ("a", "b")
    assert not any("no class" in note for note in data.notes)
    shutil.rmtree(with_packed / "a")
    shutil.rmtree(with_packed / "b")
    with pytest.raises(cnnzoo.InputError, match="no images in sub-folders .* 'packed' in it is packed data"):
        cnnzoo.load_data(with_packed)


def test_packed_data_in_a_folder_has_one_row_with_the_reason(with_packed):
    names = [name for name, _ in iter_images(with_packed)]
    assert [name for name in names if not name.endswith(".png")] == [str(with_packed / "packed")]
    with pytest.raises(cnnzoo.InputError, match="a folder of packed data"):
        read_image_bytes(with_packed / "packed")

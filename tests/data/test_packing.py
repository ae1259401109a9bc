"""What pack refuses, how it goes on after an interruption, and damaged packed data."""

import itertools
import os
import signal
import sys

import numpy as np
import pytest
from helpers.image_files import valid_files, write_class_folders
from helpers.processes import ForkedProcess

import cnnzoo
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.data import packed_shards
from cnnzoo.data.diagnose import diagnose_source
from cnnzoo.data.packed import read_manifest
from cnnzoo.data.packed_folder import MANIFEST_FILE, PLAN_FILE, is_packed

pytest.importorskip("array_record.python.array_record_module")
SHARDS = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("photos") / "photos", {"a": 10, "b": 10}, size=(20, 30))


@pytest.fixture
def packed(root, tmp_path):
    cnnzoo.pack(root, tmp_path / "p", shards=SHARDS)
    return tmp_path / "p"


def shards_of(folder):
    return sorted(folder.glob("*.array_record"))


# Interruptions


def pack_until_killed(root, folder, shards, after):
    """Pack, and kill this process when so many shards are written."""
    write, numbers = packed_shards.ShardWriter.write, itertools.count()

    def write_or_die(self, progress):
        if next(numbers) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, progress)

    packed_shards.ShardWriter.write = write_or_die
    cnnzoo.pack(root, folder, shards=shards)


@pytest.mark.parametrize("after", [0, 2])
def test_a_killed_pack_looks_incomplete_and_goes_on(root, packed, tmp_path, monkeypatch, capsys, after):
    folder = tmp_path / "killed"
    process = ForkedProcess(pack_until_killed, root, folder, SHARDS, after)
    assert process.wait(60) == -signal.SIGKILL
    assert is_packed(folder)
    assert len(shards_of(folder)) == after
    with pytest.raises(cnnzoo.InputError, match="not complete: packing was interrupted. Run the same cnnzoo pack"):
        cnnzoo.load_data(folder)
    written = count_writes(monkeypatch)
    cnnzoo.pack(root, folder, shards=SHARDS)
    assert len(written) == SHARDS - after
    lines = capsys.readouterr().err
    assert "Going on with the packed data in" in lines
    assert ("Kept 2 shards of 4 that were complete" in lines) == (after == 2)
    assert not (folder / PLAN_FILE).exists()
    assert read_manifest(folder).shards == read_manifest(packed).shards
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in packed.iterdir())


def count_writes(monkeypatch):
    """Return a list of the shards that are written from now on."""
    written, write = [], packed_shards.ShardWriter.write
    monkeypatch.setattr(
        packed_shards.ShardWriter,
        "write",
        lambda self, progress: (written.append(self.path.name), write(self, progress))[1],
    )
    return written


def interrupt(root, folder, monkeypatch, after=2, **options):
    """Pack, and press Ctrl-C when so many shards are written."""
    write, numbers = packed_shards.ShardWriter.write, itertools.count()

    def write_or_stop(self, progress):
        if next(numbers) == after:
            raise KeyboardInterrupt
        return write(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(packed_shards.ShardWriter, "write", write_or_stop)
        with pytest.raises(cnnzoo.Interrupted, match="Stopped after 10 of 20 images; the same command goes on"):
            cnnzoo.pack(root, folder, shards=SHARDS, **options)


def test_only_shards_with_changes_are_written_again(root, tmp_path, monkeypatch):
    source = write_class_folders(tmp_path / "photos", {"a": 10, "b": 10}, size=(20, 30))
    interrupt(source, tmp_path / "p", monkeypatch)
    (source / "a" / "a_0.png").write_bytes(valid_files()["a.png"][0])
    shards_of(tmp_path / "p")[1].write_bytes(b"torn")
    written = count_writes(monkeypatch)
    cnnzoo.pack(source, tmp_path / "p", shards=SHARDS)
    assert len(written) == SHARDS
    assert cnnzoo.load_data(tmp_path / "p").fingerprints == cnnzoo.load_data(source).fingerprints


@pytest.mark.parametrize("changes", [{"shards": 3}, {"size": 16}])
def test_other_options_do_not_go_on(root, tmp_path, monkeypatch, changes):
    interrupt(root, tmp_path / "p", monkeypatch)
    before = sorted(path.name for path in (tmp_path / "p").iterdir())
    name = next(iter(changes))
    with pytest.raises(cnnzoo.InputError, match=f"was interrupted, with {name}=.*--overwrite. begins anew"):
        cnnzoo.pack(root, tmp_path / "p", **{"shards": SHARDS} | changes)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == before
    cnnzoo.pack(root, tmp_path / "p", **{"shards": SHARDS} | changes, overwrite=True)
    assert len(shards_of(tmp_path / "p")) == read_manifest(tmp_path / "p").images // 20 * changes.get("shards", SHARDS)


# What is refused


def test_nothing_is_overwritten_unasked(root, packed, tmp_path):
    before = {path: path.read_bytes() for path in packed.iterdir()}
    with pytest.raises(cnnzoo.InputError, match=r"holds packed data already; overwrite=True"):
        cnnzoo.pack(root, packed, shards=SHARDS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    (tmp_path / "file").touch()
    for name, message in (("other", "is not empty and holds no packed data"), ("file", "is a file")):
        for overwrite in (False, True):
            with pytest.raises(cnnzoo.InputError, match=message):
                cnnzoo.pack(root, tmp_path / name, overwrite=overwrite)
    for folder in (root, root / "packed"):
        with pytest.raises(cnnzoo.InputError, match="lies in the source"):
            cnnzoo.pack(root, folder)
    assert before == {path: path.read_bytes() for path in packed.iterdir()}
    cnnzoo.pack(root, packed, shards=1, overwrite=True)
    assert len(shards_of(packed)) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shards": 0}, "shards must be"),
        ({"shards": 21}, "at most the number of images, 20"),
        ({"shards": "many"}, "shards must be"),
        ({"size": 8}, "size must be"),
        ({"size": (224, 224)}, "size must be"),
        ({"path_column": "path"}, "apply only to tables"),
        ({"class_folders": "middle"}, "class_folders"),
    ],
    ids=str,
)
def test_wrong_options(root, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.pack(root, tmp_path / "p", **options)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "source", ["digits", np.zeros((4, 8, 8)), (np.zeros((4, 8, 8)), [0, 1, 0, 1]), iter([])], ids=type
)
def test_only_image_files_are_packed(source, tmp_path):
    with pytest.raises(cnnzoo.InputError, match="holds arrays|pack takes image files"):
        cnnzoo.pack(source, tmp_path / "p")


@pytest.mark.parametrize(
    "options", [{"label_column": "label"}, {"class_folders": "outer"}, {"split_folders": {"a": "test"}}]
)
def test_options_that_read_the_source_are_refused_later(packed, options):
    with pytest.raises(cnnzoo.InputError, match=f"{next(iter(options))} cannot change packed data"):
        cnnzoo.load_data(packed, **options)


def test_images_that_cannot_be_decoded(root, tmp_path):
    source = write_class_folders(tmp_path / "photos", {"a": 3, "b": 3}, size=(20, 30))
    (source / "a" / "torn.jpg").write_bytes(valid_files()["a.jpg"][0][:-400])
    with pytest.raises(cnnzoo.InputError, match=r"a/torn.jpg: the file is truncated"):
        cnnzoo.pack(source, tmp_path / "p", strict=True)
    with pytest.warns(UserWarning, match="1 image cannot be decoded"):
        packed = cnnzoo.pack(source, tmp_path / "p")
    assert (packed.images, packed.unusable) == (6, 1)
    assert "1 image cannot be decoded" in str(packed)
    with pytest.warns(UserWarning, match="torn.jpg"):
        data = cnnzoo.load_data(tmp_path / "p", split="all")
    assert len(data.test) == 6
    for path in source.rglob("*.*"):
        path.write_bytes(b"nothing")
    with pytest.raises(cnnzoo.InputError, match="None of the images of photos can be decoded"):
        cnnzoo.pack(source, tmp_path / "q")
    assert not (tmp_path / "q" / MANIFEST_FILE).exists()


def test_reading_does_not_need_the_package(root, packed, tmp_path, monkeypatch):
    for name in ("array_record", "array_record.python", "array_record.python.array_record_module"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="Linux and for macOS on Apple silicon: pip install array_record"):
        cnnzoo.pack(root, tmp_path / "q")
    assert not (tmp_path / "q").exists()
    assert cnnzoo.load_data(packed, image_size=16).batches("test", 2)[0][0].shape == (2, 16, 16, 3)


# Damaged packed data


def cut(folder):
    shard = shards_of(folder)[2]
    shard.write_bytes(shard.read_bytes()[:-100])
    return f"{shard.name}' has .* bytes instead of .*: it was cut"


def remove(folder):
    shard = shards_of(folder)[1]
    shard.unlink()
    return f"Cannot read the shard .*{shard.name}': No such file"


def change_index(folder):
    index = shards_of(folder)[1].with_suffix(".json")
    index.write_text(index.read_text().replace('"a"', '"b"', 1))
    return f"{index.name}' was changed, or belongs to another pack"


def remove_index(folder):
    index = shards_of(folder)[1].with_suffix(".json")
    index.unlink()
    return f"Cannot read the index .*{index.name}'"


def change_manifest(folder):
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text().replace('"images": 20', '"images": 21'))
    return "does not match its checksum.*pack the images again"


def break_manifest(folder):
    (folder / MANIFEST_FILE).write_text("{")
    return "packed.json cannot be read.*pack the images again"


def make_newer(folder):
    values = read_json(folder / MANIFEST_FILE, {})
    write_json(folder / MANIFEST_FILE, values | {"version": 2}, add_sum=True)
    return "reads up to version 1 of .*newer cnnzoo"


def swap(folder):
    first, second = shards_of(folder)[:2]
    for suffix in (".array_record", ".json"):
        old, new = first.with_suffix(suffix), second.with_suffix(suffix)
        content = old.read_bytes()
        old.write_bytes(new.read_bytes())
        new.write_bytes(content)
    return "belongs to another pack"


DAMAGES = [cut, remove, change_index, remove_index, change_manifest, break_manifest, make_newer, swap]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_data_is_refused_when_it_is_loaded(packed, damage):
    message = damage(packed)
    for load in (cnnzoo.load_data, diagnose_source):
        with pytest.raises(cnnzoo.InputError, match=message):
            load(packed)


@pytest.mark.parametrize("workers", [0, 1])
def test_changed_bytes_are_found_when_they_are_read(packed, workers):
    data = cnnzoo.load_data(packed, image_size=16, workers=workers, cache="none")
    for shard in shards_of(packed):
        content = bytearray(shard.read_bytes())
        content[2000:9000:50] = bytes(140)
        shard.write_bytes(content)
    with pytest.raises(cnnzoo.InputError, match=r"\.array_record' does not hold the bytes that were.*--overwrite"):
        data.batches("train", 16)[0]
    with pytest.raises(cnnzoo.InputError, match=r"00000-of-00004\.array_record' was changed since it was packed"):
        diagnose_source(packed)


def test_a_shard_that_is_cut_later_is_an_error_too(packed):
    data = cnnzoo.load_data(packed, image_size=16, workers=0, cache="none")
    for shard in shards_of(packed):
        os.truncate(shard, 100)
    with pytest.raises(cnnzoo.InputError, match="ends before this image: it was cut"):
        data.batches("train", 16)[0]


def test_a_shard_of_another_pack_is_found(packed, tmp_path):
    other = write_class_folders(tmp_path / "photos", {"a": 10, "b": 10}, size=(20, 30), seed=77)
    cnnzoo.pack(other, tmp_path / "q", shards=SHARDS)
    shards_of(packed)[0].write_bytes(shards_of(tmp_path / "q")[0].read_bytes())
    with pytest.raises(cnnzoo.InputError, match="belongs to another pack"):
        diagnose_source(packed)


# The command


def test_the_command(cli, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli("pack", str(root), "p", "--shards", "2", "--size", "16")
    assert (result.code, result.out) == (
        0,
        "p: 20 images of photos in 2 shards, 0.3 MB, the shorter side at most 16 pixels\n",
    )
    result = cli("pack", str(root), "p")
    assert result.code == 2
    assert "p' holds packed data already; --overwrite replaces it" in result.err
    result = cli("doctor", "p")
    assert (result.code, "20 files, none set aside" in result.out) == (0, True)
    result = cli("pack", str(root), "q", "--shards", "0")
    assert (result.code, "--shards must be" in result.err) == (2, True)
    assert cli("pack", "nothing", "q").code == 2

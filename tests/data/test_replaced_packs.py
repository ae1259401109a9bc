"""`pack(overwrite=True)` replaces packed data once the new one is complete; whatever ends it before leaves data."""

import itertools
import os
import resource
import shutil
import signal

import pytest
from filelock import FileLock
from helpers.image_files import write_class_folders
from helpers.processes import ForkedProcess

import cnnzoo
from cnnzoo.data import packing_folder
from cnnzoo.data.packed import read_manifest
from cnnzoo.data.packed_folder import MANIFEST_FILE, PLAN_FILE
from cnnzoo.data.packed_shards import ShardWriter
from cnnzoo.data.packing_folder import LOCK_FILE, NEW_FOLDER

pytest.importorskip("array_record.python.array_record_module")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two folders of images, of the same number and of other content, and packed data of the first one."""
    root = tmp_path_factory.mktemp("sources")
    for name, seed in (("before", 0), ("after", 50)):
        write_class_folders(root / name, {"a": 10, "b": 10}, size=(20, 30), seed=seed)
    cnnzoo.pack(root / "before", root / "p", shards=3)
    return root


@pytest.fixture
def packed(sources, tmp_path):
    shutil.copytree(sources / "p", tmp_path / "p")
    (tmp_path / "p" / "mine.txt").write_text("kept")
    return tmp_path / "p"


def check_content(folder, source, shards):
    """Check that a folder holds packed data of a source and nothing else."""
    data = cnnzoo.load_data(folder, split="all")
    assert data.fingerprints == cnnzoo.load_data(source, split="all").fingerprints
    names = {f"images-{i:05}-of-{shards:05}{suffix}" for i in range(shards) for suffix in (".array_record", ".json")}
    assert {path.name for path in folder.iterdir()} == {*names, MANIFEST_FILE, "mine.txt"}


def replace_until_killed(source, folder, name, after):
    """Replace packed data, and kill this process at a call of one of the functions that write."""
    target = ShardWriter if name == "write" else packing_folder
    function, numbers = getattr(target, name), itertools.count()

    def call_or_die(*arguments):
        if next(numbers) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    setattr(target, name, call_or_die)
    cnnzoo.pack(source, folder, shards=2, overwrite=True)


def test_a_replacement_that_is_killed_leaves_the_packed_data_before(sources, packed, capsys):
    process = ForkedProcess(replace_until_killed, sources / "after", packed, "write", 1)
    assert process.wait(60) == -signal.SIGKILL
    assert cnnzoo.load_data(packed).fingerprints == cnnzoo.load_data(sources / "before").fingerprints
    with pytest.raises(cnnzoo.InputError, match="holds packed data already"):
        cnnzoo.pack(sources / "after", packed, shards=2)
    cnnzoo.pack(sources / "after", packed, shards=2, overwrite=True)
    lines = capsys.readouterr().err
    assert "Going on with the packed data in" in lines
    assert "Kept 1 shard of 2 that was complete" in lines
    check_content(packed, sources / "after", 2)


@pytest.mark.parametrize("after", [0, 3, 5])
def test_files_are_moved_by_the_next_call_if_that_was_killed(sources, packed, after):
    process = ForkedProcess(replace_until_killed, sources / "after", packed, "move_file", after)
    assert process.wait(60) == -signal.SIGKILL
    if (packed / MANIFEST_FILE).exists():
        assert cnnzoo.load_data(packed).source == "before"
    else:
        with pytest.raises(cnnzoo.InputError, match="not complete: packing was interrupted"):
            cnnzoo.load_data(packed)
    cnnzoo.pack(sources / "after", packed, shards=2, overwrite=True)
    check_content(packed, sources / "after", 2)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_other_options_begin_the_replacement_anew(sources, packed, monkeypatch, is_damaged):
    with monkeypatch.context() as patch, pytest.raises(cnnzoo.Interrupted, match=r"Until then, '.*' holds the packed"):
        patch.setattr(ShardWriter, "write", interrupt_write)
        cnnzoo.pack(sources / "after", packed, shards=4, overwrite=True)
    assert (packed / NEW_FOLDER / PLAN_FILE).exists()
    (packed / NEW_FOLDER / ".images-00001-of-00004.json.x1234567.scratch").mkdir()
    (packed / NEW_FOLDER / "images-00001-of-00004.json").touch()
    if is_damaged:
        (packed / NEW_FOLDER / "images-00001-of-00004.array_record").touch()
        (packed / NEW_FOLDER / PLAN_FILE).write_text("{")
    cnnzoo.pack(sources / "after", packed, shards=2, overwrite=True)
    check_content(packed, sources / "after", 2)


def interrupt_write(*_):
    raise KeyboardInterrupt


def test_another_source_does_not_go_on(sources, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(cnnzoo.Interrupted):
        patch.setattr(ShardWriter, "write", interrupt_write)
        cnnzoo.pack(sources / "before", tmp_path / "p", shards=2)
    with pytest.raises(cnnzoo.InputError, match="packed data of before that was interrupted, with source=before"):
        cnnzoo.pack(sources / "after", tmp_path / "p", shards=2)
    cnnzoo.pack(sources / "before", tmp_path / "p")


@pytest.mark.parametrize("shards", [0, -1, 10**12])
def test_a_plan_that_cannot_be_is_refused(sources, tmp_path, shards):
    (tmp_path / PLAN_FILE).write_text(f'{{"shards": {shards}, "size": null, "source": "before"}}')
    with pytest.raises(cnnzoo.InputError, match="shards in .*packing.json must be"):
        cnnzoo.pack(sources / "before", tmp_path)


def test_nobody_elses_manifest_is_deleted(sources, tmp_path):
    (tmp_path / MANIFEST_FILE).write_text('{"name": "game"}')
    with pytest.raises(cnnzoo.InputError, match="is not empty and holds no packed data, but 'packed.json'"):
        cnnzoo.pack(sources / "after", tmp_path, overwrite=True)
    assert (tmp_path / MANIFEST_FILE).read_text() == '{"name": "game"}'


def test_two_calls_do_not_write_the_same_folder(sources, packed):
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    with FileLock(packed / LOCK_FILE), pytest.raises(cnnzoo.InputError, match="Another process is packing into"):
        cnnzoo.pack(sources / "after", packed, overwrite=True)
    assert {path.name: path.read_bytes() for path in packed.iterdir() if path.name != LOCK_FILE} == before


def pack_with_a_small_disk(source, folder):
    """Pack where no file can get longer than 100,000 bytes, and print the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        cnnzoo.pack(source, folder, shards=2, overwrite=True)
    except cnnzoo.InputError as error:
        print(error, flush=True)


def test_a_file_that_cannot_be_written_leaves_the_packed_data_before(sources, packed):
    process = ForkedProcess(pack_with_a_small_disk, sources / "after", packed)
    output = process.communicate(timeout=60)[0]
    assert "/p/.packing': File too large; the same command goes on with the shards that are missing. Until" in output
    assert cnnzoo.load_data(packed).source == "before"
    cnnzoo.pack(sources / "after", packed, shards=2, overwrite=True)
    check_content(packed, sources / "after", 2)
    assert read_manifest(packed).source == "after"

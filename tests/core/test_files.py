"""Writing completely or not at all, also when a process is killed or a disk fails."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnzoo import InputError
from cnnzoo.core import files
from cnnzoo.core.digests import check_digest, check_digests, digest_file, digest_folder
from cnnzoo.core.files import atomic_write, exchange_paths, read_bounded


@pytest.fixture(params=["exchange", "two renames"])
def renames(request, monkeypatch):
    """How one folder takes the place of another: in one step, or in two where the system has no exchange."""
    if request.param == "two renames":
        monkeypatch.setattr(files, "_find_renameat2", lambda: None)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def write_folder(path, content):
    with atomic_write(path) as new:
        new.mkdir()
        (new / "file").write_text(content)


def test_a_folder_replaces_another(tmp_path, renames):
    for content in ("old", "new"):
        write_folder(tmp_path / "out", content)
        assert (tmp_path / "out" / "file").read_text() == content
    assert names_in(tmp_path) == ["out"]


def test_an_error_leaves_what_was_there(tmp_path, renames):
    write_folder(tmp_path / "out", "old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "out") as new:
        new.mkdir()
        raise ZeroDivisionError
    with pytest.raises(InputError, match="Cannot replace the folder"), atomic_write(tmp_path / "out") as new:
        new.write_text("a file")
    assert (tmp_path / "out" / "file").read_text() == "old"
    assert names_in(tmp_path) == ["out"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", "old")
    monkeypatch.setattr(files, "_find_renameat2", lambda: None)
    replace = os.replace

    def fail_for_new_folder(source, target):
        if source.name == "out" and target == tmp_path / "out":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", fail_for_new_folder)
    with pytest.raises(OSError, match="Input/output error"):
        write_folder(tmp_path / "out", "new")
    monkeypatch.undo()
    assert (tmp_path / "out" / "file").read_text() == "old"


KILLED = """
import os, signal, sys
from pathlib import Path
from cnnzoo.core import files
moment, path = sys.argv[1], Path(sys.argv[2])
kill = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
if moment == "before":
    files._flush_to_disk = kill
elif moment == "exchanged":
    files.shutil.rmtree = kill
else:
    files._find_renameat2 = lambda: None
    replace = os.replace
    files.os.replace = lambda a, b: replace(a, b) if str(b).endswith(".old") else kill()
with files.atomic_write(path) as new:
    new.mkdir()
    (new / "file").write_text("new")
"""


@pytest.mark.parametrize(
    ("moment", "content"), [("before", "old"), ("exchanged", "new"), ("between two renames", "old")]
)
def test_a_killed_process_leaves_one_whole_folder_and_its_litter_is_removed(tmp_path, moment, content):
    write_folder(tmp_path / "out", "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, moment, tmp_path / "out"])
    assert killed.returncode == -9
    assert len(names_in(tmp_path)) == 1 + (moment != "between two renames")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "out"):
        raise ZeroDivisionError  # the next process restores the folder and removes the litter, even if it fails
    assert (tmp_path / "out" / "file").read_text() == content
    assert names_in(tmp_path) == ["out"]


def test_folders_of_living_processes_and_of_others_stay(tmp_path):
    others = [".out.mine.scratch", ".out.settings", ".out.12345678", ".output.12345678.scratch"]
    for name in others:
        (tmp_path / name).mkdir()
    with atomic_write(tmp_path / "out") as first:
        with atomic_write(tmp_path / "out") as second:  # as another process would
            second.write_text("second")
        first.write_text("first")
    assert (tmp_path / "out").read_text() == "first"
    assert sorted(names_in(tmp_path)) == sorted([*others, "out"])


def test_bytes_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace

    def record_fsync(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", record_fsync)
    monkeypatch.setattr(files.os, "replace", lambda a, b: (order.append("rename"), replace(a, b)))
    with atomic_write(tmp_path / "out.txt") as new:
        new.write_text("x")
    assert order == ["out.txt", "rename", tmp_path.name]


def test_a_full_disk_at_the_flush_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("old")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"), atomic_write(tmp_path / "out") as new:
        new.write_text("new")
    assert (tmp_path / "out").read_text() == "old"
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["x" * 230, "é" * 110, "a b.c-d", "-x", "x.scratch"])
def test_odd_names(tmp_path, name):
    for content in "ab":
        with atomic_write(tmp_path / name) as new:
            new.write_text(content)
    assert (tmp_path / name).read_text() == "b"
    assert names_in(tmp_path) == [name]


def test_exchange(tmp_path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(OSError):
        exchange_paths(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b").mkdir()
    if exchange_paths(tmp_path / "a", tmp_path / "b"):
        assert (tmp_path / "b").read_text() == "a"
        assert (tmp_path / "a").is_dir()


def test_bounded_reading(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes are too many"):
        read_bounded(tmp_path / "a", 4)
    with pytest.raises(OSError):  # a file without a size
        read_bounded(Path("/proc/self/status"), 4)


def test_digests(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a", "sub/b"):
        (tmp_path / name).write_text(name)
    recorded = digest_folder(tmp_path)
    assert recorded == {name: digest_file(tmp_path / name) for name in ("a", "sub/b")}
    (tmp_path / "more").write_text("")
    check_digests(tmp_path, recorded)
    (tmp_path / "sub/b").write_text("sub/c")
    with pytest.raises(InputError, match=r"sub/b is damaged or was replaced: its SHA-256 .*; a remedy"):
        check_digests(tmp_path, recorded, "a remedy")
    (tmp_path / "sub/b").write_text("sub/bb")
    with pytest.raises(InputError, match="6 bytes instead of 5"):
        check_digests(tmp_path, recorded)
    (tmp_path / "sub/b").unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        check_digests(tmp_path, recorded)
    with pytest.raises(InputError, match="must lie in it"):
        check_digests(tmp_path, {"../x": recorded["a"]})
    check_digest(tmp_path / "a", recorded["a"])

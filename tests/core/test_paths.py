"""What users give as a path, and what becomes of it."""

import os
from pathlib import Path

import pytest

import cnnzoo
from cnnzoo.core.files import cache_dir
from cnnzoo.core.paths import check_path, expand_home, path_exists, resolve_path
from cnnzoo.training.run import check_run_dir


@pytest.fixture
def deleted_working_dir(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@pytest.fixture
def loop(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "loop")
    return tmp_path / "loop"


@pytest.mark.parametrize("path", ["a", b"a", Path("a"), "a/b.png", "ü", "a\udcff", "a b", "*", "x" * 255, "-"])
def test_what_can_be_a_path_is_one(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert check_path(path) == Path(os.fsdecode(path))


@pytest.mark.parametrize(
    "path, message",
    [
        ("", "run_dir is empty; write '.' for the current folder"),
        (b"", "run_dir is empty"),
        (None, "run_dir must be a path. Received: None"),
        (3, "run_dir must be a path. Received: 3"),
        (["a"], "run_dir must be a path"),
        ("a\0b", "holds a NUL character"),
        ("a/b\0", "holds a NUL character"),
        ("a\ud800", "no file can have this name"),
        ("x" * 256, "too long"),
        ("a/" * 3000, r"'a/.*'\.\.\.'.* \(6,000 characters\): File name too long"),
        ("~nobody-at-all/x", "The home '~nobody-at-all' .* is unknown: there is no user of this name; give the whole"),
    ],
)
def test_what_cannot_be_a_path_is_refused_with_the_reason(path, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        check_path(path, "run_dir")


def test_links_in_a_circle_are_refused_and_still_have_a_name(loop):
    with pytest.raises(cnnzoo.InputError, match="a link that leads back to itself"):
        check_path(loop)
    with pytest.raises(cnnzoo.InputError, match="a link that leads back to itself"):
        check_path(loop / "below")
    assert resolve_path(loop).parent == loop.parent
    assert path_exists(loop)


def test_only_a_relative_path_needs_a_working_directory(deleted_working_dir, tmp_path):
    for call in (check_path, resolve_path):
        with pytest.raises(cnnzoo.InputError, match="the working directory no longer exists; change to another"):
            call("photos")
        assert call(tmp_path) == tmp_path


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "x" * 300, "a/" * 3000])
def test_odd_names_resolve_to_something_and_do_not_exist(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert resolve_path(name).is_absolute()
    assert not path_exists(name)


def test_homes_are_filled_in_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert check_path("~/photos") == tmp_path / "home" / "photos"
    assert check_path("photos/~") == Path("photos/~")
    Path("~draft.png").touch()
    assert check_path("~draft.png") == Path("~draft.png")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    """Containers run under numbers that no list of users holds."""
    monkeypatch.delenv("HOME", raising=False)
    for name in ("CNNZOO_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(cnnzoo.InputError, match="HOME is not set, and this user has no entry"):
        expand_home("~/x")
    with pytest.raises(cnnzoo.InputError, match="Cannot use the cache: .*; set CNNZOO_HOME to a folder"):
        cache_dir()
    for path in ("~nobody-at-all/x", "x" * 300):
        monkeypatch.setenv("CNNZOO_HOME", path)
        with pytest.raises(cnnzoo.InputError, match="Cannot use the cache"):
            cache_dir()


NEEDS_A_PATH = {
    "load": lambda path: cnnzoo.load(path),
    "load_data": lambda path: cnnzoo.load_data(path),
    "save": lambda path: cnnzoo.save(None, path),
    "save_weights": lambda path: cnnzoo.save_weights(None, path),
    "export": lambda path: cnnzoo.export("runs/a", path),
    "export of a path": lambda path: cnnzoo.export(path, "out"),
    "fit_and_evaluate": lambda path: check_run_dir(path, None, False),
    "RateTest.save": lambda path: cnnzoo.RateTest((0.1,), (1.0,), 0.1).save(path),
}


@pytest.mark.parametrize("call", NEEDS_A_PATH.values(), ids=NEEDS_A_PATH)
@pytest.mark.parametrize("path, message", [("", "is empty; write '.'"), ("a\0b", "NUL"), ("x" * 300, "too long")])
def test_every_function_refuses_what_cannot_be_a_path(call, path, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        call(path)

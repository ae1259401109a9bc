"""Patterns of files, and names that look like patterns."""

import os
from pathlib import Path

import pytest

import cnnzoo
from cnnzoo.inference.inputs import count_images, is_single_image, iter_images

NAMES = ("1.png", "a/2.png", "a/10.png", "a/b/3.jpg", "a/.hidden/4.png", ".secret.png", "[x]/5.png", "c[1].png")


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a" / "b" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "self.png").symlink_to("self.png")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("*.png", ["1.png", "c[1].png", "self.png"]),
        ("a/*.png", ["a/2.png", "a/10.png"]),
        ("**/*.png", ["1.png", "[x]/5.png", "a/2.png", "a/10.png", "c[1].png", "self.png"]),
        ("a/**/*.*", ["a/2.png", "a/10.png", "a/b/3.jpg"]),
        ("a/**", ["a/2.png", "a/10.png", "a/b/3.jpg"]),
        ("**/b/**/*.jpg", ["a/b/3.jpg"]),
        ("**/*.jp*g", ["a/b/3.jpg"]),
        ("?/**/3.*", ["a/b/3.jpg"]),
        ("c[1].png", ["c[1].png"]),
        ("[x]/*.png", ["[x]/5.png"]),
        ("[x]", ["[x]/5.png"]),
        ("[a]/*.png", ["a/2.png", "a/10.png"]),
        (".*.png", [".secret.png"]),
        ("a/.hidden/*.png", ["a/.hidden/4.png"]),
        ("a/**/.hidden/*.png", ["a/.hidden/4.png"]),
    ],
)
def test_patterns_match_files_once_and_in_order(pattern, names):
    assert [name for name, _ in iter_images(pattern)] == names
    absolute = [Path(name).relative_to(Path.cwd()).as_posix() for name, _ in iter_images(Path.cwd() / pattern)]
    assert absolute == names


@pytest.mark.parametrize("pattern", ["*.nothing", "**/*.nothing", "c[2].png", "nothing/**", "[y]/*"])
def test_a_pattern_without_files_is_named(pattern):
    with pytest.raises(cnnzoo.InputError, match="There are no files at"):
        list(iter_images(pattern))


def test_names_that_exist_are_single_images():
    assert is_single_image("c[1].png")
    assert is_single_image(Path("self.png"))
    assert not is_single_image("c[2].png")
    assert not is_single_image("[x]")


def test_a_search_that_takes_long_is_told(monkeypatch):
    monkeypatch.setattr("cnnzoo.inference.patterns.PATIENCE", -1)
    with pytest.warns(UserWarning, match=r"'\*\*/\*.jpg' takes long: 1 files were looked at, and the search is in"):
        assert [name for name, _ in iter_images("**/*.jpg")] == ["a/b/3.jpg"]


def test_counting_that_takes_long_is_told(monkeypatch, capsys):
    monkeypatch.setattr("cnnzoo.core.progress.DELAY", 0.0)
    assert count_images("a/**", verbose=True) == 3
    assert "Counting the images: 3 images in 0 s\n" in capsys.readouterr().err
    count_images("a/**", verbose=False)
    assert not capsys.readouterr().err


def test_patterns_over_everything_begin_at_once(monkeypatch):
    """The first file is there before the rest of the disk was read."""
    folders, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: folders.append(path) or scan(path))
    first = next(iter_images("**"))
    assert first[0] == "1.png"
    assert len(folders) <= 2

"""The command that installs an extra, wherever the package came from."""

import json
from types import SimpleNamespace

import pytest

from cnnzoo.core import extras


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone that is not the current folder, and no package beside the module."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "CLONE", tmp_path)
    return folder


def set_origin(monkeypatch, origin):
    text = origin if isinstance(origin, str | None) else json.dumps(origin)
    monkeypatch.setattr(extras, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text))


def test_in_a_clone(clone, monkeypatch):
    monkeypatch.setattr(extras, "CLONE", clone)
    assert extras.install_command("export") == f"pip install -e '{clone}[export]'"
    monkeypatch.chdir(clone)
    assert extras.install_command("export") == "pip install -e '.[export]'"


def test_installed_from_a_clone(clone, monkeypatch):
    set_origin(monkeypatch, {"url": f"file://{clone}".replace(" ", "%20"), "dir_info": {}})
    assert extras.install_command("tune") == f"pip install '{clone}[tune]'"
    (clone / "pyproject.toml").unlink()
    assert extras.install_command("tune") == "pip install '.[tune]' in a clone of the repository"


def test_installed_from_elsewhere(clone, monkeypatch):
    set_origin(monkeypatch, {"url": "https://host/cnnzoo", "vcs_info": {"vcs": "git"}})
    assert extras.install_command("tune") == "pip install 'cnnzoo[tune] @ git+https://host/cnnzoo'"
    for origin in (None, "", "no json", "[]"):
        set_origin(monkeypatch, origin)
        assert extras.install_command("tune") == "pip install 'cnnzoo[tune]'"

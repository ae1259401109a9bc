"""Fixtures of the data tests: a separate cache folder."""

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    """An empty folder in the place of the user's cache, so that tests do not see each other's scans and images."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CNNZOO_HOME", str(folder))
    return folder

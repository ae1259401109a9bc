"""Trainings that the tests of this folder share and must not change."""

from types import SimpleNamespace

import pytest
from helpers.training import fit, new_lenet


@pytest.fixture(scope="session")
def uninterrupted(data, tmp_path_factory):
    """A run of RECIPE from start to end: its model, report and folder."""
    model, folder = new_lenet(), tmp_path_factory.mktemp("uninterrupted") / "run"
    report = fit(model, data, run_dir=folder)
    return SimpleNamespace(model=model, report=report, folder=folder)

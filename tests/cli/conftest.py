"""A small data set, and one run that a command trained on it."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.commands import CLASSES, QUICK, run_command
from helpers.images import make_blobs


@pytest.fixture(scope="session")
def npz(tmp_path_factory):
    """A file of images that a small network learns quickly."""
    x, y = make_blobs()
    file = tmp_path_factory.mktemp("blobs") / "blobs.npz"
    np.savez(file, x=x, y=y)
    return file


@pytest.fixture(scope="session")
def train_arguments(npz):
    """A quick training, without its run directory."""
    return ("train", "lenet5", npz, *QUICK, "--classes", ",".join(CLASSES), "--seed", 3)


@pytest.fixture(scope="session")
def run(train_arguments, tmp_path_factory):
    """The folder of a finished run, which tests must not change, and what its training printed."""
    folder = tmp_path_factory.mktemp("run") / "run"
    training = run_command(*train_arguments, "--run-dir", folder)
    assert training.code == 0, training.err
    return SimpleNamespace(folder=folder, out=training.out, err=training.err)


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """The folder of an export of that run to a format that is written fast, which tests must not change."""
    folder = tmp_path_factory.mktemp("export") / "exported"
    answer = run_command("export", run.folder, folder, "--format", "litert")
    assert answer.code == 0, answer.err
    assert "the same class, and probabilities that differ by at most 0.0000" in answer.out
    return folder

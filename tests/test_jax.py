"""On the JAX backend everything but exporting works without TensorFlow: one process does all of it, for all tests."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.paths import ROOT

import cnnzoo

pytest.importorskip("jax")
pytestmark = pytest.mark.slow

# JAX takes seconds to compile a program; equal ones are compiled once.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


@pytest.fixture(scope="module")
def answers(trained, data, tmp_path_factory):
    """What `helpers/on_jax.py` found out, by name, in processes that cannot import TensorFlow or torch."""
    folder = tmp_path_factory.mktemp("jax")
    (folder / "blocked").mkdir()
    for module in ("tensorflow", "torch"):
        (folder / "blocked" / f"{module}.py").write_text("raise ImportError('blocked')")
    write_class_folders(folder / "photos", {"a": 10, "b": 10})
    x = np.random.default_rng(0).integers(0, 256, (20, 12, 12), "uint8")
    np.savez(folder / "images.npz", x=x, y=np.arange(20) % 2)
    np.save(folder / "images.npy", data.test.images)
    paths = os.pathsep.join([str(folder / "blocked"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, "-m", "helpers.on_jax", str(trained.folder)],
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": paths, "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads((folder / "answers.json").read_text())


def test_nothing_imports_another_backend(answers):
    assert answers["imported"] == []


def test_training_learns_and_resumes_after_a_crash(answers):
    training = answers["train"]
    assert training["accuracy"] > 0.8
    assert training["validated"] == pytest.approx(training["best"], abs=0.01)
    assert training["reports are equal"]


def test_fine_tuning_and_the_range_test_work(answers):
    assert answers["fine_tune"] > 0.8
    assert answers["lr_find"] > 1e-4


def test_folders_files_and_streams_are_trained_on(answers):
    losses, predictions = np.transpose(answers["sources"])
    assert np.isfinite(losses).all()
    assert predictions.tolist() == [2, 2, 2]


def test_predictions_are_those_of_tensorflow(answers, trained, data):
    runtime, probabilities = answers["predict"]
    assert runtime == "keras"
    expected = cnnzoo.load(trained.folder, "keras").probabilities(data.test.images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_trial_of_a_search_runs_in_a_new_python(answers):
    """JAX has threads that no fork survives."""
    assert answers["tune"] == ["completed"]

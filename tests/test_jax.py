"""On the JAX backend everything but exporting works without TensorFlow: one process does all of it, for all tests."""

import json

import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.jax_processes import jax_variables, run_module

import cnnzoo

pytest.importorskip("jax")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers(trained, data, tmp_path_factory):
    """What `helpers/on_jax.py` found out, by name, in processes that cannot import TensorFlow or torch."""
    folder = tmp_path_factory.mktemp("jax")
    write_class_folders(folder / "photos", {"a": 10, "b": 10})
    x = np.random.default_rng(0).integers(0, 256, (20, 12, 12), "uint8")
    np.savez(folder / "images.npz", x=x, y=np.arange(20) % 2)
    np.save(folder / "images.npy", data.test.images)
    run_module("on_jax", trained.folder, folder=folder, variables=jax_variables(folder))
    return json.loads((folder / "answers.json").read_text())


def test_nothing_imports_another_backend(answers):
    assert answers["imported"] == []


def test_training_learns_and_resumes_after_a_crash(answers):
    training = answers["train"]
    assert training["accuracy"] > 0.8
    assert training["validated"] == pytest.approx(training["best"], abs=0.01)
    assert training["reports are equal"]


def test_fine_tuning_and_the_range_test_work(answers):
    assert answers["train"]["fine-tuned"] > 0.8
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

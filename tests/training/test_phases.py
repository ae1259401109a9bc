"""No long phase of a command is silent: each tells the shared display what it does."""

import pytest
from helpers.image_files import write_class_folders
from helpers.training import RECIPE, new_lenet

import cnnzoo
from cnnzoo.core import progress
from cnnzoo.core.progress import Board
from cnnzoo.training.recipe import Recipe

FINE_TUNING = Recipe(epochs=1, batch_size=12, learning_rate=0.001)
TRAINED = {"Preparing the images", "Training", "Evaluating on the validation split", "Evaluating on the test split"}
CHECKED = {
    "Preparing the export",
    "Converting to litert",
    "Comparing the export with the model",
    "Measuring the speed of the export",
}


@pytest.fixture
def phases(monkeypatch):
    """What the shared display was told of, from the beginning of the test on."""
    activities = set()

    class RecordingBoard(Board):
        def add(self, work):
            activities.add(work.activity)
            super().add(work)

    monkeypatch.setattr(progress, "_board", RecordingBoard(threaded=False))
    return activities


@pytest.mark.slow
def test_every_phase_of_a_training_is_shown(phases, data, tmp_path):
    cnnzoo.fit_and_evaluate(new_lenet(), data, recipe=RECIPE, run_dir=tmp_path / "run")
    assert TRAINED | {"Writing the report"} <= phases


@pytest.mark.slow
def test_every_phase_of_fine_tuning_is_shown(phases, data, tmp_path):
    cnnzoo.fine_tune(new_lenet(), data, recipe=FINE_TUNING, run_dir=tmp_path / "run")
    assert TRAINED | {"Computing features", "Fitting the linear probe", "Writing the report"} <= phases


@pytest.mark.slow
def test_every_phase_of_the_rate_test_is_shown(phases, data):
    cnnzoo.lr_find(new_lenet(), data, recipe=RECIPE, steps=20)
    assert "Training at rising learning rates" in phases


@pytest.mark.slow
def test_every_phase_of_an_export_is_shown(phases, data, tmp_path):
    model = new_lenet()
    cnnzoo.export(model, tmp_path / "a", "litert")
    assert phases >= CHECKED
    cnnzoo.export(model, tmp_path / "b", "litert", precision="int8", data=data, max_drop=1.0)
    assert phases >= {"Calibrating int8", "Measuring the accuracy of model and export"}


def test_every_phase_of_loading_is_shown(phases, tmp_path):
    write_class_folders(tmp_path, {"cat": 12, "dog": 12})
    cnnzoo.load_data(tmp_path, image_size=32)
    assert phases >= {"Loading the data", "Checking the images", "Comparing the images", "Resizing the images"}


@pytest.mark.slow
def test_nothing_is_shown_unless_verbose(phases, data, tmp_path):
    model = new_lenet()
    phases.clear()
    cnnzoo.fine_tune(model, data, recipe=FINE_TUNING, run_dir=tmp_path / "run", verbose=False)
    cnnzoo.evaluate(model, data, verbose=False)
    cnnzoo.export(model, tmp_path / "a", "litert", verbose=False)
    assert not phases

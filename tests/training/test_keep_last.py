"""The last epoch is kept: with keep="last", and where no image is set aside for validation."""

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.training import RECIPE, CrashAt, CrashError, assert_same_weights, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training.trainer import NOT_VALIDATED

IMAGES, LABELS = make_blobs(60)
SHORT = replace(RECIPE, epochs=2)


class Spoil(keras.callbacks.Callback):
    """Sets all weights to 0 before the last step of an epoch, counted from 0, and collects the weights after each."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.weights = epoch, []

    def on_epoch_begin(self, epoch, logs=None):
        self.spoils = epoch == self.epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.spoils and batch == self.params["steps"] - 1:
            self.model.set_weights([np.zeros_like(weight) for weight in self.model.get_weights()])

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


@pytest.fixture(scope="module")
def whole_data():
    return cnnzoo.load_data(((IMAGES[:45], LABELS[:45]), (IMAGES[45:], LABELS[45:])), splits=(1, 0, 0))


@pytest.fixture(scope="module")
def whole_run(whole_data, tmp_path_factory):
    """A run without validation images."""
    folder, model = tmp_path_factory.mktemp("whole") / "run", new_lenet()
    return SimpleNamespace(report=fit(model, whole_data, recipe=SHORT, run_dir=folder), folder=folder, model=model)


def test_keep_last_keeps_the_last_epoch(data):
    spoil, model = Spoil(3), new_lenet()
    report = fit(model, data, recipe=replace(RECIPE, keep="last"), callbacks=[spoil])
    history = report.history
    scores = list(zip(history["val_accuracy"], (-loss for loss in history["val_loss"]), strict=True))
    best = scores.index(max(scores)) + 1
    assert best < 4
    assert report.best_epoch == 4
    assert_same_weights(model.get_weights(), spoil.weights[-1])
    note = f"The last epoch was kept (keep='last'), although epoch {best} was better on validation."
    assert note in report.notes
    assert note in str(report)


def test_keep_last_and_patience_exclude_each_other():
    with pytest.raises(cnnzoo.InputError, match="keep='last' keeps the last epoch, and patience=2 .* patience=None"):
        replace(RECIPE, keep="last", patience=2)


def test_without_validation_the_last_epoch_is_kept(whole_run):
    report = whole_run.report
    assert report.history.keys() == {"loss", "accuracy"}
    assert report.best_epoch == 2
    assert report.temperature is None


def test_the_report_says_that_nothing_was_validated(whole_run):
    assert NOT_VALIDATED in str(whole_run.report)
    assert "The probabilities were not calibrated: there are no validation images." in str(whole_run.report)
    content = json.loads(read_report(whole_run.folder))
    assert NOT_VALIDATED in content["notes"]
    assert content["calibration"] == {"temperature": {"reason": "there are no validation images"}}
    page = (whole_run.folder / "report.html").read_text()
    assert NOT_VALIDATED in page
    assert ">training<" in page
    assert ">validation<" not in page.partition("<h2>Training")[2]
    assert "Nothing was validated" in whole_run.report._repr_html_()


def test_the_card_says_so_too(whole_run, whole_data):
    card = cnnzoo.load(whole_run.folder).card
    assert card.temperature is None
    assert card.calibration == {"temperature": {"reason": "there are no validation images"}}
    assert card.training["settings"]["keep"] == "last"
    assert card.training["split_options"]["splits"] == [1, 0, 0]
    again = cnnzoo.evaluate(whole_run.folder, whole_data, verbose=False)
    np.testing.assert_allclose(again.probabilities, whole_run.report.probabilities, atol=1e-6)


def test_a_run_without_validation_resumes_within_an_epoch(whole_run, whole_data, tmp_path):
    with contextlib.suppress(CrashError):
        fit(new_lenet(), whole_data, recipe=SHORT, run_dir=tmp_path, callbacks=[CrashAt(1, 1)], checkpoint_every=0)
    fit(new_lenet(), whole_data, recipe=SHORT, run_dir=tmp_path)
    assert read_report(tmp_path) == read_report(whole_run.folder)


def test_weights_that_become_infinite_are_not_kept(whole_data):
    model = new_lenet()
    with pytest.raises(cnnzoo.TrainingError, match="initial weights are kept"):
        fit(model, whole_data, recipe=replace(SHORT, learning_rate=1e30, warmup_epochs=0.0))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("options", "name"),
    [({"recipe": replace(SHORT, patience=2)}, "patience=2"), ({"target_accuracy": 0.9}, "target_accuracy=0.9")],
)
def test_what_needs_validation_is_refused_without_it(whole_data, options, name):
    with pytest.raises(cnnzoo.InputError, match=rf"{name} .* without validation images. .*splits=\(0.8, 0.1, 0.1\)"):
        fit(new_lenet(), whole_data, **options)


def test_a_search_is_refused_without_validation(whole_data, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=r"validation split of arrays is empty.*splits=\(0.8, 0.1, 0.1\)"):
        cnnzoo.tune("lenet5", whole_data, trials=1, run_dir=tmp_path / "search", verbose=False)


def test_fine_tuning_without_validation_keeps_the_last_epoch(whole_data):
    recipe = cnnzoo.recipe("finetune", epochs=1, batch_size=15, precision="float32")
    report = cnnzoo.fine_tune(cnnzoo.get("lenet5", weights="mnist"), whole_data, recipe=recipe, verbose=False)
    assert report.best_epoch == 1
    assert "validation_accuracy" not in report.probe
    assert report.probe_summary.endswith("on test. Epoch 1 was kept.")
    assert NOT_VALIDATED in str(report)


def test_fine_tuning_with_keep_last_does_not_compare_with_the_probe(data):
    recipe = cnnzoo.recipe("finetune", epochs=1, batch_size=12, precision="float32", keep="last")
    report = cnnzoo.fine_tune(cnnzoo.get("lenet5", weights="mnist"), data, recipe=recipe, verbose=False)
    assert report.best_epoch == 1
    assert "tuned_epoch" not in report.probe
    assert report.probe["validation_accuracy"] > 0


def test_a_time_budget_needs_no_validation(whole_data):
    report = fit(new_lenet(), whole_data, recipe=SHORT, minutes=1)
    assert any("time budget of 1 minute" in note for note in report.notes)


def test_the_command_line_trains_on_everything(cli, tmp_path):
    np.savez(tmp_path / "data.npz", x_train=IMAGES[:45], y_train=LABELS[:45], x_test=IMAGES[45:], y_test=LABELS[45:])
    words = ["--splits", "1,0,0", "--set", "keep=last", "--epochs", "1", "--batch-size", "15"]
    assert cli("train", "lenet5", tmp_path / "data.npz", *words, "--run-dir", tmp_path / "run").code == 0
    content = json.loads((tmp_path / "run" / "report.json").read_text())
    assert content["history"].keys() == {"loss", "accuracy"}
    assert NOT_VALIDATED in content["notes"]

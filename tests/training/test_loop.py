"""fit_and_evaluate: the same numbers twice, nothing lost on the way, and clear words when it cannot go on."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.training import loop, run

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05, augment="shift", weight_decay=1e-3)


def fresh(seed=0):
    keras.utils.set_random_seed(seed)
    return cnnzoo.get("lenet5", classes=3)


def fit(model, data, **options):
    return cnnzoo.fit_and_evaluate(model, data, **{"recipe": RECIPE, "verbose": False, **options})


def report_of(folder):
    return (folder / "report.json").read_bytes()


def test_a_run_leaves_its_files(trained):
    names = {path.name for path in trained.folder.iterdir()}
    assert names >= {"report.json", "report.html", "predictions.csv", "model.keras", "model.card.json", "run.json"}
    record = json.loads((trained.folder / "run.json").read_text())
    assert record["status"] == "done"
    assert record["versions"]["keras"] == keras.__version__
    assert record["plan"]["seed"] == 0
    assert record["plan"]["recipe"]["learning_rate"] == 0.05
    assert [len(digest) for digest in record["plan"]["data"]["fingerprints"].values()] == [64, 64, 64]
    assert record["plan"]["data"]["size"] == (
        "Images of 12x12x1 resized by the pipeline (bilinear, antialiased) to 32x32x1."
    )
    assert record["seconds"] > 0
    assert record["command"]


def test_the_saved_model_is_the_reported_one(trained, data):
    classifier = cnnzoo.load(trained.folder)
    assert classifier.classes == trained.report.classes == ("0", "1", "2")
    np.testing.assert_allclose(classifier.probabilities(data.test.images), trained.report.probabilities, atol=1e-6)
    card = cnnzoo.card(classifier.model)
    assert card.training["recipe"]["epochs"] == 3


def test_it_learns(data):
    report = fit(fresh(), data, recipe=replace(RECIPE, epochs=12))
    assert report.accuracy > 0.8
    assert len(report.history["loss"]) == 12
    assert report.history["loss"][-1] < report.history["loss"][0]


def test_the_best_epoch_is_kept(data):
    model = fresh()
    kept = {}

    class Copy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch + 1] = (logs["val_accuracy"], -logs["val_loss"], self.model.get_weights())

    report = fit(model, data, callbacks=[Copy()])
    best = max(kept, key=lambda epoch: kept[epoch][:2])
    assert report.best_epoch == best
    for a, b in zip(model.get_weights(), kept[best][2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_runs_with_one_seed_are_identical(data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(fresh(), data, run_dir=tmp_path / name, seed=seed)
    assert report_of(tmp_path / "a") == report_of(tmp_path / "b")
    assert report_of(tmp_path / "a") != report_of(tmp_path / "c")


@pytest.mark.slow
def test_two_commands_with_one_seed_are_identical(tmp_path):
    """On digits, by the command line, each in a process of its own."""
    for name in "ab":
        command = [sys.executable, "-m", "cnnzoo", "train", "lenet5", "digits", "--recipe", "digits"]
        command += ["--set", "epochs=3", "--run-dir", str(tmp_path / name), "--seed", "7"]
        subprocess.run(command, check=True, capture_output=True)
    assert report_of(tmp_path / "a") == report_of(tmp_path / "b")
    predictions = [(tmp_path / name / "predictions.csv").read_bytes() for name in "ab"]
    assert predictions[0] == predictions[1]


class StopAfter(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch, as a terminal sends it."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.here = epoch == self.epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.here and batch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupted_run_goes_on_to_the_same_end(data, tmp_path, epoch):
    before = signal.getsignal(signal.SIGINT)
    fit(fresh(), data, run_dir=tmp_path / "whole")
    with pytest.raises(cnnzoo.Interrupted, match=f"{epoch} of 4 epochs are done and kept in .*resume"):
        fit(fresh(), data, run_dir=tmp_path / "torn", callbacks=[StopAfter(epoch)])
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "torn" / "run.json").read_text())["status"] == "interrupted"
    resumed = fit(fresh(seed=9), data, run_dir=tmp_path / "torn", resume=True)
    assert report_of(tmp_path / "whole") == report_of(tmp_path / "torn")
    assert len(resumed.history["loss"]) == 4
    again = fit(fresh(seed=9), data, run_dir=tmp_path / "torn", resume=True)
    assert again.metrics == resumed.metrics, "a run that is done only measures again"


def test_a_folder_that_holds_a_run_is_safe(trained, data, tmp_path):
    before = report_of(trained.folder)
    with pytest.raises(cnnzoo.InputError, match="--resume. goes on with it, .*--overwrite. starts anew"):
        fit(fresh(), data, run_dir=trained.folder)
    with pytest.raises(cnnzoo.InputError, match=r"different run.* on: recipe\.learning_rate: 0\.05 then, 0\.01 now$"):
        fit(fresh(), data, run_dir=trained.folder, recipe=replace(trained.recipe, learning_rate=0.01), resume=True)
    with pytest.raises(cnnzoo.InputError, match="seed: 0 then, 1 now"):
        fit(fresh(), data, run_dir=trained.folder, recipe=trained.recipe, seed=1, resume=True)
    assert report_of(trained.folder) == before
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="not empty and holds no run"):
        fit(fresh(), data, run_dir=tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_state(tmp_path):
    """Files may not grow past half a state: one line, no crash, and what was there stays."""
    code = """
import resource, sys
from cnnzoo.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
main(["train", "lenet5", "digits", "--set", "epochs=2", "--run-dir", sys.argv[1]])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 1, answer.stderr
    assert "Error: " in answer.stderr
    assert "Traceback" not in answer.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} <= {"run.json", "state", run.LOCK}
    assert not list((tmp_path / "a" / "state").iterdir())


def test_one_process_at_a_time(data, tmp_path):
    from filelock import FileLock

    fit(fresh(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1))
    before = report_of(tmp_path / "a")
    with FileLock(tmp_path / "a" / run.LOCK), pytest.raises(cnnzoo.InputError, match="Another process is at work"):
        fit(fresh(), data, run_dir=tmp_path / "a", overwrite=True)
    assert report_of(tmp_path / "a") == before


def test_broken_records_are_named(data, tmp_path):
    folder = tmp_path / "a"
    fit(fresh(), data, run_dir=folder)
    good, state = (folder / "run.json").read_bytes(), folder / "state" / "epoch-00004"
    for broken in (b"", b"[]", b"null", b'{"plan": []}', b'{"plan"', b"\xff"):
        (folder / "run.json").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=r"run\.json cannot be read: .*overwrite"):
            fit(fresh(), data, run_dir=folder, resume=True)
    (folder / "run.json").write_bytes(good)
    kept = (state / "state.json").read_bytes()
    for broken in (b"", b"{}", b'{"epoch": 99, "best": [1, 0]}', kept.replace(b'"epoch": 4', b'"epoch": 3')):
        (state / "state.json").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=r"state\.json cannot be read|loss"):
            fit(fresh(), data, run_dir=folder, resume=True)
    (state / "state.json").write_bytes(kept)
    (state / run.LAST).write_bytes(b"torn")
    with pytest.raises(cnnzoo.InputError, match=r"last\.npz cannot be read"):
        fit(fresh(), data, run_dir=folder, resume=True)
    fit(fresh(), data, run_dir=folder, overwrite=True)


def test_what_a_killed_process_left_is_cleared(data, tmp_path):
    for name in (".report.html.abc", "state/.epoch-00009.xyz"):
        (tmp_path / "a" / name).mkdir(parents=True)
    (tmp_path / "a" / "run.json").write_text("{}")
    fit(fresh(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1), overwrite=True)
    assert not list((tmp_path / "a").glob(".report*"))
    assert [path.name for path in (tmp_path / "a" / "state").iterdir()] == ["epoch-00001"]


def test_a_run_from_other_weights_is_another_run(data, tmp_path):
    fit(fresh(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1))
    tuned = cnnzoo.get("lenet5", weights="digits", classes=3)
    with pytest.raises(cnnzoo.InputError, match=r"different run.*weights"):
        fit(tuned, data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1), resume=True)


@pytest.mark.parametrize("where", ["file/run", "x" * 300])
def test_folders_that_cannot_be(data, tmp_path, where):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(cnnzoo.InputError, match="Cannot use the run directory|is a file"):
        fit(fresh(), data, run_dir=tmp_path / where)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"recipe": None}, "a name .* or a Recipe"),
    ],
)
def test_wrong_options_are_named(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        fit(fresh(), data, **options)
    with pytest.raises(cnnzoo.InputError, match=r"comes from cnnzoo\.load_data"):
        fit(fresh(), "digits")


def test_overwrite_replaces_a_run_and_nothing_else(data, tmp_path):
    short = replace(RECIPE, epochs=1)
    fit(fresh(), data, run_dir=tmp_path, recipe=short)
    (tmp_path / "notes.txt").write_text("mine")
    report = fit(fresh(), data, run_dir=tmp_path, recipe=replace(short, epochs=2), overwrite=True)
    assert len(report.history["loss"]) == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_training(data, tmp_path):
    with pytest.raises(
        cnnzoo.TrainingError, match=r"loss became (nan|inf) at step \d+ \(epoch \d+\).*lower learning_rate"
    ):
        fit(fresh(), data, recipe=replace(RECIPE, learning_rate=1e30, warmup_epochs=1.0), run_dir=tmp_path / "a")
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "failed"
    assert all(np.isfinite(w).all() for w in cnnzoo.load(tmp_path / "a").model.get_weights())


def test_the_last_good_weights_are_kept(data):
    model, good = fresh(), []

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            good.append((logs["val_accuracy"], -logs["val_loss"], self.model.get_weights()))
            if epoch == 1:
                self.model.layers[2].kernel.assign(np.full((5, 5, 1, 6), np.nan))

    with pytest.raises(cnnzoo.TrainingError, match=r"step 7 \(epoch 3\); the weights of epoch [12] are kept"):
        fit(model, data, callbacks=[Poison()])
    best = max(good, key=lambda entry: entry[:2])[2]
    for a, b in zip(model.get_weights(), best, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_crash_while_writing_leaves_the_last_state(data, tmp_path, monkeypatch):
    """The state of epoch 2 cannot be completed: that of epoch 1 is whole, and the run goes on from it."""
    fit(fresh(), data, run_dir=tmp_path / "whole")
    real = run.json.dumps

    def fail(value, *args, **kwargs):
        if isinstance(value, dict) and value.get("epoch") == 2:
            raise OSError(28, "No space left on device")
        return real(value, *args, **kwargs)

    monkeypatch.setattr(run.json, "dumps", fail)
    with pytest.raises(OSError, match="No space left"):
        fit(fresh(), data, run_dir=tmp_path / "torn")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "torn" / "state").iterdir()] == ["epoch-00001"]
    fit(fresh(), data, run_dir=tmp_path / "torn", resume=True)
    assert report_of(tmp_path / "whole") == report_of(tmp_path / "torn")


def test_model_and_data_must_agree(data):
    with pytest.raises(
        cnnzoo.InputError, match=r"the data has 3 classes \(0, 1, 2\)\. A model for this data is built with classes=3"
    ):
        fit(cnnzoo.get("lenet5"), data)
    with pytest.raises(cnnzoo.InputError, match="outputs of shape"):
        fit(cnnzoo.get("lenet5", include_top=False), data)


def test_the_model_takes_the_names_of_the_datas_classes():
    from conftest import blobs

    x, y = blobs()
    named = cnnzoo.load_data((x, y), split=(0.6, 0.2, 0.2), classes=["ant", "bee", "cow"])
    model = fresh()
    fit(model, named, recipe=replace(RECIPE, epochs=1))
    assert cnnzoo.card(model).classes == ("ant", "bee", "cow")


def test_gray_images_meet_a_network_of_three_channels(data):
    model = cnnzoo.get("resnet20", classes=3)
    report = fit(model, data, recipe=replace(RECIPE, epochs=1))
    assert report.notes == ("Images of 12x12x1 resized by the pipeline (bilinear, antialiased) to 32x32x3.",)


def test_a_model_with_probabilities_trains_too(data):
    keras.utils.set_random_seed(0)
    softmax = fit(cnnzoo.get("lenet5", classes=3, classifier_activation="softmax"), data)
    logits = fit(fresh(), data)
    assert softmax.metrics["log_loss"] == pytest.approx(logits.metrics["log_loss"], rel=0.05)


def test_biases_and_norms_do_not_decay():
    model = cnnzoo.get("resnet20")
    loop.compile_by(model, replace(RECIPE, weight_decay=0.1), 10)
    decays = {v.path: model.optimizer._use_weight_decay(v) for v in model.trainable_variables}
    assert all(decay == path.endswith("kernel") for path, decay in decays.items())


def test_the_schedule_warms_up_and_ends_at_zero():
    model = fresh()
    loop.compile_by(model, replace(RECIPE, epochs=10, warmup_epochs=2.0, learning_rate=0.1), 5)
    rate = model.optimizer._learning_rate
    rates = [float(rate(step)) for step in range(51)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.05)
    assert rates[10] == pytest.approx(0.1)
    assert rates[30] == pytest.approx(0.05)
    assert rates[50] == pytest.approx(0, abs=1e-8)
    loop.compile_by(model, replace(RECIPE, epochs=1, warmup_epochs=0.0, learning_rate=0.1), 5)
    assert float(model.optimizer._learning_rate(0)) == pytest.approx(0.1)


def test_the_criterion_of_1998_by_hand():
    """Equation 9: the penalty of the right class, plus log(exp(-j) + sum exp(-penalty))."""
    model = fresh()
    loop.compile_by(model, replace(RECIPE, rubbish=2.0), 10)
    logits = -np.random.default_rng(0).uniform(0, 8, (5, 3)).astype("float32")
    one_hot = np.eye(3, dtype="float32")[[0, 1, 2, 1, 0]]
    penalties = -logits.astype("float64")
    expected = np.mean((penalties * one_hot).sum(1) + np.log(np.exp(-2.0) + np.exp(-penalties).sum(1)))
    assert float(model.loss(one_hot, logits)) == pytest.approx(expected, rel=1e-5)


def test_without_a_folder_nothing_is_written(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = fit(fresh(), data, recipe=replace(RECIPE, epochs=1))
    assert report.run_dir is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(cnnzoo.InputError, match="needs the run_dir"):
        fit(fresh(), data, resume=True)

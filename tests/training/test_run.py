"""A run's folder: nothing is lost on the way, and nothing of anybody else's is touched."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import keras
import pytest
from filelock import FileLock
from helpers.training import RECIPE, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import run
from cnnzoo.training import state as state_


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


class StopAfter(keras.callbacks.Callback):
    """What Ctrl-C in the middle of an epoch does; tests/test_cli.py sends a real one, to a process of its own.

    Here it would end the tests on some machines: with AMX, which OpenVINO turns on for the whole process, virtual
    machines may fail to deliver a signal.
    """

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.here = epoch == self.epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.here and batch == 1:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupted_run_goes_on_to_the_same_end(data, tmp_path, epoch):
    before = signal.getsignal(signal.SIGINT)
    fit(new_lenet(), data, run_dir=tmp_path / "whole")
    with pytest.raises(cnnzoo.Interrupted, match=f"{epoch} of 4 epochs and 2 steps are done and kept in .*same call"):
        fit(new_lenet(), data, run_dir=tmp_path / "torn", callbacks=[StopAfter(epoch)])
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "torn" / "run.json").read_text())["status"] == "interrupted"
    resumed = fit(new_lenet(seed=9), data, run_dir=tmp_path / "torn", resume=True)
    assert read_report(tmp_path / "whole") == read_report(tmp_path / "torn")
    assert len(resumed.history["loss"]) == 4
    again = fit(new_lenet(seed=9), data, run_dir=tmp_path / "torn", resume=True)
    assert again.metrics == resumed.metrics, "a run that is done only measures again"


def test_a_folder_that_holds_a_run_is_safe(trained, data, tmp_path):
    before = read_report(trained.folder)
    with pytest.raises(cnnzoo.InputError, match="--resume. continues it, .*--overwrite. starts anew"):
        fit(new_lenet(), data, run_dir=trained.folder)
    with pytest.raises(
        cnnzoo.InputError, match=r"different run.* resumed: recipe\.learning_rate: 0\.05 before, 0\.01 now; overwrite"
    ):
        fit(new_lenet(), data, run_dir=trained.folder, recipe=replace(trained.recipe, learning_rate=0.01), resume=True)
    with pytest.raises(cnnzoo.InputError, match="seed: 0 before, 1 now"):
        fit(new_lenet(), data, run_dir=trained.folder, recipe=trained.recipe, seed=1, resume=True)
    assert read_report(trained.folder) == before
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="not empty and holds no run"):
        fit(new_lenet(), data, run_dir=tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_state(tmp_path):
    """Files may not grow past half a state: one line, no crash, and what was there stays."""
    code = """
import resource, sys
from cnnzoo.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
main(["train", "lenet5", "digits", "--set", "epochs=2", "--run-dir", sys.argv[1]])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 1, answer.stderr
    assert "Error: " in answer.stderr
    assert "Traceback" not in answer.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} <= {"run.json", "state", run.LOCK_FILE}
    assert not list((tmp_path / "a" / "state").iterdir())


def test_one_process_at_a_time(data, tmp_path):
    fit(new_lenet(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1))
    before = read_report(tmp_path / "a")
    with FileLock(tmp_path / "a" / run.LOCK_FILE), pytest.raises(cnnzoo.InputError, match="Another process is using"):
        fit(new_lenet(), data, run_dir=tmp_path / "a", overwrite=True)
    assert read_report(tmp_path / "a") == before


def test_broken_records_are_named(data, tmp_path):
    folder = tmp_path / "a"
    fit(new_lenet(), data, run_dir=folder)
    good, state = (folder / "run.json").read_bytes(), next((folder / "state").iterdir())
    for broken in (b"", b"[]", b"null", b'{"plan": []}', b'{"plan"', b"\xff"):
        (folder / "run.json").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=r"run\.json cannot be read: .*overwrite"):
            fit(new_lenet(), data, run_dir=folder, resume=True)
    (folder / "run.json").write_bytes(good)
    record = (state / "state.json").read_bytes()
    for broken in (b"", b"{}", b'{"epoch": 99, "best": [1, 0]}', record.replace(b'"epoch": 4', b'"epoch": 3')):
        (state / "state.json").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=r"state\.json cannot be read|loss"):
            fit(new_lenet(), data, run_dir=folder, resume=True)
    (state / "state.json").write_bytes(record)
    (state / state_.LAST_FILE).write_bytes(b"torn")
    with pytest.raises(cnnzoo.InputError, match="The state .* cannot be read"):
        fit(new_lenet(), data, run_dir=folder, resume=True)
    fit(new_lenet(), data, run_dir=folder, overwrite=True)


def test_leftovers_of_a_killed_process_are_removed(data, tmp_path):
    for name in (".report.html.abc", "state/.step-000000009.xyz"):
        (tmp_path / "a" / name).mkdir(parents=True)
    (tmp_path / "a" / "run.json").write_text("{}")
    fit(new_lenet(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1), overwrite=True)
    assert not list((tmp_path / "a").glob(".report*"))
    assert [path.name for path in (tmp_path / "a" / "state").iterdir()] == ["step-000000003"]


def test_a_run_from_other_weights_is_another_run(data, tmp_path):
    fit(new_lenet(), data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1))
    tuned = cnnzoo.get("lenet5", weights="digits", classes=3)
    with pytest.raises(cnnzoo.InputError, match=r"different run.*weights"):
        fit(tuned, data, run_dir=tmp_path / "a", recipe=replace(RECIPE, epochs=1), resume=True)


@pytest.mark.parametrize("where", ["file/run", "x" * 300])
def test_invalid_folders_are_refused(data, tmp_path, where):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(cnnzoo.InputError, match="Cannot use the run directory|is a file"):
        fit(new_lenet(), data, run_dir=tmp_path / where)


def test_overwrite_replaces_a_run_and_nothing_else(data, tmp_path):
    short = replace(RECIPE, epochs=1)
    fit(new_lenet(), data, run_dir=tmp_path, recipe=short)
    (tmp_path / "notes.txt").write_text("mine")
    report = fit(new_lenet(), data, run_dir=tmp_path, recipe=replace(short, epochs=2), overwrite=True)
    assert len(report.history["loss"]) == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_crash_while_writing_leaves_the_last_state(data, tmp_path, monkeypatch):
    """The state of epoch 2 cannot be completed: that of epoch 1 is whole, and the run goes on from it."""
    fit(new_lenet(), data, run_dir=tmp_path / "whole")
    real = state_.json.dumps

    def fail(value, *args, **kwargs):
        if isinstance(value, dict) and value.get("epoch") == 2:
            raise OSError(28, "No space left on device")
        return real(value, *args, **kwargs)

    monkeypatch.setattr(state_.json, "dumps", fail)
    with pytest.raises(cnnzoo.TrainingError, match="No space left on device; the previous state, .* is intact"):
        fit(new_lenet(), data, run_dir=tmp_path / "torn")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "torn" / "state").iterdir()] == ["step-000000003"]
    fit(new_lenet(), data, run_dir=tmp_path / "torn", resume=True)
    assert read_report(tmp_path / "whole") == read_report(tmp_path / "torn")


def test_without_a_folder_nothing_is_written(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=1))
    assert report.run_dir is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(cnnzoo.InputError, match="needs the run_dir"):
        fit(new_lenet(), data, resume=True)

"""The folder of a run: no work is lost, and other files are not changed."""

import json
import shutil
import signal
from dataclasses import replace

import keras
import pytest
from filelock import FileLock
from helpers.training import RECIPE, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import run, state

SHORT = replace(RECIPE, epochs=1)


@pytest.fixture
def finished(uninterrupted, tmp_path):
    """A copy of a finished run of RECIPE, to be changed by a test."""
    return shutil.copytree(uninterrupted.folder, tmp_path / "finished")


def test_a_run_writes_its_files(trained):
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


def test_without_a_folder_nothing_is_written(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = fit(new_lenet(), data, recipe=SHORT)
    assert report.run_dir is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(cnnzoo.InputError, match="needs the run_dir"):
        fit(new_lenet(), data, resume=True)


# Interruption and resumption


class InterruptIn(keras.callbacks.Callback):
    """Simulates Ctrl-C in the middle of an epoch; the tests of the command line send a real one to a process.

    A real signal could end this process: with AMX, which OpenVINO turns on for the whole process, virtual machines may
    fail to deliver it.
    """

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.in_epoch = epoch == self.epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.in_epoch and batch == 1:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background job"])
def sigint_handler(request):
    """The handler of Ctrl-C that the process has: that of a terminal's process, or of a job in the background."""
    before = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_run_resumes_to_the_same_end(data, uninterrupted, tmp_path, sigint_handler):
    epoch = 0 if sigint_handler == signal.SIG_IGN else 2
    torn = tmp_path / "torn"
    with pytest.raises(cnnzoo.Interrupted, match=f"{epoch} of 4 epochs and 2 steps are done and kept in .*same call"):
        fit(new_lenet(), data, run_dir=torn, callbacks=[InterruptIn(epoch)])
    assert signal.getsignal(signal.SIGINT) == sigint_handler
    assert json.loads((torn / "run.json").read_text())["status"] == "interrupted"
    resumed = fit(new_lenet(seed=9), data, run_dir=torn, resume=True)
    assert read_report(torn) == read_report(uninterrupted.folder)
    assert len(resumed.history["loss"]) == 4


def test_resuming_a_finished_run_evaluates_it_again(data, uninterrupted, finished):
    report = fit(new_lenet(seed=9), data, run_dir=finished, resume=True)
    assert report.metrics == uninterrupted.report.metrics
    assert read_report(finished) == read_report(uninterrupted.folder)


@pytest.mark.slow
def test_a_state_that_cannot_be_written_leaves_the_previous_one(data, uninterrupted, tmp_path, monkeypatch):
    """The state of epoch 2 cannot be completed: that of epoch 1 is intact, and the run is resumed from it."""
    torn, dumps = tmp_path / "torn", state.dump_json

    def fail_in_epoch_2(value, *args, **kwargs):
        if isinstance(value, dict) and value.get("epoch") == 2:
            raise OSError(28, "No space left on device")
        return dumps(value, *args, **kwargs)

    monkeypatch.setattr(state, "dump_json", fail_in_epoch_2)
    with pytest.raises(cnnzoo.TrainingError, match="No space left on device; the previous state, .* is intact"):
        fit(new_lenet(), data, run_dir=torn)
    monkeypatch.undo()
    assert [path.name for path in (torn / "state").iterdir()] == ["step-000000003"]
    fit(new_lenet(), data, run_dir=torn, resume=True)
    assert read_report(torn) == read_report(uninterrupted.folder)


# Folders that hold other runs or files


def test_a_folder_that_holds_a_run_is_safe(trained, data, tmp_path):
    before = read_report(trained.folder)
    with pytest.raises(cnnzoo.InputError, match="--resume. continues an interrupted run .*--overwrite. replaces it"):
        fit(new_lenet(), data, run_dir=trained.folder)
    slower = replace(trained.recipe, learning_rate=0.01)
    difference = r"recipe\.learning_rate: 0\.05 before, 0\.01 now; overwrite"
    with pytest.raises(cnnzoo.InputError, match=f"different run.* resumed: {difference}"):
        fit(new_lenet(), data, run_dir=trained.folder, recipe=slower, resume=True)
    assert read_report(trained.folder) == before


def test_a_folder_that_holds_other_files_is_safe(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="not empty and holds no run"):
        fit(new_lenet(), data, run_dir=tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


def test_overwrite_replaces_the_run_and_leftovers_and_nothing_else(data, finished):
    (finished / "notes.txt").write_text("mine")
    for leftover in (".report.html.abc", "state/.step-000000009.xyz"):  # of a process that was killed
        (finished / leftover).mkdir(parents=True)
    report = fit(new_lenet(), data, run_dir=finished, recipe=SHORT, overwrite=True)
    assert len(report.history["loss"]) == 1
    assert (finished / "notes.txt").read_text() == "mine"
    assert not list(finished.glob(".report*"))
    assert [path.name for path in (finished / "state").iterdir()] == ["step-000000003"]


def test_one_process_uses_a_folder_at_a_time(data, uninterrupted, finished):
    with FileLock(finished / run.LOCK_FILE), pytest.raises(cnnzoo.InputError, match="Another process is using"):
        fit(new_lenet(), data, run_dir=finished, overwrite=True)
    assert read_report(finished) == read_report(uninterrupted.folder)


@pytest.mark.parametrize("name", ["file/run", "x" * 300])
def test_an_impossible_folder_raises_an_error(data, tmp_path, name):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(cnnzoo.InputError, match="Cannot use the run directory|is a file|File name too long"):
        fit(new_lenet(), data, run_dir=tmp_path / name)


# Broken files


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"plan": []}', b'{"plan"', b"\xff"])
def test_a_broken_record_raises_an_error(data, finished, content):
    (finished / "run.json").write_bytes(content)
    with pytest.raises(cnnzoo.InputError, match=r"run\.json cannot be read: .*overwrite"):
        fit(new_lenet(), data, run_dir=finished, resume=True)


def test_a_broken_state_raises_an_error_and_can_be_overwritten(data, finished):
    folder = next((finished / "state").iterdir())
    content = (folder / "state.json").read_bytes()
    for broken in (b"", b"{}", b'{"epoch": 99, "best": [1, 0]}', content.replace(b'"epoch": 4', b'"epoch": 3')):
        (folder / "state.json").write_bytes(broken)
        with pytest.raises(cnnzoo.InputError, match=r"state\.json cannot be read"):
            fit(new_lenet(), data, run_dir=finished, resume=True)
    (folder / "state.json").write_bytes(content)
    (folder / state.LAST_FILE).write_bytes(b"torn")
    with pytest.raises(cnnzoo.InputError, match="The state .* cannot be read"):
        fit(new_lenet(), data, run_dir=finished, resume=True)
    fit(new_lenet(), data, run_dir=finished, recipe=SHORT, overwrite=True)


# Runs of earlier versions


def as_of_version_0_9(folder, **changes):
    """Change the record of a run into that of cnnzoo 0.9, and its state by `changes`."""
    record = json.loads((folder / "run.json").read_text())
    record["versions"]["cnnzoo"] = "0.9.0"
    del record["numerics"]
    (folder / "run.json").write_text(json.dumps(record | changes))


def test_an_interrupted_run_of_an_earlier_version_is_refused(data, tmp_path):
    with pytest.raises(cnnzoo.Interrupted):
        fit(new_lenet(), data, run_dir=tmp_path, callbacks=[InterruptIn(epoch=1)])
    as_of_version_0_9(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(cnnzoo.InputError, match=r"interrupted under cnnzoo 0\.9\.0.*cnnzoo==0\.9\.0.*over"):
        fit(new_lenet(), data, run_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before, "nothing is lost"
    fit(new_lenet(), data, recipe=SHORT, run_dir=tmp_path, overwrite=True)


@pytest.mark.parametrize("status", ["done", "interrupted"])
def test_a_run_of_an_earlier_version_whose_training_has_ended_is_evaluated(data, finished, status):
    report = read_report(finished)
    as_of_version_0_9(finished, status=status)
    fit(new_lenet(), data, run_dir=finished, resume=True)
    assert read_report(finished) == report

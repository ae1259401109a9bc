"""A tracker gets everything about a run, and whatever it does, the training does not notice it."""

import json
import math
import os
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.plain_tracker import PlainTracker
from helpers.training import RECIPE, CrashAt, CrashError, assert_same_weights, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import tracking
from cnnzoo.training.optimizer import make_schedule
from cnnzoo.training.run import Run
from cnnzoo.training.trackers import TRACKERS, is_installed
from cnnzoo.training.tracking import Tracking, hide_secrets

HISTORY = {"loss": [0.9, 0.5, float("nan")], "val_accuracy": [0.3, 0.6, 0.7]}


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    """The stand-in for MLflow, in place of a real one."""
    plain = PlainTracker(tmp_path / "package")
    monkeypatch.syspath_prepend(str(plain.folder))
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "20")
    return plain


@pytest.fixture
def run(tmp_path):
    """A run without training, with a history of two epochs."""
    run = Run(tmp_path / "run", {"model": "lenet5", "recipe": {"epochs": 3}})
    run.state.history = {name: values[:2] for name, values in HISTORY.items()}
    with run:
        yield run


def track(run, status="finished"):
    """Track a run from start to end; return the tracking."""
    tracked = Tracking("mlflow", run, verbose=False)
    tracked.begin({"recipe.epochs": 3})
    tracked.end(status, {"test_accuracy": 0.7} if status == "finished" else None)
    return tracked


# What a tracker gets


def test_everything_is_sent_once(tracker, run):
    tracked = Tracking("mlflow", run, verbose=False)
    tracked.begin({"recipe.epochs": 3})
    run.state.history = HISTORY
    tracked.send_epoch()
    tracked.end("finished", {"test_accuracy": 0.7, "auc": float("nan")})
    assert (tracked.id, tracked.problem) == ("run-1", "")
    calls = tracker.read_calls()
    assert calls[:2] == [["start_run", None, "run"], ["log_params", {"recipe.epochs": "3"}]]
    assert calls[2:6] == [
        ["log_metrics", {"loss": 0.9, "val_accuracy": 0.3}, 1],
        ["log_metrics", {"loss": 0.5, "val_accuracy": 0.6}, 2],
        ["log_metrics", {"val_accuracy": 0.7}, 3],
        ["log_metrics", {"test_accuracy": 0.7}, 3],
    ]
    assert calls[6][0] == "log_artifacts"
    assert calls[6][1].keys() == {"run.json"}
    assert calls[7:] == [["end_run", "FINISHED"]]


def test_a_resumed_run_continues_the_run_of_the_tracker(tracker, run):
    track(run, "interrupted")
    run.state.history = HISTORY
    track(run)
    calls = tracker.read_calls()
    assert [call[1] for call in calls if call[0] == "start_run"] == [None, "run-1"]
    assert [call[0] for call in calls].count("log_params") == 1
    assert [call[1] for call in calls if call[0] == "end_run"] == ["KILLED", "FINISHED"]
    assert [call[2] for call in calls if call[0] == "log_metrics"] == [1, 2, 3, 3]


def test_a_run_that_the_tracker_has_lost_is_sent_anew(tracker, run):
    (run.folder / "tracking.json").write_text(
        json.dumps({"tracker": "mlflow", "id": "unknown", "epochs": 2, "has_params": True})
    )
    assert track(run).id == "run-1"
    assert tracker.steps() == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"tracker": "wandb", "id": "x", "epochs": 1, "has_params": true}',
        '{"tracker": "mlflow", "id": "x", "epochs": -2, "has_params": true}',
    ],
)
def test_a_broken_file_or_another_tracker_starts_anew(tracker, run, content):
    (run.folder / "tracking.json").write_text(content)
    track(run)
    assert tracker.read_calls()[0] == ["start_run", None, "run"]
    assert tracker.steps() == [1, 2]


def test_only_rank_0_tracks(tracker, run, monkeypatch):
    monkeypatch.setattr(tracking, "is_main_process", lambda: False)
    tracked = track(run)
    assert (tracked.callbacks(), tracker.read_calls()) == ([], [])


def test_a_tracker_is_told_that_its_training_was_killed(tracker, run):
    process = tracking.start_process("mlflow")
    request = {"call": "start", "arguments": {"run": {"id": None, "active": None, "name": "a", "folder": None}}}
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == {"result": ["run-1", True]}
    tracking.close_pipes(process)
    assert process.wait(60) == 0
    assert tracker.read_calls()[-1] == ["end_run", "KILLED"]


KILLED = """
import json, os, subprocess, sys
from cnnzoo.training import trackers
code = "from cnnzoo.training import trackers; trackers.serve('mlflow')"
process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
request = {"call": "start", "arguments": {"run": {"id": None, "active": None, "name": "a", "folder": None}}}
process.stdin.write(json.dumps(request) + chr(10))
process.stdin.flush()
print(process.pid, flush=True)
sys.stdin.read()
os._exit(9)
"""


def test_a_tracker_that_hangs_ends_after_a_training_that_was_killed(tracker, monkeypatch):
    """Nobody is left to end it, and it does not read that its pipe was closed."""
    tracker.fail(start_run="hang")
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "0.1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    training = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(training.stdout.readline())
    wait_until(tracker.read_calls)
    training.stdin.close()
    training.stdout.close()
    assert training.wait(60) == 9
    wait_until(lambda: not is_alive(pid))


def wait_until(condition):
    """Wait until a condition holds, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid):
    """Return whether a process runs; one that has ended may wait for whoever adopted it."""
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


# Failures


@pytest.mark.parametrize("call", ["start_run", "log_params", "log_metrics", "log_artifacts", "end_run"])
@pytest.mark.parametrize("fault", ["the network is down", "exit"])
def test_a_call_that_fails_gives_one_warning(tracker, run, call, fault):
    tracker.fail(**{call: fault})
    tracked = Tracking("mlflow", run, verbose=False)
    with pytest.warns(UserWarning, match="Tracking with mlflow failed") as caught:
        tracked.begin({"recipe.epochs": 3})
        tracked.send_epoch()
        tracked.end("finished", {"test_accuracy": 0.7})
    (warning,) = caught
    reason = "its process has ended with code 3" if fault == "exit" else "ConnectionError: the network is down"
    assert str(warning.message) == (
        f"Tracking with mlflow failed: {reason}. The training is not affected; {run.folder} has all figures"
    )


@pytest.mark.parametrize("call", ["start_run", "log_metrics", "end_run"])
def test_a_tracker_that_hangs_is_ended(tracker, run, call, monkeypatch):
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "2")
    tracker.fail(**{call: "hang"})
    with pytest.warns(UserWarning, match="no answer within 2 seconds"):
        tracked = track(run)
    assert not tracked._thread.is_alive()


def test_what_failed_is_sent_with_the_next_epoch(tracker, run):
    tracker.fail(log_metrics="exit")
    tracked = Tracking("mlflow", run, verbose=False)
    tracked.begin({"recipe.epochs": 3})
    tracked.send_epoch()
    while not tracked.problem:
        time.sleep(0.01)
    tracker.fail()
    run.state.history = HISTORY
    with pytest.warns(UserWarning, match="failed"):
        tracked.send_epoch()
    tracked.end("finished", {"test_accuracy": 0.7})
    assert tracked.problem == ""
    assert tracker.steps()[-2:] == [1, 2]
    assert tracker.read_calls()[-1] == ["end_run", "FINISHED"]


def test_warnings_that_are_errors_do_not_stop_a_training(tracker, run):
    tracker.fail(start_run="down")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "down" in track(run).problem


def test_a_program_without_memory_for_a_process_goes_on(run, monkeypatch):
    monkeypatch.setattr(tracking.sys, "executable", "/no/such/python")
    with pytest.warns(UserWarning, match="No such file"):
        track(run)


def test_secrets_are_not_shown(tracker, run, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "abcdef123456")
    text = "GET https://me:pa-ss@host:80/x failed for abcdef123456"
    assert hide_secrets(text) == "GET https://***@host:80/x failed for ***"
    monkeypatch.setenv("MY_TOKEN", 'quo"te&\\päß')
    for written in ('quo"te&\\päß', r"quo\"te&\\p\u00e4\u00df", r"quo\"te&\\päß", r"quo&#34;te&amp;\päß"):
        assert hide_secrets(f"a {written} b") == "a *** b"
    tracker.fail(start_run=text)
    with pytest.warns(UserWarning, match=r"https://\*\*\*@host:80/x failed for \*\*\*"):
        track(run)
    tracker.fail()
    run.record["command"] = ["train", "https://me:pa-ss@host/weights.h5"]
    run.close("done")
    (run.folder / "report.html").write_text("cnnzoo train --weights https://me:pa-ss@host/weights.h5 abcdef123456")
    track(run)
    (sent,) = [call[1] for call in tracker.read_calls() if call[0] == "log_artifacts"]
    assert "pa-ss" not in sent["run.json"]
    assert "https://***@host/weights.h5" in sent["run.json"]
    assert sent["report.html"] == "cnnzoo train --weights https://***@host/weights.h5 ***"


# Wrong arguments


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_an_error_at_once(name, data, tmp_path, cli):
    if is_installed(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(cnnzoo.InputError, match=f"needs the package {name}: pip install {name}"):
        fit(new_lenet(), data, run_dir=tmp_path / "a", track=name)
    result = cli("train", "lenet5", "digits", "--run-dir", tmp_path / "a", "--track", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [result.err.rstrip("\n")]
    assert f"pip install {name}" in result.err
    assert not (tmp_path / "a").exists()


def test_a_folder_of_the_name_of_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "clearml").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("clearml")
    assert is_installed("numpy")


def test_wrong_trackers_are_errors(data, tmp_path, cli):
    with pytest.raises(cnnzoo.InputError, match="Unknown tracker. Did you mean mlflow"):
        fit(new_lenet(), data, track="mlflo")
    with pytest.raises(cnnzoo.InputError, match="Unknown tracker"):
        fit(new_lenet(), data, track=3)
    with pytest.raises(cnnzoo.InputError, match="writes into the run_dir"):
        fit(new_lenet(), data, track="tensorboard")
    result = cli("train", "lenet5", "digits", "--track", "wandbb")
    assert result.code == 2
    assert "Did you mean wandb" in result.err
    with pytest.raises(cnnzoo.InputError, match="Did you mean tensorboard"):
        cnnzoo.tune("lenet5", data, track="tensorbord")
    assert "Did you mean mlflow" in cli("tune", "lenet5", "digits", "--track", "mlflo").err
    for command in ("train", "fine-tune", "tune"):
        assert all(name in cli(command, "--help").out for name in TRACKERS)


# Trainings


def read_events(folder):
    """Return the events in a folder, as TensorBoard's own protocol buffers."""
    from tensorboard.compat.proto.event_pb2 import Event

    events = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            events.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += 16 + length
    return events


def read_scalars(folder):
    """Return the scalars of event files: {name: [(step, value), ...]}."""
    scalars = {}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


@pytest.mark.slow
def test_a_tracked_training_has_the_same_numbers_and_resumes(data, tmp_path, uninterrupted):
    folder = tmp_path / "run"
    with pytest.raises(CrashError):
        fit(new_lenet(), data, run_dir=folder, track="tensorboard", callbacks=[CrashAt(2, 1)])
    assert [step for step, _ in read_scalars(folder / "tensorboard")["loss"]] == [1, 2]
    model = new_lenet()
    report = fit(model, data, run_dir=folder, track="tensorboard")
    assert read_report(folder) == read_report(uninterrupted.folder)
    assert_same_weights(model.get_weights(), uninterrupted.model.get_weights())

    scalars = read_scalars(folder / "tensorboard")
    for name, values in report.history.items():
        assert [step for step, _ in scalars[name]] == [1, 2, 3, 4]
        np.testing.assert_allclose([value for _, value in scalars[name]], values, rtol=1e-6)
    steps = math.ceil(len(data.train) / RECIPE.batch_size)
    schedule = make_schedule(RECIPE, steps)
    rates = [float(schedule(epoch * steps - 1)) for epoch in range(1, 5)]  # of the last step of each epoch
    assert [step for step, _ in scalars["learning_rate"]] == [1, 2, 3, 4]
    np.testing.assert_allclose([rate for _, rate in scalars["learning_rate"]], rates, rtol=1e-6)
    assert len(set(rates)) == 4
    ((step, accuracy),) = scalars["test_accuracy"]
    assert (step, accuracy) == (4, pytest.approx(report.accuracy))
    assert scalars["best_epoch"][0][1] == report.best_epoch
    settings = b"".join(event.SerializeToString() for event in read_events(folder / "tensorboard"))
    assert settings.count(b"recipe.learning_rate") == 1
    assert b"fingerprint.test" in settings


@pytest.mark.slow
def test_a_tracker_that_fails_changes_no_number(data, tmp_path, uninterrupted):
    """The folder of the event files is a file after an interruption."""
    folder = tmp_path / "run"
    with pytest.raises(CrashError):
        fit(new_lenet(), data, run_dir=folder, callbacks=[CrashAt(2, 1)])
    (folder / "tensorboard").write_text("")
    with pytest.warns(UserWarning, match="Tracking with tensorboard failed: .*tensorboard") as caught:
        fit(new_lenet(), data, run_dir=folder, track="tensorboard")
    assert sum("Tracking" in str(warning.message) for warning in caught) == 1
    assert read_report(folder) == read_report(uninterrupted.folder)


@pytest.mark.slow
def test_fine_tuning_is_tracked_and_overwriting_starts_anew(data, tmp_path):
    folder = tmp_path / "run"
    recipe = cnnzoo.recipe("finetune", epochs=1, batch_size=12)
    for overwrite in (False, True):
        report = cnnzoo.fine_tune(
            new_lenet(), data, recipe=recipe, run_dir=folder, track="tensorboard", overwrite=overwrite, verbose=False
        )
        scalars = read_scalars(folder / "tensorboard")
        assert len(scalars["test_accuracy"]) == 1
        assert scalars["test_probe_accuracy"][0][1] == pytest.approx(report.probe["accuracy"])


def test_the_process_of_a_tracker_imports_no_keras(monkeypatch):
    code = "import sys; from cnnzoo.training import trackers; print({'keras', 'tensorflow'} & set(sys.modules))"
    monkeypatch.setattr(tracking, "CODE", code)
    process = tracking.start_process("mlflow")
    out, _ = process.communicate()
    assert out == "set()\n"

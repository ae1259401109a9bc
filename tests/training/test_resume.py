"""A run that is killed at any moment goes on by the same command and ends as an undisturbed one, bit by bit."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import pytest
from helpers.training import RECIPE, fit, read_report

import cnnzoo
from cnnzoo.training import run

FILES = ("report.json", "predictions.csv")


class CrashError(Exception):
    """What no part of the loop catches."""


class CrashAt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise CrashError


def network():
    """With dropout, whose draws have a state of their own, and batch norm."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dropout(0.3, seed=1)(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)), name="network")


EVERYTHING = replace(RECIPE, ema=0.9, balance="sampling", precision="bfloat16", clip=1.0, optimizer="adamw")


@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING], ids=["sgd", "everything"])
def test_a_crash_at_any_step_leaves_no_trace(data, tmp_path, recipe):
    fit(network(), data, recipe=recipe, run_dir=tmp_path / "whole")
    for epoch, batch in ((0, 0), (1, 1), (2, 2)):
        where = tmp_path / f"torn-{epoch}"
        with pytest.raises(CrashError):
            fit(network(), data, recipe=recipe, run_dir=where, callbacks=[CrashAt(epoch, batch)], checkpoint_every=0)
        state = next((where / "state").iterdir()).name
        assert state == f"step-{3 * epoch + min(batch + 1, 2):09}", "after the last step but those that end an epoch"
        fit(network(), data, recipe=recipe, run_dir=where)
        assert read_report(where) == read_report(tmp_path / "whole")


def test_a_callback_sees_one_training(data, tmp_path):
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch)

        def on_train_end(self, logs=None):
            seen.append("end")

    with pytest.raises(CrashError):
        fit(network(), data, run_dir=tmp_path / "a", callbacks=[CrashAt(1, 0)], checkpoint_every=0)
    fit(network(), data, run_dir=tmp_path / "a", callbacks=[Count()])
    assert seen == ["begin", 1, 2, 3, "end"]


def test_changed_fields_are_shown(data, tmp_path):
    with pytest.raises(CrashError):
        fit(network(), data, run_dir=tmp_path / "a", callbacks=[CrashAt(1, 0)])
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    other = cnnzoo.load_data((data.train.images, data.train.labels), splits=(0.4, 0.3, 0.3))
    cases = (
        ({"recipe": replace(RECIPE, momentum=0.5)}, data, network(), r"recipe\.momentum: 0\.9 before, 0\.5 now"),
        ({}, other, network(), r"data\.fingerprints\.train: '\w+' before, '\w+' now"),
        ({"sample_weight": [1.0] * 35 + [2.0]}, data, network(), r"data\.sample_weight: None before"),
        ({}, data, cnnzoo.get("lenet5", classes=3), "model: 'network' before, 'lenet5' now"),
    )
    for options, these, model, message in cases:
        with pytest.raises(cnnzoo.InputError, match=f"different run, so it cannot be resumed: .*{message}"):
            fit(model, these, run_dir=tmp_path / "a", **options)
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        fit(network(), data, run_dir=tmp_path / "a", resume=False)
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_kill_9_at_three_random_moments(tmp_path):
    """On digits, by the command line: real processes, a real signal, and whatever was being written."""
    command = [sys.executable, "-m", "cnnzoo", "train", "lenet5", "digits", "--recipe", "digits", "--set", "epochs=6"]
    command += ["--checkpoint-every", "0", "--run-dir"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    draw, killed = random.Random(), 0
    while killed < 3:
        process = subprocess.Popen([*command, tmp_path / "torn"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        before = set((tmp_path / "torn" / "state").glob("step-*"))
        while process.poll() is None and set((tmp_path / "torn" / "state").glob("step-*")) == before:
            time.sleep(0.01)  # until it has begun to train
        time.sleep(draw.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), err
        if process.returncode == 0:
            break
        killed += 1
    assert killed, "it was killed once at least before it was done"
    answer = subprocess.run([*command, tmp_path / "torn", "--resume"], check=True, capture_output=True, text=True)
    assert "Resuming after" in answer.stderr
    for name in FILES:
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "torn").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_state_leaves_the_one_before(tmp_path):
    """The first states fit, then files may grow no more: one line says so, and with room the run goes on."""
    code = """
import resource, sys
import keras
from cnnzoo.training import state
from cnnzoo.cli.main import main
write, calls = state.write_state, []
def full(*arguments):
    calls.append(1)
    if len(calls) == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    write(*arguments)
state.write_state = full
main(["train", "lenet5", "digits", "--set", "epochs=4", "--run-dir", sys.argv[1]])
"""
    where = tmp_path / "a"
    answer = subprocess.run([sys.executable, "-c", code, str(where)], capture_output=True, text=True)
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "cannot be written" in answer.stderr
    assert "File too large; the previous state" in answer.stderr
    (saved_state,) = (where / "state").iterdir()
    assert {path.name for path in saved_state.iterdir()} == {"last.npz", "best.npz", "state.json"}
    command = [sys.executable, "-m", "cnnzoo", "train", "lenet5", "digits", "--set", "epochs=4", "--run-dir"]
    subprocess.run([*command, where], check=True, capture_output=True)
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    assert read_report(where) == read_report(tmp_path / "whole")


def test_unwritable_folders_are_named(data, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run.Path, "mkdir", refuse)
    with pytest.raises(cnnzoo.InputError, match=r"Cannot use the run directory .*Permission denied"):
        fit(network(), data, run_dir=tmp_path / "a")

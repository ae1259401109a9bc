"""What a training shows while it runs: a bar, lines in a log, event files."""

import io
from dataclasses import replace

import keras
import pytest
from helpers.training import RECIPE, fit, new_lenet
from rich.console import Console

import cnnzoo
from cnnzoo.training import callbacks, options


def shown(monkeypatch, data, **kind):
    out = io.StringIO()
    monkeypatch.setattr(callbacks, "Console", lambda **_: Console(file=out, width=200, **kind))
    fit(new_lenet(), data, recipe=replace(RECIPE, epochs=12), verbose=True)
    return out.getvalue()


def test_a_log_gets_about_ten_lines(monkeypatch, data):
    lines = shown(monkeypatch, data, force_terminal=False).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"epoch {i}/12" for i in (2, 4, 6, 8, 10, 12)]
    assert "validation accuracy" in lines[0]


def test_a_terminal_gets_a_bar(monkeypatch, data):
    text = shown(monkeypatch, data, force_terminal=True)
    assert "36/36" in text, "steps"
    assert "left" in text


def test_a_notebook_gets_a_line_an_epoch(monkeypatch, data):
    monkeypatch.setattr(Console, "print", lambda self, line, **_: self.file.write(f"{line}\n"))
    lines = shown(monkeypatch, data, force_jupyter=True).splitlines()
    assert len(lines) == 12


def test_event_files_hold_what_keras_writes(data, tmp_path):
    fit(new_lenet(), data, run_dir=tmp_path / "a", tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "a" / "tensorboard" / "validation")).Reload()
    assert "epoch_accuracy" in events.Tags()["tensors"]
    assert len(events.Tensors("epoch_accuracy")) == 4


def test_tensorboard_that_is_not_installed_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda _: None)
    with pytest.raises(cnnzoo.InputError, match=r"pip install 'cnnzoo\[tensorboard\]'"):
        fit(new_lenet(), data, run_dir=tmp_path / "a", tensorboard=True)


def test_any_callback_runs(data):
    calls = []

    class Asks(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            assert (self.params["epochs"], self.params["steps"]) == (4, 3)

    printer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: calls.append(sorted(logs)))
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=100, patience=1)
    report = fit(new_lenet(), data, callbacks=[printer, stop, Asks()])
    assert len(calls) == len(report.history["loss"]) == 2
    assert calls[0] == ["accuracy", "loss", "val_accuracy", "val_loss"]


def test_a_log_of_long_epochs_gets_lines_within_them(monkeypatch, data):
    monkeypatch.setattr(callbacks, "LOG_INTERVAL", 0.0)
    lines = shown(monkeypatch, data, force_terminal=False).splitlines()
    assert lines[0].startswith("epoch 1/12, step 1/3: loss ")
    assert [line.split(":")[0] for line in lines[:3]] == ["epoch 1/12, step 1/3", "epoch 1/12, step 2/3", "epoch 1/12"]

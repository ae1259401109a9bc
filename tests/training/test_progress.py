"""Progress of a training: lines about its steps and epochs, event files."""

import math
import re

import keras
import pytest
from helpers.training import fit, new_lenet

import cnnzoo
from cnnzoo.core import progress as shared_progress
from cnnzoo.training import callbacks, options, progress


@pytest.fixture
def run_progress(capsys):
    """A function that drives ProgressCallback through a training of made-up losses and returns what it printed."""

    def run(epochs=12, steps=3, steps_done=0):
        with progress.ProgressCallback(epochs, steps, steps_done) as callback:
            callback.on_train_begin()
            first_epoch, first_step = divmod(steps_done, steps)
            for epoch in range(first_epoch, epochs):
                callback.on_epoch_begin(epoch)
                for step in range(first_step if epoch == first_epoch else 0, steps):
                    callback.on_train_batch_end(step, {"loss": 1.0})
                callback.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": 0.5})
        return capsys.readouterr().err

    return run


def prefixes(text):
    """The lines up to their first colon."""
    return [line.split(":")[0] for line in text.splitlines()]


def test_a_log_gets_about_ten_lines(run_progress):
    text = run_progress()
    assert prefixes(text) == [f"epoch {i}/12" for i in (2, 4, 6, 8, 10, 12)]
    line = r"epoch 2/12: loss 1\.0000, validation accuracy 50\.0 %, \d+\.\d s"
    assert re.fullmatch(line, text.splitlines()[0])


def test_a_resumed_run_says_where_it_continues(run_progress):
    lines = run_progress(steps_done=31).splitlines()
    assert lines[0] == "Resuming after 10 epochs and 1 step"
    assert run_progress(epochs=2, steps_done=3).startswith("Resuming after 1 epoch\n")
    assert run_progress(epochs=2, steps_done=6) == "", "a finished run is only evaluated again"
    assert prefixes("\n".join(lines[1:])) == ["epoch 12/12"]


def test_a_notebook_gets_a_line_per_epoch_but_not_hundreds(run_progress, monkeypatch):
    monkeypatch.setattr(progress, "is_notebook", lambda: True)
    assert len(run_progress().splitlines()) == 12
    assert len(run_progress(epochs=160).splitlines()) == 20


def test_a_log_of_slow_epochs_gets_a_line_for_each(run_progress, monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    assert len(run_progress().splitlines()) == 12


class Clock(keras.callbacks.Callback):
    """A clock for which each training step takes a second, and everything else no time."""

    seconds = 0

    def __call__(self):
        return self.seconds

    def on_train_batch_begin(self, batch, logs=None):
        self.seconds += 1


def test_a_log_of_long_epochs_gets_lines_within_them(data, monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr(shared_progress._board, "clock", clock)
    monkeypatch.setattr(shared_progress._board, "threaded", False)  # so that each step shows one line
    for name in ("DELAY", "MIN_INTERVAL", "MAX_INTERVAL", "REFRESH_INTERVAL"):
        monkeypatch.setattr(shared_progress, name, 0.0)
    monkeypatch.setattr(callbacks, "LOSS_STEPS", 2)  # two steps without a check, and a third one at the epoch's end
    monkeypatch.setattr(callbacks, "LOSS_SECONDS", math.inf)
    fit(new_lenet(), data, verbose=True, callbacks=[clock])

    lines = capsys.readouterr().err.splitlines()
    in_epochs = [re.sub(r"\d\.\d{4}", "#", line) for line in lines if line.startswith("Training, ")]
    assert in_epochs == [
        "Training, epoch 1/4: 1/12 steps, 11 s left",
        *(
            f"Training, epoch {math.ceil(step / 3)}/4, loss #: {step}/12 steps, {12 - step} s left"
            for step in range(2, 13)
        ),
    ]
    assert not any("steps in" in line for line in lines), "the next line says so already"
    trained = r"Trained 4 epochs in \d+ (s|min), \d+\.\d s per epoch with validation"
    for summary in (trained, r"The run took \d+ (s|min) in all"):
        assert any(re.fullmatch(summary, line) for line in lines)


@pytest.mark.slow
def test_event_files_hold_what_keras_writes(data, tmp_path):
    fit(new_lenet(), data, run_dir=tmp_path / "run", tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "validation")).Reload()
    assert "epoch_accuracy" in events.Tags()["tensors"]
    assert len(events.Tensors("epoch_accuracy")) == 4


def test_a_missing_tensorboard_raises_an_error(data, tmp_path, monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda _: None)
    with pytest.raises(cnnzoo.InputError, match=r"pip install -e '?\S*\[tensorboard\]"):
        fit(new_lenet(), data, run_dir=tmp_path / "run", tensorboard=True)


def test_callbacks_of_the_caller_run(data):
    metric_names = []

    class CheckParams(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            assert (self.params["epochs"], self.params["steps"]) == (4, 3)

    collect = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: metric_names.append(sorted(logs)))
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=100, patience=1)
    report = fit(new_lenet(), data, callbacks=[collect, stop, CheckParams()])
    assert len(metric_names) == len(report.history["loss"]) == 2
    assert str(report).endswith("\nTraining ended after 2 of 4 epochs: a callback stopped it.")
    assert metric_names[0] == ["accuracy", "loss", "val_accuracy", "val_loss"]

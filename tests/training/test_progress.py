"""Progress of a training: a progress bar, lines in a log, event files."""

import io

import keras
import pytest
from helpers.training import fit, new_lenet
from rich.console import Console

import cnnzoo
from cnnzoo.training import options, progress


def run_progress(monkeypatch, epochs=12, steps=3, steps_done=0, **console_options):
    """Drive ProgressCallback through a training of made-up losses; return what it printed."""
    out = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=out, width=200, **console_options))
    callback = progress.ProgressCallback(epochs, steps, steps_done)
    callback.on_train_begin()
    first_epoch, first_step = divmod(steps_done, steps)
    for epoch in range(first_epoch, epochs):
        for step in range(first_step if epoch == first_epoch else 0, steps):
            callback.on_train_batch_end(step, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": 0.5})
    callback.close()
    return out.getvalue()


def prefixes(text):
    """The lines up to their first colon."""
    return [line.split(":")[0] for line in text.splitlines()]


def test_a_log_gets_about_ten_lines(monkeypatch):
    text = run_progress(monkeypatch, force_terminal=False)
    assert prefixes(text) == [f"epoch {i}/12" for i in (2, 4, 6, 8, 10, 12)]
    assert text.splitlines()[0] == "epoch 2/12: loss 1.0000, validation accuracy 0.5000"


def test_a_resumed_run_says_where_it_continues(monkeypatch):
    lines = run_progress(monkeypatch, steps_done=31, force_terminal=False).splitlines()
    assert lines[0] == "Resuming after 10 epochs and 1 steps"
    assert prefixes("\n".join(lines[1:])) == ["epoch 12/12"]


def test_a_terminal_shows_a_progress_bar(monkeypatch, data):
    out = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=out, width=200, force_terminal=True))
    fit(new_lenet(), data, verbose=True)
    assert "12/12" in out.getvalue(), "steps"
    assert "left" in out.getvalue()


def test_a_notebook_gets_a_line_per_epoch(monkeypatch):
    monkeypatch.setattr(Console, "print", lambda self, line, **_: self.file.write(f"{line}\n"))
    assert len(run_progress(monkeypatch, force_jupyter=True).splitlines()) == 12


def test_a_log_of_long_epochs_gets_lines_within_them(monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    text = run_progress(monkeypatch, force_terminal=False)
    assert text.startswith("epoch 1/12, step 1/3: loss ")
    assert prefixes(text)[:3] == ["epoch 1/12, step 1/3", "epoch 1/12, step 2/3", "epoch 1/12"]


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
    assert metric_names[0] == ["accuracy", "loss", "val_accuracy", "val_loss"]

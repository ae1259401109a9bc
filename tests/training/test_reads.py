"""How often a training reads values from the device; a loss that becomes NaN or infinite is found all the same."""

from dataclasses import replace
from unittest import mock

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, assert_same_weights, fit, new_lenet

import cnnzoo
from cnnzoo.surgery.lazy_logs import LazyLogs
from cnnzoo.training import callbacks as callbacks_module

ONE_EPOCH = replace(RECIPE, epochs=1, batch_size=1)  # 36 steps


@pytest.fixture
def reads(monkeypatch):
    """The steps whose values were read, as (number of values)."""
    counted = []
    original = LazyLogs._read

    def read(self):
        if not self.is_read:
            counted.append(len(self))
        return original(self)

    monkeypatch.setattr(LazyLogs, "_read", read)
    monkeypatch.setattr(callbacks_module, "LOSS_SECONDS", 1e9)  # however slow this machine is
    return counted


class Spy(keras.callbacks.Callback):
    """Looks at the logs of every step, reading their names only."""

    def __init__(self):
        super().__init__()
        self.names, self.read = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.names.append((len(logs), "loss" in logs))
        self.read.append(logs.is_read)


def test_values_are_read_every_few_steps(data, reads):
    spy = Spy()
    fit(new_lenet(), data, recipe=ONE_EPOCH, callbacks=[spy], verbose=True)
    assert spy.names == [(2, True)] * 36
    assert [step for step, is_read in enumerate(spy.read, 1) if is_read] == [10, 20, 30]
    assert len(reads) == 4, "after the last step too, before validation"


def test_keras_itself_reads_no_step(data):
    converted = []

    def count(logs):
        converted.append([name for name, value in (logs or {}).items() if keras.ops.is_tensor(value)])
        return logs

    with mock.patch("keras.src.callbacks.callback_list.python_utils.pythonify_logs", count):
        callbacks = callbacks_module.combine_callbacks(new_lenet(), [keras.callbacks.Callback()])
        callbacks.on_train_batch_end(0, {"loss": keras.ops.ones(())})
        callbacks.on_test_batch_end(0, {"loss": keras.ops.ones(())})
        callbacks.on_predict_batch_end(0, {"outputs": keras.ops.ones((2, 3))})
    assert not converted


def test_a_callback_that_reads_gets_numbers(data, reads):
    losses = []
    read = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(dict(logs)["loss"]))
    fit(new_lenet(), data, recipe=ONE_EPOCH, callbacks=[read])
    assert len(losses) == len(reads) == 36
    assert {type(loss) for loss in losses} == {float}
    assert np.isfinite(losses).all()


class BreakWeights(keras.callbacks.Callback):
    """Makes a weight NaN after a step, counted from 1, so that the loss of the next one is NaN."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            kernel = self.model.layers[2].kernel
            kernel.assign(np.full(kernel.shape, np.nan))


@pytest.mark.parametrize("step", [3, 35])
def test_the_step_whose_loss_is_nan_is_named(data, reads, step):
    model = new_lenet()
    with pytest.raises(cnnzoo.TrainingError, match=rf"The loss became nan at step {step + 1} \(epoch 1\)"):
        fit(model, data, recipe=ONE_EPOCH, callbacks=[BreakWeights(step)])
    assert_same_weights(model.get_weights(), new_lenet().get_weights())


def test_a_training_that_a_callback_stops_is_checked_before_validation(data, reads):
    def stop(batch, logs):
        model.stop_training = batch == 4

    model = new_lenet()
    stopping = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with (
        mock.patch.object(callbacks_module, "swap_averaged_weights", side_effect=AssertionError("validated")),
        pytest.raises(cnnzoo.TrainingError, match="The loss became nan at step 3 "),
    ):
        fit(model, data, recipe=ONE_EPOCH, callbacks=[BreakWeights(2), stopping])


def test_no_state_is_written_with_nan(data, reads, tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks_module, "CHECKPOINT_SPACING", 0)
    with pytest.raises(cnnzoo.TrainingError, match="became"):
        fit(new_lenet(), data, recipe=ONE_EPOCH, run_dir=tmp_path, callbacks=[BreakWeights(7)], checkpoint_every=0)
    (state,) = (tmp_path / "state").glob("step-*")
    with np.load(state / "last.npz") as arrays:
        assert arrays.files
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


def test_weights_that_are_nan_after_a_finite_loss_are_not_saved(data, tmp_path):
    class BreakFirst(BreakWeights):
        """Comes before the checkpoint, as a step would whose update overflows."""

    model = new_lenet()
    original = callbacks_module.CheckpointCallback.on_train_batch_end

    def break_and_save(self, batch, logs=None):
        BreakFirst.on_train_batch_end(breaker, batch, logs)
        original(self, batch, logs)

    breaker = BreakFirst(2)
    breaker.set_model(model)
    with (
        mock.patch.object(callbacks_module.CheckpointCallback, "on_train_batch_end", break_and_save),
        pytest.raises(cnnzoo.TrainingError, match=r"Weights of .*kernel became NaN or infinite at step 2 \(epoch 1\)"),
    ):
        fit(model, data, recipe=ONE_EPOCH, run_dir=tmp_path, checkpoint_every=0)


def test_lazy_logs_are_like_a_dict():
    def make():
        return LazyLogs({"loss": keras.ops.convert_to_tensor(0.5), "more": {"accuracy": keras.ops.ones(())}})

    whole = {"loss": 0.5, "accuracy": 1.0}
    ways = (dict, lambda logs: {**logs}, lambda logs: logs | {}, lambda logs: {} | logs, lambda logs: logs.copy())
    assert [way(make()) for way in ways] == [whole] * len(ways)
    assert make() == whole
    assert eval(repr(make())) == whole
    assert sorted(make().items()) == sorted(whole.items())
    assert make().get("loss") == make().pop("loss") == make()["loss"] == 0.5
    assert sorted(make().values()) == [0.5, 1.0]
    logs = make()
    assert list(logs) == ["loss", "accuracy"] == list(logs.keys())
    assert len(logs) == 2
    assert "loss" in logs
    assert not logs.is_read

"""All batches of a training have one shape, so each step is traced once, with uint8. JAX: `test_jax_programs.py`."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, fit

STEPS = ("train_step", "test_step", "predict_step")


def new_network(heads=()):
    """A network that is traced fast; with auxiliary heads if names are given."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = {name: keras.layers.Dense(3, name=name)(x) for name in ("logits", *heads)}
    return keras.Model(inputs, outputs if heads else outputs["logits"], name="network")


def record_traces(model):
    """Return a list that gets the name of each step and the type of its images, whenever the step is traced."""
    traces = []
    for name in STEPS:
        step = getattr(model, name)

        def traced(data, name=name, step=step):
            traces.append((name, data[0].dtype.name, data[0].shape[1:].as_list()))
            return step(data)

        setattr(model, name, traced)
    return traces


@pytest.mark.parametrize(("heads", "validation_size"), [((), 5), (("aux1",), 5), ((), 12)])
def test_steps_are_traced_once_and_padding_changes_no_figure(data, monkeypatch, heads, validation_size):
    """Neither the 36 training images nor the validation images are a multiple of their batches."""
    monkeypatch.setattr("cnnzoo.training.trainer.balanced_batch_size", lambda images, size: validation_size)
    model = new_network(heads)
    traces = record_traces(model)
    counts = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: counts.append([trace[0] for trace in traces].count("train_step"))
    )
    report = fit(model, data, recipe=replace(RECIPE, epochs=2, batch_size=7, augment="none"), callbacks=[count])
    assert len(counts) == 12
    assert len(set(counts)) == 1, "nothing is traced after the first step; with heads, it takes two to make variables"
    assert counts[0] == 1 + len(heads)
    assert [name for name, *_ in traces].count("test_step") == 1
    assert {dtype for _, dtype, _ in traces} == {"uint8"}
    assert all(shape == [12, 12, 1] for *_, shape in traces)

    # The figures of the epoch whose weights the model has now
    outputs = model.predict(data.validation.images, verbose=0)
    logits = outputs["logits"] if heads else outputs
    accuracy = np.float32(np.sum(logits.argmax(1) == data.validation.labels)) / np.float32(len(data.validation))
    assert report.history["val_accuracy"][report.best_epoch - 1] == accuracy
    if not heads:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)(np.eye(3)[data.validation.labels], logits)
        assert report.history["val_loss"][report.best_epoch - 1] == pytest.approx(float(loss), rel=1e-6)

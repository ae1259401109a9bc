"""What `test_jax_programs.py` runs on the JAX backend: python -m helpers.on_jax_programs ANSWERS.

It trains on a number of images that the batches do not divide, and counts the programs that XLA compiles, what is read
from the device in each step, and what is transferred to it.
"""

import collections
import contextlib
import json
import logging
import sys
from pathlib import Path

import jax
import keras
import numpy as np

import cnnzoo
from cnnzoo.training import callbacks as callbacks_module

STEPS = ("train_step", "test_step", "predict_step", "classify")
RECIPE = cnnzoo.Recipe(epochs=2, batch_size=8, learning_rate=0.05)


def new_network():
    """A network that JAX compiles fast."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(x), name="network")


class CompiledPrograms(logging.Handler):
    """Counts the programs that JAX compiles or takes from its cache, by the name of their function."""

    def __init__(self):
        super().__init__()
        self.counts = collections.Counter()
        self.events = collections.Counter()
        jax.config.update("jax_log_compiles", True)
        logger = logging.getLogger("jax")
        logger.addHandler(self)
        logger.propagate = False
        jax.monitoring.register_event_listener(lambda event, **_: self.events.update([event.rpartition("/")[2]]))

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Finished XLA compilation of "):
            name = message.removeprefix("Finished XLA compilation of ").split()[0]
            self.counts[name.removeprefix("jit(").removesuffix(")")] += 1

    @contextlib.contextmanager
    def counted(self):
        """Yield a dict that holds the programs of the block after it."""
        before, result = self.counts.copy(), {}
        yield result
        result.update({name: number for name, number in (self.counts - before).items() if name in STEPS})


class Reads(keras.callbacks.Callback):
    """Counts the arrays that are read from the device in each step, by Keras or by any callback."""

    def __init__(self):
        super().__init__()
        self.counts, self.count = [], 0
        convert = keras.src.backend.convert_to_numpy

        def counted(array):
            self.count += 1
            return convert(array)

        keras.src.backend.convert_to_numpy = counted

    def on_train_batch_begin(self, batch, logs=None):
        self.counts.append(self.count)


def count_pixel_types(model):
    """Return a set that will hold the types of the images that the compiled steps of `model` receive."""
    types = set()
    for name in STEPS[:3]:
        step = getattr(model, name)

        def traced(state, data, step=step):
            types.add(str(data[0].dtype))
            return step(state, data)

        traced.__name__ = name
        setattr(model, name, traced)
    return types


def main(answers):
    """Train, resume, evaluate and classify; write what was counted."""
    assert keras.backend.backend() == "jax"
    callbacks_module.LOSS_SECONDS = 1e9  # however slow this machine is
    programs = CompiledPrograms()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 12, 12), "uint8"), np.arange(300) % 2
    data = cnnzoo.load_data((images, labels), image_size=12, splits=(0.7, 0.2, 0.1))
    counted = {"images": {name: len(split) for name, split in data.splits.items()}}

    model, reads = new_network(), Reads()
    types = count_pixel_types(model)
    with programs.counted() as counted["train"]:
        report = cnnzoo.fit_and_evaluate(model, data, recipe=RECIPE, callbacks=[reads], verbose=False)
    counted["types"] = sorted(types)
    counted["reads"] = np.diff(reads.counts).tolist()
    validation = model.evaluate(
        data.validation.images,
        np.eye(2)[data.validation.labels],
        batch_size=len(data.validation),
        verbose=0,
    )
    counted["validation"] = [report.history[name][report.best_epoch - 1] for name in ("val_loss", "val_accuracy")]
    counted["validation at once"] = validation
    counted["test"] = [report.accuracy, float((report.probabilities.argmax(1) == data.test.labels).mean())]
    counted["loss"] = report.history["loss"]

    classifier = cnnzoo.Classifier.of(model)
    with programs.counted() as counted["classify"]:
        predictions = classifier.predict(images[:50], top=2, batch_size=16, verbose=False)
    counted["classifier"] = classifier.runtime, classifier.precision
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(images[:50, ..., None], verbose=0)))
    answered = [dict(zip(p.classes, p.probabilities, strict=True)) for p in predictions]
    counted["difference"] = max(abs(a[str(j)] - expected[i, j]) for i, a in enumerate(answered) for j in (0, 1))
    half = cnnzoo.Classifier.of(model, precision="bfloat16").probabilities(images[:50, ..., None])
    counted["difference in bfloat16"] = float(np.abs(half - expected).max())

    on_device = cnnzoo.load_data((images, labels), image_size=12, splits=(0.7, 0.2, 0.1), cache="device")
    recipe = cnnzoo.Recipe(epochs=2, batch_size=8, learning_rate=0.05, augment="basic+shift")
    counted["device losses"] = []
    for source in (data, on_device):
        model = new_network()
        types = count_pixel_types(model)
        with programs.counted() as steps:
            report = cnnzoo.fit_and_evaluate(model, source, recipe=recipe, verbose=False)
        counted["device losses"].append(report.history)
    counted["device types"], counted["device programs"] = sorted(types), steps
    counted["cache"] = {name: programs.events[name] for name in ("cache_hits", "cache_misses")}
    counted["folder"] = jax.config.jax_compilation_cache_dir
    Path(answers).write_text(json.dumps(counted, default=float))


if __name__ == "__main__":
    main(sys.argv[1])

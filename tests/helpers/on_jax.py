"""What `test_jax.py` runs on the JAX backend: python -m helpers.on_jax RUN, in a folder with some data."""

import contextlib
import json
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np

import cnnzoo
from cnnzoo.tuning import retraining, search
from cnnzoo.tuning.trial_result import read_trials
from helpers.images import make_blobs
from helpers.training import CrashAt, CrashError, fit, read_report

# All options of a recipe that need code of their own on JAX
RECIPE = cnnzoo.Recipe(
    epochs=6, batch_size=12, learning_rate=0.05, ema=0.9, clip=5.0, precision="bfloat16", balance="weights"
)


class Batches(keras.utils.PyDataset):
    """A stream of four batches."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return np.random.default_rng(i).integers(0, 256, (5, 12, 12, 1), "uint8"), np.arange(5) % 2


def new_network(classes=3):
    """A network that JAX compiles fast."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes)(x), name="network")


def train(data):
    """Train without and with a crash in between."""
    model = new_network()
    report = fit(model, data, recipe=RECIPE, run_dir="whole")
    validated = cnnzoo.evaluate(model, data, split="validation").accuracy
    tuned = fine_tune(model, data)
    with contextlib.suppress(CrashError):
        fit(new_network(), data, recipe=RECIPE, run_dir="torn", callbacks=[CrashAt(1, 1)], checkpoint_every=0)
    fit(new_network(), data, recipe=RECIPE, run_dir="torn")
    return {
        "accuracy": report.accuracy,
        "best": report.history["val_accuracy"][report.best_epoch - 1],
        "validated": validated,
        "fine-tuned": tuned,
        "reports are equal": read_report(Path("whole")) == read_report(Path("torn")),
    }


def fine_tune(model, data):
    """Fine-tune a trained model; return the accuracy."""
    recipe = cnnzoo.recipe("finetune", epochs=1, batch_size=12, precision="float32")
    return cnnzoo.fine_tune(model, data, recipe=recipe, verbose=False).accuracy


def train_on_sources():
    """Train on photos, on a file of arrays, and on a stream; return the losses and the numbers of predictions."""
    recipe = cnnzoo.Recipe(epochs=1, batch_size=5, learning_rate=0.01, augment="basic")
    results = []
    for source in ("photos", "images.npz", Batches()):
        data = cnnzoo.load_data(source, splits=(0.5, 0.25, 0.25))
        model = new_network(len(data.classes))
        report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=False)
        predictions = cnnzoo.Classifier.of(model).predict(np.zeros((2, 20, 20, 1), "uint8"))
        results.append((report.metrics["log_loss"], len(predictions)))
    return results


def predict(run):
    """Classify images by a run; return the runtime and the probabilities."""
    classifier = cnnzoo.load(run)
    return classifier.runtime, classifier.probabilities(np.load("images.npy")).tolist()


def tune(data):
    """Run the only trial of a search, without what follows; return its status."""
    recipe = cnnzoo.Recipe(epochs=1, batch_size=12, learning_rate=0.05)
    options = {"space": {"learning_rate": [0.05]}, "recipe": recipe, "trials": 1, "verbose": False}
    ended = mock.patch.object(retraining, "finish_search", side_effect=CrashError)
    with ended, mock.patch.object(search.Search, "check_compatibility"), contextlib.suppress(CrashError):
        cnnzoo.tune("lenet5", data, run_dir="search", **options)
    return [trial.status for trial in read_trials(Path("search"))]


def main(run):
    """Do all of it, and write answers.json."""
    assert keras.backend.backend() == "jax"
    data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))
    answers = {
        "train": train(data),
        "lr_find": cnnzoo.lr_find(new_network(), data, recipe=RECIPE, verbose=False).suggestion,
        "sources": train_on_sources(),
        "predict": predict(run),
        "tune": tune(data),
        "imported": sorted({"tensorflow", "torch"} & sys.modules.keys()),
    }
    Path("answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])

"""What `test_several_processes.py` runs in two processes at once: python -m helpers.several_processes, in a folder."""

import contextlib
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

import cnnzoo
from cnnzoo.core import processes
from cnnzoo.core.connection import connect_processes, disconnect_processes
from helpers.devices import new_network
from helpers.images import make_blobs
from helpers.training import CrashAt, CrashError, fit, read_report

# What depends on the whole batch: batch norms, dropout, clipping, mixed images; and averages
RECIPE = cnnzoo.Recipe(
    epochs=2, batch_size=12, learning_rate=0.05, augment="basic+mixup", clip=0.5, ema=0.5, schedule="constant"
)


def train(data, folder):
    """Train, fine-tune, and evaluate; return the numbers."""
    model = new_network()
    report = fit(model, data, recipe=RECIPE, run_dir=f"{folder}/whole", track="tensorboard")
    recipe = cnnzoo.recipe("finetune", epochs=1, batch_size=12, keep="last")
    tuned = cnnzoo.fine_tune(model, data, recipe=recipe, run_dir=f"{folder}/tuned", verbose=False)
    evaluated = cnnzoo.evaluate(model, data, split="train", verbose=False)
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    return {
        "accuracy": report.accuracy,
        "best_epoch": report.best_epoch,
        "losses": [*report.history["loss"], *report.history["val_loss"], report.metrics["log_loss"]],
        "validation": report.history["val_accuracy"],
        "probe": [tuned.probe["C"], tuned.probe["validation_log_loss"], tuned.probe["log_loss"]],
        "tuned": [tuned.metrics["log_loss"], *tuned.history["loss"]],
        "evaluated": evaluated.metrics["log_loss"],
        "weights": hashlib.sha256(weights).hexdigest(),
    }


def continue_training(data, folder):
    """Interrupt a training within an epoch, and continue it."""
    options = {"recipe": RECIPE, "run_dir": f"{folder}/torn", "checkpoint_every": 0}
    with contextlib.suppress(CrashError):
        fit(new_network(), data, callbacks=[CrashAt(1, 1)], **options)
    fit(new_network(), data, **options)


def find_error(function):
    """Return the message of the InputError that a function raises."""
    try:
        function()
    except cnnzoo.InputError as error:
        return str(error)
    return ""


def exchange(rank):
    """Return what comes out of all ways to exchange something."""
    odd = [np.array([np.nan, -0.0, 1e-310]), np.arange(3, dtype="uint16"), np.zeros((0, 2), "float32")]
    shared = processes.share_arrays(odd if rank == 0 else None)
    rows = processes.gather_rows(np.full((2, 3), rank + 0.1))

    def fail():
        raise cnnzoo.TrainingError("the disk is full")

    try:
        processes.run_on_main(fail)
    except cnnzoo.TrainingError as error:
        failure = str(error)
    return {
        "arrays": all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in zip(odd, shared, strict=True)),
        "rows": rows.tolist(),
        "share": processes.share_value(f"from {rank}"),
        "on main": processes.run_on_main(lambda: rank),
        "failure": failure,
        "differ": find_error(lambda: processes.check_same({"same": 1, "version": rank})),
    }


def main():
    """Write answers.json: the numbers of two processes, of one, and what they exchanged."""
    assert connect_processes()
    rank = processes.process_rank()
    keras.utils.set_random_seed(rank)
    data = cnnzoo.load_data(make_blobs(66), splits=(0.6, 0.2, 0.2))
    continue_training(data, f"two-{rank}")
    answers = {
        "two": processes.gather_values(train(data, f"two-{rank}")),
        "exchanged": processes.gather_values(exchange(rank)),
    }
    odd = replace(RECIPE, batch_size=7)
    named = {"recipe": RECIPE, "devices": ["CPU:0"]}
    answers["errors"] = [
        find_error(lambda: fit(new_network(), data, recipe=odd)),
        find_error(lambda: fit(new_network(), data, **named)),
        find_error(lambda: fit(new_network(), data, recipe=RECIPE, seed=rank)),
    ]
    disconnect_processes()
    if rank == 0:
        answers["one"] = train(data, "one")
        answers["reports are equal"] = read_report(Path("two-0/torn")) == read_report(Path("two-0/whole"))
        answers["folders"] = sorted(path.name for path in Path().iterdir() if path.is_dir())
        Path("answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()

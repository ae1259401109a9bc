"""A trial: an ordinary run whose test split is its validation split, so that a search never sees the test split."""

import dataclasses
import json
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnzoo.build import get
from cnnzoo.core.errors import BusyError, InputError, TrainingError
from cnnzoo.core.files import atomic_write
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_not_empty
from cnnzoo.evaluation.report import Report
from cnnzoo.models import Variant
from cnnzoo.registry import list_models, register
from cnnzoo.training import state
from cnnzoo.training.api import fine_tune, fit_and_evaluate
from cnnzoo.training.prepare import make_reproducible
from cnnzoo.training.recipe import Recipe
from cnnzoo.tuning.space import Space

OUTCOME_FILE, LOG_FILE, RUN_FOLDER = "outcome.json", "log.txt", "run"
LOWER_IS_BETTER = ("log_loss", "calibration_error")  # is better
PRUNING_STEPS = 20  # of a training, at the ends of which trials are compared
MIN_SHARE_BEFORE_PRUNING = 0.25  # of a training, before which no trial is hopeless
BUSY_WAIT_SECONDS = 2.0  # seconds between looks at a run in which another process is at work
MIN_TRIALS_TO_COMPARE = 4  # trials to compare with


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """What all trials of a search share."""

    space: Space
    data: ImageData
    weights: Any
    objective: str
    image_size: tuple[int, int] | None = None
    rows: dict[str, Variant] = dataclasses.field(default_factory=dict)  # that the caller has registered, by name


@dataclasses.dataclass(frozen=True)
class TrialJob:
    """One training: a trial's, or of the final comparison, which is on the test split."""

    folder: Path
    chosen: dict[str, Any]
    seed: int
    run: Path | None = None  # an earlier trial's, which this one goes on with
    epochs: int | None = None  # after which it ends, though the schedule goes further
    bar: tuple[float, ...] = ()  # what has to be reached after each share of the training
    final: bool = False
    check: bool = False  # whether all goes together, and no training


def run_job(setting: SearchConfig, job: TrialJob) -> tuple[str, Any]:
    """("done", the outcome or, of a final, the report) or ("failed", why); what is printed goes to the folder's log."""
    try:
        if job.check:
            _prepare_job(setting, job)
            return "done", None
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / LOG_FILE).open("ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        while True:
            if not job.final and (job.folder / OUTCOME_FILE).exists():  # it had ended, which the search had not kept
                kept = json.loads((job.folder / OUTCOME_FILE).read_bytes())
                return ("failed", kept["reason"]) if "reason" in kept else ("done", kept)
            try:
                return "done", _train_and_record(setting, job)
            except BusyError:  # a worker that was taken for dead
                time.sleep(BUSY_WAIT_SECONDS)
    except (InputError, TrainingError) as error:
        if not job.check:
            traceback.print_exc()
        return "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}"


def _train_and_record(setting: SearchConfig, job: TrialJob) -> Any:
    """The outcome of the job's training, or of a final its report."""
    begun = time.perf_counter()
    end = PruneCallback(job.epochs, job.bar, job.run or job.folder / RUN_FOLDER)
    model, recipe, data = _prepare_job(setting, job)
    train = fine_tune if setting.weights else fit_and_evaluate
    where = job.run or job.folder / RUN_FOLDER
    report = train(model, data, recipe=recipe, run_dir=where, seed=job.seed, resume=True, callbacks=[end])
    if job.final:
        return report
    outcome = {
        "chosen": job.chosen,
        "epochs": recipe.epochs,
        "score": _objective_score(report, setting.objective),
        "metrics": {key: value for key, value in report.metrics.items() if isinstance(value, float)},
        "history": report.history,
        "best_epoch": report.best_epoch,
        "hopeless": end.hopeless,
        "seconds": round(time.perf_counter() - begun, 1),
        "training": round(end.seconds, 1),
    }
    write_outcome(job.folder, outcome)
    return outcome


def _prepare_job(setting: SearchConfig, job: TrialJob) -> tuple[Any, Recipe, ImageData]:
    """The model, the recipe and the data of a job, which fit each other; else an InputError."""
    known = list_models()
    for name in setting.rows.keys() - set(known):  # that the caller has registered
        register(name, setting.rows[name])
    row, recipe = setting.space.apply(job.chosen)
    data = setting.data if job.final else dataclasses.replace(setting.data, test=setting.data.validation)
    check_not_empty(setting.data, "train", "validation", "test")
    make_reproducible(job.seed)
    classes = None if setting.weights else list(data.classes)
    model = get(row, weights=setting.weights, classes=classes, input_shape=setting.image_size)
    if job.check:
        bind_to_model(model, data)
    return model, recipe, data


def write_outcome(folder: Path, outcome: Mapping[str, Any]) -> None:
    """Keep how a trial ended."""
    with atomic_write(folder / OUTCOME_FILE) as new:
        new.write_text(json.dumps(outcome), encoding="utf-8")


def _objective_score(report: Report, objective: str) -> float:
    value = report.metrics.get(objective)
    if not isinstance(value, float) or not np.isfinite(value):
        known = ", ".join(key for key, other in report.metrics.items() if isinstance(other, float))
        raise InputError(f"The metric {objective} is not found for these data. There are: {known}")
    return value


class PruneCallback(keras.callbacks.Callback):
    """Ends a trial that has had its epochs, or whose best accuracy so far is below the bar for its share of them."""

    def __init__(self, epochs: int | None, bar: tuple[float, ...], run: Path) -> None:
        super().__init__()
        self.until, self.bar, self.run = epochs, bar, run
        self.best, self.hopeless, self.seconds = 0.0, False, 0.0

    def on_train_begin(self, logs=None):
        self.begun = time.perf_counter()
        if kept := state.find_latest_state(self.run / "state"):  # of before a stop
            known = state.read_state(kept)
            self.best = max(known.history.get("val_accuracy", [0.0]))
            self.check(known.epoch)

    def on_epoch_end(self, epoch, logs=None):
        name = "val_accuracy" if "val_accuracy" in logs else "val_logits_accuracy"
        self.best = max(self.best, float(logs[name]))
        self.check(epoch + 1)

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self.begun

    def check(self, done: int) -> None:
        share = done / self.params["epochs"]
        self.hopeless = (
            bool(self.bar)
            and MIN_SHARE_BEFORE_PRUNING <= share < 1
            and self.best < self.bar[int(share * PRUNING_STEPS) - 1]
        )
        if self.hopeless or (self.until and done >= self.until):
            self.model.stop_training = True


def pruning_thresholds(histories: Sequence[Mapping[str, Sequence[float]]], epochs: Sequence[int]) -> tuple[float, ...]:
    """The accuracy that three quarters of the trials had reached after each share of their `epochs`.

    It is 0 where few got there.
    """
    levels = []
    for share in range(1, PRUNING_STEPS + 1):
        reached = []
        for history, whole in zip(histories, epochs, strict=True):
            done = -(-whole * share // PRUNING_STEPS)
            accuracies = history.get("val_accuracy", ())
            if 0 < done <= len(accuracies):
                reached.append(max(accuracies[:done]))
        levels.append(float(np.quantile(reached, 0.25)) if len(reached) >= MIN_TRIALS_TO_COMPARE else 0.0)
    return tuple(levels)

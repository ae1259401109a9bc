"""A trial: an ordinary run whose test split is the validation split, so that a search never uses the test split."""

import contextlib
import dataclasses
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.build import get
from cnnzoo.core.errors import BusyError, InputError, TrainingError
from cnnzoo.core.json_files import Finite, check_fields, read_json, write_json
from cnnzoo.core.memory import describe_memory_error
from cnnzoo.core.progress import show_progress
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_not_empty
from cnnzoo.evaluation.report import Report
from cnnzoo.models import Variant
from cnnzoo.registry import list_models, register
from cnnzoo.training.api import fine_tune, fit_and_evaluate
from cnnzoo.training.prepare import make_reproducible
from cnnzoo.training.recipe import Recipe
from cnnzoo.tuning.pruning import TrialStopCallback
from cnnzoo.tuning.space import Space

if TYPE_CHECKING:
    import keras

OUTCOME_FILE, LOG_FILE, RUN_FOLDER = "outcome.json", "log.txt", "run"
SUCCESS_FIELDS = {
    "score": Finite,
    "seconds": float,
    "training": float,
    "epochs": int,
    "hopeless": bool,
    "history": dict[str, list[float]],
}
LOWER_IS_BETTER = ("log_loss", "calibration_error")  # objectives
BUSY_WAIT_SECONDS = 2.0  # between two attempts to start in a run folder that another process uses


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """The settings that all trials of a search share.

    Attributes:
        space: the search space, with the default model and recipe.
        data: the images; trials are scored on the validation split.
        weights: as in `get`; with weights, trials fine-tune.
        objective: a metric of `Report.metrics`.
        image_size: height and width, or None for the network's own.
        rows: the models that the caller has registered, by name, which trials register too.
        track: the experiment tracker, which gets each trial as a run; None for none.
    """

    space: Space
    data: ImageData
    weights: str | Path | None
    objective: str
    image_size: tuple[int, int] | None = None
    rows: dict[str, Variant] = dataclasses.field(default_factory=dict)
    track: str | None = None


@dataclasses.dataclass(frozen=True)
class TrialJob:
    """One training: that of a trial, or one of the final comparison on the test split.

    Attributes:
        folder: the folder of the outcome, the log and (by default) the run.
        chosen: the values of the varied fields.
        seed: the seed of the training.
        continue_run: the run folder of an earlier trial, whose training this one continues.
        stop_after: the number of epochs after which the trial stops, although the schedule is longer.
        thresholds: the accuracy below which the trial is pruned, after each twentieth of its training.
        final: whether to evaluate on the test split and return the report.
        check_only: whether to only check that model, weights and data fit together.
    """

    folder: Path
    chosen: dict[str, Any]
    seed: int
    continue_run: Path | None = None
    stop_after: int | None = None
    thresholds: tuple[float, ...] = ()
    final: bool = False
    check_only: bool = False


def run_job(config: SearchConfig, job: TrialJob) -> tuple[str, Any]:
    """Run a job in this process, with everything that it prints in the log of its folder.

    Returns:
        ("done", outcome), with the report for a final training; or ("failed", reason).
    """
    try:
        if job.check_only:
            with show_progress("Checking", verbose=False):  # the search itself shows it
                _prepare_job(config, job)
            return "done", None
        job.folder.mkdir(parents=True, exist_ok=True)
        _redirect_output(job.folder / LOG_FILE)
        while True:
            # The trial may have ended in a process that stopped before the search recorded it.
            if not job.final and (job.folder / OUTCOME_FILE).exists():
                with contextlib.suppress(InputError):  # a broken record: its run is evaluated again
                    outcome = read_outcome(job.folder)
                    return ("failed", outcome["reason"]) if "reason" in outcome else ("done", outcome)
            try:
                return "done", _train_and_record(config, job)
            except BusyError:  # a worker that was considered lost is still training
                time.sleep(BUSY_WAIT_SECONDS)
    except (InputError, TrainingError) as error:
        if not job.check_only:
            traceback.print_exc()
        return "failed", str(error)
    except Exception as error:
        if problem := describe_memory_error(error):
            return "failed", problem
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}"


def _redirect_output(path: Path) -> None:
    """Append what this process writes to stdout and stderr, also from native code, to a file."""
    with path.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def _train_and_record(config: SearchConfig, job: TrialJob) -> Any:
    """Train, and return the report of a final training, or write and return the outcome of a trial."""
    begin = time.perf_counter()
    run_dir = job.continue_run or job.folder / RUN_FOLDER
    prune = TrialStopCallback(job.stop_after, job.thresholds, run_dir)
    model, recipe, data = _prepare_job(config, job)
    train = fine_tune if config.weights else fit_and_evaluate
    options: dict[str, Any] = {
        "run_dir": run_dir,
        "seed": job.seed,
        "resume": True,
        "callbacks": [prune],
        "track": config.track,
    }
    report = train(model, data, recipe=recipe, **options)
    if job.final:
        return report
    outcome = {
        "chosen": job.chosen,
        "epochs": recipe.epochs,
        "score": _objective_score(report, config.objective),
        "metrics": {name: value for name, value in report.metrics.items() if isinstance(value, float)},
        "history": report.history,
        "best_epoch": report.best_epoch,
        "hopeless": prune.hopeless,
        "seconds": round(time.perf_counter() - begin, 1),
        "training": round(prune.seconds, 1),
    }
    write_outcome(job.folder, outcome)
    return outcome


def _prepare_job(config: SearchConfig, job: TrialJob) -> "tuple[keras.Model, Recipe, ImageData]":
    """Return the model, the recipe and the data of a job; raise InputError if they do not fit together."""
    for name in config.rows.keys() - set(list_models()):
        register(name, config.rows[name])
    model_or_row, recipe = config.space.apply(job.chosen)
    check_not_empty(config.data, "train", "validation", "test")
    # A search must not see the test split.
    data = config.data if job.final else dataclasses.replace(config.data, test=config.data.validation)
    make_reproducible(job.seed)
    classes = None if config.weights else list(data.classes)
    model = get(model_or_row, weights=config.weights, classes=classes, image_size=config.image_size)
    if job.check_only:
        bind_to_model(model, data)
    return model, recipe, data


def write_outcome(folder: Path, outcome: Mapping[str, Any]) -> None:
    """Record how a trial ended."""
    write_json(folder / OUTCOME_FILE, outcome)


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return how a trial ended, from the record in its folder.

    A trial that failed has a "reason"; another one has the fields of `SUCCESS_FIELDS`.

    Raises:
        InputError: if the record is broken.
    """
    path = folder / OUTCOME_FILE
    outcome = read_json(path, {"chosen": dict[str, Any]}, {"reason": str, "seconds": float})
    return outcome if "reason" in outcome else check_fields(outcome, path, SUCCESS_FIELDS)


def _objective_score(report: Report, objective: str) -> float:
    """Return the objective's value; raise InputError if the report does not have it."""
    value = report.metrics.get(objective)
    if not isinstance(value, float) or not np.isfinite(value):
        available = ", ".join(name for name, other in report.metrics.items() if isinstance(other, float))
        raise InputError(f"The metric {objective} is not available for this data. Available: {available}")
    return value

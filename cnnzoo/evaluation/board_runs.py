"""Find the runs under a folder and read what a leaderboard shows of each, whatever state they are in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import is_locked
from cnnzoo.core.json_files import JSON_ERRORS, Finite, check_fields, read_json_value
from cnnzoo.evaluation.evaluations import read_evaluations
from cnnzoo.inference.runs import RECORD_FILE

REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
LOCK_FILE = ".lock"
SKIPPED_FOLDERS = ("state", "tensorboard", "mlruns", "wandb", "__pycache__")  # which hold no runs
RECORD_FIELDS = {"status": str, "plan": dict[str, Any]}  # of run.json, as far as a leaderboard reads it
OPTIONAL_RECORD_FIELDS = {"fingerprints": dict[str, str], "parameters": int, "seconds": Finite, "started": str}
DATA_FIELDS = {"source": str, "classes": list[Any], "images": dict[str, int], "fingerprints": dict[str, str]}
MAX_COUNT = 2**53  # images; a float holds all whole numbers up to it
STATES = ("done", "running", "stopped", "interrupted", "failed")
ENDED_ELSEWHERE = "its process has ended, or runs on another machine; the same command resumes it"


@dataclass(frozen=True)
class BoardRun:
    """A run as a leaderboard shows it.

    Attributes:
        folder: the run's folder.
        name: the path of that folder below the folder of the leaderboard.
        state: "done"; "running"; "stopped", if it says that it is running, but no process uses its folder;
            "interrupted" or "failed".
        note: how far an unfinished run is, or why it failed; "" for a finished one.
        model: name of the model.
        source: name of the data.
        split: the split that was evaluated: "test", or "validation" for the trials of a search.
        keys: fingerprints of the images of that split; runs that share one are comparable.
        trained_on: fingerprints of the training images, as the model gets them, and as they were loaded; the latter is
            "" if the run was written before cnnzoo 0.12.
        accuracy: the accuracy on it, from 0 to 1; None without a report.
        interval: the 95 % interval of the accuracy, or None.
        images: number of images of the split.
        classes: number of classes.
        validation_accuracy: the validation accuracy of the kept weights; None if nothing was validated.
        parameters: number of parameters; None if the run was written before cnnzoo 0.12.
        seconds: seconds that the run took in all; None if it has not ended.
        epochs: number of epochs that are done.
        best_epoch: the epoch whose weights were kept; 0 for a linear probe, None if there is none yet.
        history: loss and accuracy of each epoch.
        settings: what distinguishes the run: recipe, weights, seed, training images, ...
        started: date and time of the start, in UTC.
        evaluations: what `evaluations.read_evaluations` returns.
    """

    folder: Path
    name: str
    state: str
    note: str
    model: str
    source: str
    split: str
    keys: frozenset[str]
    trained_on: tuple[str, str]
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    images: int | None = None
    classes: int | None = None
    validation_accuracy: float | None = None
    parameters: int | None = None
    seconds: float | None = None
    epochs: int = 0
    best_epoch: int | None = None
    history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    started: str = ""
    evaluations: tuple[dict[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class BoardNote:
    """A folder under the leaderboard that gets no row in a table: its name, and why; a search is one too."""

    folder: Path
    name: str
    note: str


def read_board_folders(root: Path) -> Iterator[BoardRun | BoardNote]:
    """Yield what is in each folder with a run.json in and below `root`, in order, and each that cannot be read.

    Links to folders are not followed.
    """
    errors: list[OSError] = []
    for path, names, files in os.walk(root, onerror=errors.append):
        if RECORD_FILE in files:
            yield read_board_folder(Path(path), root)
        names[:] = sorted(name for name in names if name not in SKIPPED_FOLDERS and not name.startswith("."))
    for error in errors:
        folder = Path(error.filename)
        yield BoardNote(folder, name_folder(folder, root), f"the folder cannot be read: {error.strerror}")


def name_folder(folder: Path, root: Path) -> str:
    """Return the path of a folder below `root`, or the name of `root` itself."""
    name = folder.relative_to(root).as_posix()
    return folder.absolute().name if name == "." else name


def read_board_folder(folder: Path, root: Path) -> BoardRun | BoardNote:
    """Return the run in a folder, or a note if it is a search, is damaged, or was written by another program."""
    name = name_folder(folder, root)
    try:
        record = read_json_value(folder / RECORD_FILE)
        plan = record.get("plan") if isinstance(record, dict) else None
        if not isinstance(plan, dict) or not isinstance(record.get("status"), str):
            return BoardNote(folder, name, f"{RECORD_FILE} is not that of a run of cnnzoo")
        if plan.get("how") == "tune":
            return BoardNote(folder, name, describe_search(folder, record))
        return read_run(folder, name, record, plan)
    except InputError as error:
        return BoardNote(folder, name, f"damaged: {shorten_error(error, folder)}")
    except JSON_ERRORS as error:
        return BoardNote(folder, name, f"damaged: {RECORD_FILE} lacks what every run has ({type(error).__name__})")


def shorten_error(error: InputError, folder: Path) -> str:
    """Return the message of an error about a file of a folder, which is named beside it already."""
    return str(error).replace(f"{folder}{os.sep}", "")


def describe_search(folder: Path, record: dict[str, Any]) -> str:
    """Return a sentence about a search, whose trials have rows of their own."""
    trials = sum(1 for path in folder.glob("trials/*/outcome.json"))
    state = find_state(folder, record["status"])
    return f"a search: {trials} {'trial has' if trials == 1 else 'trials have'} ended, {state}"


def read_run(folder: Path, name: str, record: dict[str, Any], plan: dict[str, Any]) -> BoardRun:
    """Return the run in a folder, from its record, its last state, and, where these are not enough, its report."""
    record = check_fields(record, RECORD_FILE, RECORD_FIELDS, OPTIONAL_RECORD_FIELDS)
    data = check_fields(plan["data"], RECORD_FILE, DATA_FIELDS)
    prints = record.get("fingerprints", {})
    state = find_state(folder, record["status"])
    progress, figures = read_progress(folder), dict[str, Any]()
    if state == "done":
        progress, figures = read_results(folder, record, progress)
    history = check_history(progress.get("history") or {})
    epochs = len(history.get("loss", ()))
    evaluated = data["fingerprints"]
    is_trial = evaluated["test"] == evaluated["validation"]
    best_epoch = figures.get("best_epoch")
    return BoardRun(
        folder=folder,
        name=name,
        state=state,
        note=describe_state(state, record, epochs, plan),
        model=str(plan["model"]),
        source=str(data["source"]),
        split="validation" if is_trial else "test",
        keys=frozenset({evaluated["test"], prints.get("test", evaluated["test"])}),
        trained_on=(evaluated["train"], prints.get("train", "")),
        accuracy=check_share(figures["accuracy"]) if figures else None,
        interval=read_interval(figures),
        images=check_count(data["images"]["test"]),
        classes=len(data["classes"]),
        validation_accuracy=find_validation_accuracy(history, best_epoch, progress.get("probe")) if figures else None,
        parameters=record.get("parameters"),
        seconds=record.get("seconds"),
        epochs=epochs,
        best_epoch=best_epoch,
        history=history,
        settings=describe_settings(plan),
        started=str(record.get("started", "")),
        evaluations=tuple(read_evaluations(folder)),
    )


def find_state(folder: Path, status: str) -> str:
    """Return the state of a run: its status, or "stopped" if it says that it runs, but no process here uses it."""
    if status != "running":
        return status if status in STATES else "stopped"
    return "running" if is_locked(folder / LOCK_FILE) else "stopped"


def describe_state(state: str, record: dict[str, Any], epochs: int, plan: dict[str, Any]) -> str:
    """Return how far an unfinished run is, and why it failed."""
    if state == "done":
        return ""
    progress = f"{epochs} of {plan['recipe']['epochs']} epochs"
    failure = record.get("failure")
    if state == "failed" and isinstance(failure, dict) and failure.get("reason"):
        return f"{progress}; {failure['reason']}"
    return f"{progress}; {ENDED_ELSEWHERE}" if state == "stopped" else progress


def read_progress(folder: Path) -> dict[str, Any]:
    """Return the last state of a run: its history, best epoch and probe; empty if there is none, or it is broken."""
    try:
        states = sorted(entry.name for entry in os.scandir(folder / "state") if entry.name.startswith("step-"))
        progress = read_json_value(folder / "state" / states[-1] / "state.json") if states else {}
    except (OSError, InputError):
        return {}
    return progress if isinstance(progress, dict) else {}


def read_results(
    folder: Path, record: dict[str, Any], progress: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the progress and the figures of a finished run.

    Its record and its last state have them all. Records of versions before 0.12 have no figures, and some people delete
    the states: then the report, which may be large, is read.
    """
    figures = record.get("figures")
    if isinstance(figures, dict) and progress:
        return progress, figures
    if isinstance(figures, dict) and not (folder / REPORT_FILE).exists():
        return progress, figures
    report = read_json_value(folder / REPORT_FILE)
    kept = {"best_epoch": report.get("best_epoch")}
    figures = figures if isinstance(figures, dict) else report["metrics"] | kept
    return {"history": report.get("history"), "probe": report.get("probe")}, figures


def check_history(history: dict[str, Any]) -> dict[str, list[float]]:
    """Return the metrics of each epoch as numbers; raise TypeError or ValueError if they are something else."""
    return {str(name): [float(value) for value in values] for name, values in history.items()}


def check_count(value: int) -> int:
    """Return a number of images; raise ValueError for one that no data set has."""
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(value)
    return value


def check_share(value: Any) -> float:
    """Return a share from 0 to 1; raise ValueError for anything else."""
    number = float(value)
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise ValueError(value)
    return number


def read_interval(figures: dict[str, Any]) -> tuple[float, float] | None:
    """Return the 95 % interval of the accuracy; None if there is none."""
    bounds = (figures.get("intervals_95") or {}).get("accuracy")
    if not bounds:
        return None
    low, high = map(check_share, bounds)
    return low, high


def find_validation_accuracy(
    history: dict[str, list[float]], best_epoch: int | None, probe: dict[str, Any] | None
) -> float | None:
    """Return the validation accuracy of the weights that were kept: of an epoch, or of the linear probe."""
    values = history.get("val_accuracy", ())
    if best_epoch and best_epoch <= len(values) and math.isfinite(values[best_epoch - 1]):
        return values[best_epoch - 1]
    if not best_epoch and probe:
        value = probe.get("validation_accuracy")
        return None if value is None else check_share(value)
    return None


def describe_settings(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what distinguishes a run from others on the same images, by name."""
    weights, data = plan.get("weights") or {}, plan["data"]
    return {
        "model": plan["model"],
        "function": plan.get("how"),
        "weights": weights.get("tag") or weights.get("file"),
        "seed": plan.get("seed"),
        "training images": f"{data['images']['train']:,}",  # `board_groups` adds a fingerprint
        "fix list": "yes" if data.get("fix_list") else None,
        **{f"recipe.{name}": value for name, value in plan["recipe"].items()},
    }

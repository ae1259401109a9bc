"""Find the model of a run, and refuse that of a run that failed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json
from cnnzoo.core.warn import warn_caller

MODEL_FILE, RECORD_FILE = "model.keras", "run.json"
RECORD_FIELDS = {"status": str}
OPTIONAL_RECORD_FIELDS = {"failure": dict[str, Any]}
FAILURE_KEY = "failure"  # in run.json, and in the card of a model that a failed run has saved
OVERRIDE_HINT = "allow_failed=True (--allow-failed) uses these weights anyway"


def find_run_model(folder: Path, allow_failed: bool) -> Path:
    """Return the model file of a run.

    Args:
        folder: the run's folder.
        allow_failed: whether the weights that a failed run has saved may be used.

    Raises:
        InputError: if the run failed, or has no model yet; the message says how to go on.
    """
    file, record = folder / MODEL_FILE, read_run_record(folder)
    status = record.get("status", "")
    if not file.exists():
        if winner := find_winner(folder, record):
            return find_run_model(winner, allow_failed)
        if (folder / "trials").is_dir():
            raise InputError(
                f"The search in {folder} is not finished, so it has no best model yet; repeat its command to continue"
            )
        if status == "failed":
            raise InputError(
                f"The run in {folder} has failed and left no model; repeat the command of the training with --resume"
            )
        raise InputError(
            f"The run in {folder} has no model yet: its training has not ended, or was interrupted. Wait for its end, "
            "or repeat the command of the training to continue it"
        )
    if status == "failed" and not allow_failed:
        failure = record.get(FAILURE_KEY)
        raise InputError(
            f"The run in {folder} failed{describe_failure(failure)}. Its last state continues with --resume, and "
            f"--overwrite starts again, for example with a lower learning_rate. {_hint_at_file(file, failure)}"
        )
    if status in ("running", "interrupted"):
        warn_caller(
            f"The run in {folder} has not ended: its report is missing; --resume completes it, with the command of "
            "the training"
        )
    return file


def find_winner(folder: Path, record: dict[str, Any] | None = None) -> Path | None:
    """Return the run of the best recipe of a finished search, or None if `folder` holds none.

    Args:
        folder: the folder of a search.
        record: the content of its run.json, if it was read already.
    """
    record = read_run_record(folder) if record is None else record
    relative = record.get("winner")
    if not isinstance(relative, str):
        # Searches of versions before 0.9 name the best trial in best.toml alone.
        try:
            with (folder / "best.toml").open(encoding="utf-8") as file:
                start = file.readline(200)
        except (OSError, ValueError):
            return None
        trial = re.match(r"# trial (\d+) of", start)
        relative = f"final/{trial[1]}/1/run" if trial else ""
    winner = folder / relative
    return winner if relative and (winner / RECORD_FILE).exists() else None


def read_run_record(folder: Path) -> dict[str, Any]:
    """Return the content of run.json; empty, with a warning, if it cannot be read: the model is another file."""
    try:
        return read_json(folder / RECORD_FILE, RECORD_FIELDS, OPTIONAL_RECORD_FIELDS)
    except InputError as error:
        warn_caller(f"{error}. Whether the run has failed is unknown")
        return {}


def find_data_source(record: dict[str, Any]) -> str:
    """Return by what `load_data` finds the data of a run again, a path or a name such as "digits"; "" if nothing does.

    Args:
        record: the content of its run.json.
    """
    source = record.get("source")
    if isinstance(source, str) and source:
        return source
    from cnnzoo.data.checks import ARRAY_NAMES

    # Runs of versions before 0.13 have no source but the paths of image files.
    plan = record.get("plan")
    data = plan.get("data") if isinstance(plan, dict) else None
    name = data.get("source") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name in ARRAY_NAMES else ""


def check_failed_model(file: Path, training: dict[str, Any], allow_failed: bool) -> None:
    """Check a model that was given by its file: whether a failed run has saved it, its card or the run.json says.

    Weights of an epoch are used with a warning; those of the start, which were never trained, are refused.

    Raises:
        InputError: if the weights are those of the start, and `allow_failed` is False.
    """
    failure = training.get(FAILURE_KEY)
    is_of_run = file.name == MODEL_FILE and (file.parent / RECORD_FILE).exists()
    if not isinstance(failure, dict):
        if not is_of_run or read_run_record(file.parent).get("status") != "failed":
            return
        failure = None
    if holds_start_weights(failure) and not allow_failed:
        raise InputError(f"{file} comes from a run that failed{describe_failure(failure)}. {OVERRIDE_HINT}")
    warn_caller(f"{file} comes from a run that failed{describe_failure(failure)}")


def holds_start_weights(failure: dict[str, Any] | None) -> bool:
    """Return whether the weights that a failed run has saved were never trained."""
    return failure is not None and failure.get("epoch") == 0


def describe_failure(failure: dict[str, Any] | None) -> str:
    """Return why a run failed, and which weights it has saved, as the end of a sentence."""
    if not isinstance(failure, dict):
        return ", so its weights may be those of the start"
    if holds_start_weights(failure):
        kept = "its model.keras holds the weights of the start, which were not trained"
    else:
        kept = f"its model.keras holds the weights of {failure.get('weights', 'an epoch')}"
    return f" ({failure.get('reason', 'unknown reason')}), and {kept}"


def _hint_at_file(file: Path, failure: dict[str, Any] | None) -> str:
    """Return how to use the weights all the same."""
    return OVERRIDE_HINT if holds_start_weights(failure) else f"{OVERRIDE_HINT}, and so does the path {file}"

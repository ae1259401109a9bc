"""The state of a training as files: all that a model, its optimizer and its metrics hold, and the best weights."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.files import atomic_write

if TYPE_CHECKING:
    import keras

# NumPy's format: HDF5 crashes the process when the disk is full.
LAST_FILE, BEST_FILE, STATE_FILE = "last.npz", "best.npz", "state.json"
RESTART_HINT = "overwrite=True (--overwrite) starts again"


@dataclass
class TrainingState:
    """The progress of a training."""

    epoch: int = 0  # complete epochs
    step: int = 0  # complete steps of the epoch after these
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0  # counted from 1; 0 before the first epoch, or while no epoch beats the probe
    best: tuple[float, float] = (-1.0, 0.0)  # validation accuracy and negative validation loss of the best epoch
    stopped: bool = False  # whether early stopping has ended the training
    learning_rate: float | None = None  # found by the range test, if the recipe has "auto"
    probe: dict[str, Any] | None = None  # accuracies of the linear probe; see `fine_tuning`


def find_latest_state(folder: Path) -> Path | None:
    """Return the newest state in a folder of states; each appears there complete, by a rename."""
    states = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return states[-1] if states else None


def read_state(state: Path) -> TrainingState:
    """Read the `TrainingState` of a saved state; raise `InputError` if the file is broken."""
    try:
        values = json.loads((state / STATE_FILE).read_bytes())
        training_state = TrainingState(**values | {"best": tuple(values["best"])})
        if ({len(series) for series in training_state.history.values()} or {0}) != {training_state.epoch}:
            raise ValueError("the history does not have one value per epoch")
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{state / STATE_FILE} cannot be read: {error}; {RESTART_HINT}") from None
    return training_state


def write_state(
    folder: Path, training_state: TrainingState, steps: int, model: keras.Model, best: list[np.ndarray] | None
) -> None:
    """Save the state after `steps` steps, then delete the previous one.

    Args:
        folder: the folder of states.
        training_state: the progress of the training.
        steps: number of steps of the whole run that are done.
        model: the compiled model.
        best: the best weights, or None if they have not changed since the previous state.

    Raises:
        TrainingError: if the state cannot be written; the previous one is then intact.
    """
    previous = find_latest_state(folder)
    try:
        with atomic_write(folder / f"step-{steps:09}") as new_folder:
            new_folder.mkdir()
            np.savez(new_folder / LAST_FILE, **_named_arrays(model))  # type: ignore[arg-type]  # none is allow_pickle
            if best is not None:
                np.savez(new_folder / BEST_FILE, *best)
            elif previous:
                _link_or_copy(previous / BEST_FILE, new_folder / BEST_FILE)
            (new_folder / STATE_FILE).write_text(json.dumps(vars(training_state)), encoding="utf-8")
    except (OSError, InputError) as error:  # InputError: the folder cannot be created
        reason = getattr(error, "strerror", None) or error
        remedy = f"the previous state, {previous}, is intact; the same command resumes from it"
        raise TrainingError(
            f"The state after {steps} steps cannot be written to {str(folder)!r}: {reason}; "
            f"{remedy if previous else 'there is no previous state'}"
        ) from None
    if previous and previous.name != f"step-{steps:09}":
        shutil.rmtree(previous, ignore_errors=True)


def restore_state(state: Path, model: keras.Model) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Put a saved state into a compiled model and its optimizer.

    Returns:
        The best weights, and the values of the metrics.

    Raises:
        InputError: if the files are broken, or belong to another model.
    """
    try:
        with np.load(state / BEST_FILE, allow_pickle=False) as file:
            best = [file[name] for name in file.files]
        with np.load(state / LAST_FILE, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        metric_values = [values.pop(name) for name in list(values) if name.startswith("m")]
        for variable, value in zip(_state_variables(model), values.values(), strict=True):
            variable.assign(value)
    except Exception as error:  # NumPy raises many kinds of errors for a damaged file
        raise InputError(f"The state {state} cannot be read: {error}; {RESTART_HINT}") from None
    return best, metric_values


def _state_variables(model: keras.Model) -> list[Any]:
    """Return all variables of a compiled model and its optimizer, except those of the metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = {id(v): v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics}
    return list(variables.values())


def _named_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Return what is saved: the variables as v0, v1, ..., and those of the metrics as m0, m1, ..."""
    arrays = {f"v{i}": np.asarray(variable) for i, variable in enumerate(_state_variables(model))}
    return arrays | {f"m{i}": np.asarray(variable) for i, variable in enumerate(model.metrics_variables)}


def _link_or_copy(old: Path, new: Path) -> None:
    """Make `new` a hard link to `old`, or a copy on a file system without links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)

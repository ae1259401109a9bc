"""The state of a training as files: all that a model, its optimizer and its metrics hold, and the best weights."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.digests import check_digests, digest_folder
from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.json_files import Finite, dump_json, read_json
from cnnzoo.core.processes import run_on_main, share_arrays

if TYPE_CHECKING:
    import keras

# NumPy's format: HDF5 crashes the process when the disk is full.
LAST_FILE, BEST_FILE, START_FILE, STATE_FILE = "last.npz", "best.npz", "start.npz", "state.json"
RESTART_HINT = "overwrite=True (--overwrite) starts again"
STATE_FIELDS = {
    "epoch": int,
    "step": int,
    "history": dict[str, list[float]],
    "best_epoch": int,
    "best": tuple[Finite, Finite],
    "stopped": bool,
    "learning_rate": Finite | None,
    "probe": dict[str, float] | None,
}
OPTIONAL_STATE_FIELDS = {"epochs": int | None}  # which states of earlier versions lack
HISTORY_KEYS = {"loss", "accuracy"}  # which the report reads
VALIDATION_KEYS = {"val_loss", "val_accuracy"}  # both or neither, as there may be no validation images
DIGESTS_FIELD = "files"  # holds the digests of the arrays; states of earlier versions have none


@dataclass
class TrainingState:
    """The progress of a training."""

    epoch: int = 0  # complete epochs
    step: int = 0  # complete steps of the epoch after these
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0  # counted from 1; 0 before the first epoch
    best: tuple[float, float] = (-1.0, 0.0)  # validation accuracy and negative validation loss of the best epoch
    stopped: bool = False  # whether early stopping has ended the training
    learning_rate: float | None = None  # found by the range test, if the recipe has "auto"
    probe: dict[str, Any] | None = None  # figures of the linear probe; see `fine_tuning`
    epochs: int | None = None  # how many a time budget allows, if there is one


def find_latest_state(folder: Path) -> Path | None:
    """Return the newest state in a folder of states; each appears there complete, by a rename."""
    states = _list_states(folder)
    return states[-1] if states else None


def _list_states(folder: Path) -> list[Path]:
    """Return all states in a folder, the newest last."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def remove_old_states(folder: Path) -> None:
    """Delete all states of a folder but the newest: a process that was killed may have left older ones."""
    for old in _list_states(folder)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def read_state(state: Path, check_arrays: bool = True) -> TrainingState:
    """Read the `TrainingState` of a saved state.

    Args:
        state: the folder of the state.
        check_arrays: whether to verify the digests of the arrays, which have to be read for that.

    Raises:
        InputError: if one of its files is damaged.
    """
    file = state / STATE_FILE
    optional_fields = OPTIONAL_STATE_FIELDS | {DIGESTS_FIELD: dict[str, dict[str, Any]]}
    values = read_json(file, STATE_FIELDS, optional_fields, remedy=RESTART_HINT)
    digests = values.pop(DIGESTS_FIELD, {})
    try:
        check_digests(state, digests if check_arrays else {})
    except InputError as error:
        raise InputError(f"The state {state} cannot be read: {error}; {RESTART_HINT}") from None
    if problem := _find_contradiction(values):
        raise InputError(f"{file} cannot be read: {problem}; {RESTART_HINT}")
    return TrainingState(**values)


def _find_contradiction(values: dict[str, Any]) -> str:
    """Return what is impossible in the values of a state, or "" if nothing is."""
    if unknown := values.keys() - STATE_FIELDS.keys() - OPTIONAL_STATE_FIELDS.keys():
        return f"unknown fields {sorted(unknown)}"
    if values["epoch"] < 0 or values["step"] < 0 or not 0 <= values["best_epoch"] <= values["epoch"]:
        numbers = {name: values[name] for name in ("epoch", "step", "best_epoch")}
        return f"numbers out of range: {numbers}"
    if values.get("epochs") is not None and values["epochs"] < max(values["epoch"], 1):
        return f"{values['epochs']} epochs allowed, and {values['epoch']} done"
    if values["learning_rate"] is not None and values["learning_rate"] <= 0:
        return f"the learning rate {values['learning_rate']}"
    if ({len(series) for series in values["history"].values()} or {0}) != {values["epoch"]}:
        return "the history does not have one value per epoch"
    if values["epoch"] and not values["history"].keys() >= HISTORY_KEYS:
        return f"the history lacks {sorted(HISTORY_KEYS - values['history'].keys())}"
    if len(values["history"].keys() & VALIDATION_KEYS) == 1:
        return f"the history lacks {sorted(VALIDATION_KEYS - values['history'].keys())}"
    probe_keys = {"accuracy", "validation_accuracy"} if "val_loss" in values["history"] else {"accuracy"}
    if values["probe"] is not None and not values["probe"].keys() >= probe_keys:
        return f"the probe lacks {sorted(probe_keys - values['probe'].keys())}"
    return ""


def check_progress(state: Path | None, training_state: TrainingState, epochs: int, steps_per_epoch: int) -> None:
    """Check that a run of so many epochs and steps can have reached a state; raise `InputError` if it cannot."""
    if training_state.epoch > epochs or training_state.step >= steps_per_epoch:
        assert state
        raise InputError(
            f"{state / STATE_FILE} cannot be read: epoch {training_state.epoch} and step {training_state.step} of a "
            f"run of {epochs} epochs of {steps_per_epoch} steps; {RESTART_HINT}"
        )


def write_state(
    folder: Path,
    training_state: TrainingState,
    steps: int,
    model: keras.Model,
    best: list[np.ndarray] | None,
    start: list[np.ndarray] | None = None,
) -> None:
    """Save the state after `steps` steps, with digests of its files, then delete the older ones.

    Args:
        folder: the folder of states.
        training_state: the progress of the training.
        steps: number of steps of the whole run that are done.
        model: the compiled model.
        best: the best weights, or None if they have not changed since the previous state.
        start: the weights before the first epoch, if they are kept and the previous state does not have them.

    Raises:
        TrainingError: if the state cannot be written; the previous one is then intact.
    """
    previous = find_latest_state(folder)
    try:
        with atomic_write(folder / f"step-{steps:09}") as new_folder:
            new_folder.mkdir()
            np.savez(new_folder / LAST_FILE, **_named_arrays(model))  # type: ignore[arg-type]  # none is allow_pickle
            for name, weights in ((BEST_FILE, best), (START_FILE, start)):
                if weights is not None:
                    np.savez(new_folder / name, *weights)
                elif previous and (previous / name).exists():
                    _link_or_copy(previous / name, new_folder / name)
            digests = digest_folder(new_folder)
            content = dump_json(vars(training_state) | {DIGESTS_FIELD: digests}, add_sum=True)
            (new_folder / STATE_FILE).write_text(content, encoding="utf-8")
    except (OSError, InputError) as error:  # InputError: the folder cannot be created
        reason = getattr(error, "strerror", None) or error
        remedy = f"the previous state, {previous}, is intact; the same command resumes from it"
        raise TrainingError(
            f"The state after {steps} steps cannot be written to {str(folder)!r}: {reason}; "
            f"{remedy if previous else 'there is no previous state'}"
        ) from None
    remove_old_states(folder)


def restore_state(state: Path | None, model: keras.Model) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Put a saved state into a compiled model and its optimizer; of several processes, rank 0 reads it.

    Returns:
        The best weights, and the values of the metrics.

    Raises:
        InputError: if the files are broken, or belong to another model.
    """
    from cnnzoo.training.distribution import assign_value  # imports Keras, which takes seconds

    def read() -> list[list[np.ndarray]]:
        assert state
        best = _load_weights(state / BEST_FILE, model)
        with np.load(state / LAST_FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        metric_values = [arrays.pop(name) for name in list(arrays) if name.startswith("m")]
        values = list(arrays.values())
        for variable, value in zip(variables, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"{LAST_FILE} does not hold the state of this model")
        return [best, values, metric_values]

    variables = _state_variables(model)
    best, values, metric_values = _read_on_main(state, read)
    for variable, value in zip(variables, values, strict=True):
        assign_value(variable, value)
    return best, metric_values


def restore_start(state: Path | None, model: keras.Model) -> list[np.ndarray]:
    """Return the weights before the first epoch, as a saved state holds them, which rank 0 reads.

    Raises:
        InputError: if the file is broken, or belongs to another model.
    """

    def read() -> list[list[np.ndarray]]:
        assert state
        return [_load_weights(state / START_FILE, model)]

    return _read_on_main(state, read)[0]


def _read_on_main(state: Path | None, read: Callable[[], list[list[np.ndarray]]]) -> list[list[np.ndarray]]:
    """Return the lists of arrays that `read` returns on rank 0, on all processes.

    Raises:
        InputError: on all processes, if `read` raises anything.
    """
    groups: list[list[np.ndarray]] = []

    def read_lengths() -> list[int]:
        try:
            groups.extend(read())
        except Exception as error:  # NumPy raises many kinds of errors for a damaged file
            raise InputError(f"The state {state} cannot be read: {error}; {RESTART_HINT}") from None
        return [len(group) for group in groups]

    lengths = run_on_main(read_lengths)
    arrays = iter(share_arrays([array for group in groups for array in group]))
    return [list(itertools.islice(arrays, length)) for length in lengths]


def _load_weights(path: Path, model: keras.Model) -> list[np.ndarray]:
    """Return the weights of `model` from a file; raise an error if they are those of another model."""
    with np.load(path, allow_pickle=False) as file:
        weights = [file[name] for name in file.files]
    if [np.shape(array) for array in weights] != [tuple(weight.shape) for weight in model.weights]:
        raise ValueError(f"{path.name} does not hold the weights of this model")
    return weights


def _state_variables(model: keras.Model) -> list[Any]:
    """Return all variables of a compiled model and its optimizer, except those of the metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = {id(v): v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics}
    return list(variables.values())


def _named_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Return what is saved: the variables as v0, v1, ..., and those of the metrics as m0, m1, ..."""
    from cnnzoo.training.distribution import read_metric  # imports Keras, which takes seconds

    arrays = {f"v{i}": np.asarray(variable) for i, variable in enumerate(_state_variables(model))}
    return arrays | {f"m{i}": read_metric(variable) for i, variable in enumerate(model.metrics_variables)}


def _link_or_copy(old: Path, new: Path) -> None:
    """Make `new` a hard link to `old`, or a copy on a file system without links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)

"""Where training stands, as files: all that a model, its optimizer and its meters remember, and the best weights."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.files import atomic_write

LAST_FILE, BEST_FILE, STATE_FILE = (
    "last.npz",
    "best.npz",
    "state.json",
)  # numpy's: HDF5 takes the process down when the disk is full
RESTART_HINT = "overwrite=True (--overwrite) starts anew"


@dataclass
class TrainingState:
    """Where training stands."""

    epoch: int = 0  # epochs done
    step: int = 0  # steps done of the one after these
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best: tuple[float, float] = (-1.0, 0.0)  # validation accuracy and minus validation loss
    stopped: bool = False  # before the last epoch, as none was better for long
    learning_rate: float | None = None  # that was found, where the recipe says "auto"
    probe: dict[str, Any] | None = None  # what the head alone reached; see `finetune`


def find_latest_state(folder: Path) -> Path | None:
    """The newest complete state in a folder of them; a rename makes each appear whole."""
    found = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return found[-1] if found else None


def read_state(state: Path) -> TrainingState:
    """What a state says of itself; raises InputError where it is broken."""
    try:
        values = json.loads((state / STATE_FILE).read_bytes())
        found = TrainingState(**values | {"best": tuple(values["best"])})
        if ({len(series) for series in found.history.values()} or {0}) != {found.epoch}:
            raise ValueError("the history is not as long as the epochs")
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{state / STATE_FILE} cannot be read: {error}; {RESTART_HINT}") from None
    return found


def write_state(folder: Path, state: TrainingState, steps: int, model: Any, best: list[Any] | None) -> None:
    """Keep the state after `steps` steps; `best` are the best weights, or None where they are still those before.

    The new one is whole before the old one goes. Raises TrainingError where it cannot be written.
    """
    old = find_latest_state(folder)
    try:
        with atomic_write(folder / f"step-{steps:09}") as new:
            new.mkdir()
            np.savez(new / LAST_FILE, **_named_arrays(model))  # type: ignore[arg-type]  # none is called allow_pickle
            if best is not None:
                np.savez(new / BEST_FILE, *best)
            elif old:
                _link_or_copy(old / BEST_FILE, new / BEST_FILE)
            (new / STATE_FILE).write_text(json.dumps(vars(state)), encoding="utf-8")
    except (OSError, InputError) as error:  # which a folder that cannot be made is
        before = (
            f"the one before, {old}, is whole, and the same command goes on from it" if old else "there is none yet"
        )
        why = f"{getattr(error, 'strerror', None) or error}; {before}"
        raise TrainingError(f"The state after {steps} steps cannot be written to {str(folder)!r}: {why}") from None
    if old and old.name != f"step-{steps:09}":
        shutil.rmtree(old, ignore_errors=True)


def restore_state(state: Path, model: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Put a state into a compiled model and its optimizer; returns the best weights and the meters' values."""
    try:
        with np.load(state / BEST_FILE, allow_pickle=False) as kept:
            best = [kept[name] for name in kept.files]
        with np.load(state / LAST_FILE, allow_pickle=False) as kept:
            values = {name: kept[name] for name in kept.files}
        meters = [values.pop(name) for name in list(values) if name.startswith("m")]
        for variable, value in zip(_state_variables(model), values.values(), strict=True):
            variable.assign(value)
    except Exception as error:  # numpy raises whatever a torn file makes it raise
        raise InputError(f"The state {state} cannot be read: {error}; {RESTART_HINT}") from None
    return best, meters


def _state_variables(model: Any) -> list[Any]:
    """All that a compiled model and its optimizer remember, but for the meters of an epoch."""
    meters = {id(variable) for variable in model.metrics_variables}
    every = {id(v): v for v in [*model.variables, *model.optimizer.variables] if id(v) not in meters}
    return list(every.values())


def _named_arrays(model: Any) -> dict[str, np.ndarray]:
    values = {f"v{i}": np.asarray(variable) for i, variable in enumerate(_state_variables(model))}
    return values | {f"m{i}": np.asarray(variable) for i, variable in enumerate(model.metrics_variables)}


def _link_or_copy(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # a file system without links
        shutil.copyfile(old, new)

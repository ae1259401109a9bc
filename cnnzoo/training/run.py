"""The folder of a run: whose it is, where it stands, and how it goes on after a stop."""

import json
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.files import atomic

OURS = ("run.json", "report.json", "report.html", "predictions.csv", "model.keras", "model.json", "state")
PACKAGES = ("cnnzoo", "keras", "tensorflow", "numpy", "scikit-learn")


@dataclass
class State:
    """Where training stands after an epoch."""

    epoch: int = 0  # epochs done
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best: tuple[float, float] = (-1.0, 0.0)  # validation accuracy and minus validation loss


class Run:
    """A run's folder, or none (folder=None): then nothing is written and nothing can be resumed."""

    def __init__(self, folder: Any, plan: dict[str, Any], *, resume: bool = False, overwrite: bool = False):
        """Claim the folder for `plan`; raises InputError where it holds another run or other things."""
        self.folder = None if folder is None else Path(folder)
        self.plan, self.state = plan, State()
        self.record: dict[str, Any] = {}
        if resume and overwrite:
            raise InputError("Choose one: resume goes on with the run, overwrite starts it anew")
        if self.folder is None:
            if resume:
                raise InputError("resume needs the run_dir of the run")
            return
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"The run directory {str(self.folder)!r} is a file")
        there = (self.folder / "run.json").exists()
        if there and resume:
            self._reopen()
            return
        if there and not overwrite:
            raise InputError(f"{self.folder} holds a run already: --resume goes on with it, --overwrite starts anew")
        if not there and self.folder.exists() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder} is not empty and holds no run; choose another run directory")
        for name in OURS:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.record = {
            "status": "running",
            "started": _now(),
            "command": sys.argv,
            "plan": plan,
            "versions": _versions(),
        }
        self._write_record()

    def _reopen(self) -> None:
        assert self.folder
        try:
            self.record = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            before = self.record["plan"]
        except (ValueError, KeyError) as error:
            raise InputError(f"{self.folder}/run.json cannot be read: {error}; --overwrite starts anew") from None
        after = json.loads(json.dumps(self.plan))
        if differs := list(differences(before, after)):
            raise InputError(f"{self.folder} holds a different run, so it cannot go on: {'; '.join(differs)}")
        done = self._latest()
        if done:
            values = json.loads((done / "state.json").read_text(encoding="utf-8"))
            self.state = State(**values | {"best": tuple(values["best"])})

    def _latest(self) -> Path | None:
        """The newest complete state; a rename makes each appear whole."""
        states = sorted((self.folder / "state").glob("epoch-*")) if self.folder else []
        return states[-1] if states else None

    def restore(self, model: Any) -> list[Any] | None:
        """Put the last state's weights and optimizer into a compiled model; returns the best epoch's weights."""
        state = self._latest()
        if state is None:
            return None
        model.load_weights(state / "best.weights.h5")
        best = model.get_weights()
        model.load_weights(state / "last.weights.h5")
        return best

    def checkpoint(self, model: Any) -> None:
        """Keep the state after an epoch: the new one is whole before the old one goes."""
        if self.folder is None:
            return
        old = self._latest()
        with atomic(self.folder / "state" / f"epoch-{self.state.epoch:05}") as new:
            new.mkdir()
            model.save_weights(new / "last.weights.h5")
            improved = self.state.best_epoch == self.state.epoch
            best = new / "last.weights.h5" if improved or old is None else old / "best.weights.h5"
            shutil.copyfile(best, new / "best.weights.h5")
            (new / "state.json").write_text(json.dumps(vars(self.state)), encoding="utf-8")
        if old:
            shutil.rmtree(old, ignore_errors=True)

    def close(self, status: str, **facts: Any) -> None:
        """Record how the run ended; a run that is done needs its state no longer."""
        if self.folder is None:
            return
        self.record |= {"status": status, "ended": _now(), **facts}
        self._write_record()

    def _write_record(self) -> None:
        assert self.folder
        with atomic(self.folder / "run.json") as new:
            new.write_text(json.dumps(self.record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def differences(before: Any, after: Any, name: str = "") -> Iterator[str]:
    """What differs between two plans, innermost: "recipe.epochs: 10 then, 20 now"."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{name}.{key}".lstrip("."))
    elif before != after:
        yield f"{name}: {before!r} then, {after!r} now"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError: TensorFlow's CPU build has another name, say
            continue
    return found

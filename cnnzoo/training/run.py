"""The folder of a run: whose it is, where it stands, and how it goes on after a stop."""

import json
import platform
import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cnnzoo.errors import InputError, Interrupted
from cnnzoo.files import atomic

OURS = (
    "state",
    "report.json",
    "report.html",
    "predictions.csv",
    "model.keras",
    "model.card.json",
    "doctor.json",
    "doctor.html",
)
LAST, BEST = "last.npz", "best.npz"  # numpy's format: HDF5 takes the process down when the disk is full
LOCK = ".lock"
SCRATCH = (".epoch-", *(f".{name}." for name in (*OURS, "run.json")))  # how cnnzoo.files names what is half written
PACKAGES = ("cnnzoo", "keras", "tensorflow", "numpy", "scikit-learn")


@dataclass
class State:
    """Where training stands after an epoch."""

    epoch: int = 0  # epochs done
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best: tuple[float, float] = (-1.0, 0.0)  # validation accuracy and minus validation loss


class Run:
    """A run's folder, held by one process at a time; or none (folder=None), and then nothing is written.

    A context manager: what ends the block otherwise than well is written into the record.
    """

    def __init__(self, folder: Any, plan: dict[str, Any], *, resume: bool = False, overwrite: bool = False):
        """Claim the folder for `plan`; raises InputError where it holds another run or other things."""
        self.plan, self.state, self.record = plan, State(), dict[str, Any]()
        if resume and overwrite:
            raise InputError("Choose one: resume goes on with the run, overwrite starts it anew")
        if folder is None and resume:
            raise InputError("resume needs the run_dir of the run")
        self.folder = None if folder is None else Path(folder)
        try:
            if self.folder:
                self._claim(self.folder, resume, overwrite)
        except OSError as error:
            raise InputError(f"Cannot use the run directory {str(folder)!r}: {error}") from None

    def _claim(self, folder: Path, resume: bool, overwrite: bool) -> None:
        self._check(folder, resume or overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / LOCK, timeout=0)
        try:
            self.lock.acquire()
        except Timeout:
            raise InputError(f"Another process is at work in {folder}") from None
        try:
            there = self._check(folder, resume or overwrite)
            for scratch in [*folder.glob(".*.*"), *folder.glob("state/.epoch-*")]:  # of a process that was killed
                if scratch.is_dir() and scratch.name.startswith(SCRATCH):
                    shutil.rmtree(scratch)
            if there and resume:
                self._reopen(folder)
            else:
                self._start(folder)
        except BaseException:
            self.lock.release()
            raise

    def _check(self, folder: Path, may_hold_a_run: bool) -> bool:
        """Whether the folder holds a run; raises InputError where it may not."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"The run directory {str(folder)!r} is a file")
        there = (folder / "run.json").is_file()
        if there and not may_hold_a_run:
            how = "resume=True (--resume) goes on with it, overwrite=True (--overwrite) starts anew"
            raise InputError(f"{folder} holds a run already: {how}")
        if not there and folder.exists() and any(entry.name != LOCK for entry in folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no run; choose another run directory")
        return there

    def _start(self, folder: Path) -> None:
        """Clear what an earlier run wrote, its record last, so that a stop in between leaves a run."""
        for name in OURS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        started = {"status": "running", "started": _now(), "command": sys.argv}
        self.record = started | {"plan": self.plan, "versions": versions()}
        self._write_record()

    def _reopen(self, folder: Path) -> None:
        """Take over the record and the last state of a run of the same plan."""
        anew = "; overwrite=True (--overwrite) starts anew"
        try:
            self.record = json.loads((folder / "run.json").read_bytes())
            then, now = flat(self.record["plan"]), flat(json.loads(json.dumps(self.plan)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / 'run.json'} cannot be read: {error}{anew}") from None
        names = [name for name in now if then.get(name) != now[name]]
        if differs := [f"{name}: {then.get(name)!r} then, {now[name]!r} now" for name in names]:
            raise InputError(f"{folder} holds a different run, so it cannot go on: {'; '.join(differs)}")
        if done := self._latest():
            try:
                values = json.loads((done / "state.json").read_bytes())
                self.state = State(**values | {"best": tuple(values["best"])})
                lengths = {len(series) for series in self.state.history.values()}
                if (lengths or {0}) != {self.state.epoch}:
                    raise ValueError("the history is not as long as the epochs")
            except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
                raise InputError(f"{done / 'state.json'} cannot be read: {error}{anew}") from None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind:
                self.close("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")
        except OSError:
            pass  # the disk is full, say, and that is what is being reported
        finally:
            if self.folder:
                self.lock.release()
        if kind and issubclass(kind, KeyboardInterrupt):
            done = f"Stopped; {self.state.epoch} of {self.plan['recipe']['epochs']} epochs are done"
            how = "the same call with resume=True, or command with --resume, goes on"
            kept = f"and kept in {self.folder}: {how}" if self.folder else "but there is no run_dir"
            raise Interrupted(f"{done} {kept}") from None

    def _latest(self) -> Path | None:
        """The newest complete state; a rename makes each appear whole."""
        states = sorted((self.folder / "state").glob("epoch-*")) if self.folder else []
        return states[-1] if states else None

    def restore(self, model: Any) -> list[Any] | None:
        """Put the last state into a compiled model and its optimizer; returns the best epoch's weights."""
        state = self._latest()
        if state is None:
            return None
        assign(model, state / BEST)
        best = model.get_weights()
        assign(model, state / LAST)
        return best

    def checkpoint(self, model: Any) -> None:
        """Keep the state after an epoch: the new one is whole before the old one goes."""
        if self.folder is None:
            return
        old = self._latest()
        with atomic(self.folder / "state" / f"epoch-{self.state.epoch:05}") as new:
            new.mkdir()
            np.savez(new / LAST, *map(np.asarray, _variables(model)))
            improved = self.state.best_epoch == self.state.epoch
            shutil.copyfile(new / LAST if improved or old is None else old / BEST, new / BEST)
            (new / "state.json").write_text(json.dumps(vars(self.state)), encoding="utf-8")
        if old:
            shutil.rmtree(old, ignore_errors=True)

    def close(self, status: str, **facts: Any) -> None:
        """Record how the run ended."""
        if self.folder is None:
            return
        self.record |= {"status": status, "ended": _now(), **facts}
        self._write_record()

    def _write_record(self) -> None:
        assert self.folder
        with atomic(self.folder / "run.json") as new:
            new.write_text(json.dumps(self.record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _variables(model: Any) -> list[Any]:
    """All that a compiled model and its optimizer remember."""
    return [*model.variables, *model.optimizer.variables]


def assign(model: Any, file: Path) -> None:
    """Set a compiled model and its optimizer to a kept state; raises InputError where the file is broken."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            for variable, name in zip(_variables(model), kept.files, strict=True):
                variable.assign(kept[name])
    except Exception as error:  # numpy raises whatever a torn file makes it raise
        raise InputError(f"The state {file} cannot be read: {error}; overwrite=True starts anew") from None


def flat(plan: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted names: {"recipe": {"epochs": 3}} gives {"recipe.epochs": 3}."""
    rows: dict[str, Any] = {}
    for key, value in plan.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Python, the machine and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError: TensorFlow's CPU build has another name, say
            continue
    return found

"""The folder of a run: its plan, its progress, and how it is resumed after an interruption."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from filelock import FileLock, Timeout

from cnnzoo.core.errors import BusyError, InputError, Interrupted
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.core.paths import check_path
from cnnzoo.core.text import format_count
from cnnzoo.data.fix_list import FIX_LIST_FILE, LABELS_FILE
from cnnzoo.data.training_images import TRAINING_IMAGES_FILE
from cnnzoo.training import state
from cnnzoo.training.state import RESTART_HINT, TrainingState

if TYPE_CHECKING:
    import keras
    import numpy as np

TRACKING_FILE = "tracking.json"  # the run of an experiment tracker, which a resumed run continues
RUN_FILES = (
    "state",
    "report.json",
    "report.html",
    "predictions.csv",
    LABELS_FILE,
    "model.keras",
    "model.card.json",
    TRAINING_IMAGES_FILE,
    FIX_LIST_FILE,
    "doctor.json",
    "doctor.html",
    "lr_find.png",
    "tensorboard",
    TRACKING_FILE,
)
LOCK_FILE = ".lock"
LOCK_SECONDS = 0.2  # that a run waits for the lock of its folder
# The batches and images of a seed: 1 up to cnnzoo 0.9; 2 since 0.10, with full batches and augmentation per image
NUMERICS, NUMERICS_SINCE = 2, "0.10"
RECORD_FIELDS = {"status": str, "plan": dict[str, Any]}  # of run.json
OPTIONAL_RECORD_FIELDS = {
    "failure": dict[str, Any],
    "numerics": int,
    "notes": list[str],
    "started": str,
    "ended": str,
    "command": list[str],
    "folder": str,
    "versions": dict[str, str],
    "seconds": float,
    "fingerprints": dict[str, str],
    "parameters": int,
    "figures": dict[str, Any],
}
# Prefixes of the temporary folders of core.files.atomic_write
SCRATCH_PREFIXES = (".step-", *(f".{name}." for name in (*RUN_FILES, "run.json")))
RECORDED_PACKAGES = ("cnnzoo", "keras", "tensorflow", "numpy", "scikit-learn")
COMMAND_LINE: ContextVar[Sequence[str]] = ContextVar("COMMAND_LINE", default=())  # the arguments of `cnnzoo`, if used


class Run:
    """A run and its folder, which one process at a time may use. Without a folder, nothing is written.

    A context manager: it releases the folder, and records an interruption or a failure in run.json.

    Attributes:
        folder: the run's folder, or None.
        plan: everything that the run's numbers depend on; see `training.plan`.
        state: the progress of the training.
        record: the content of run.json.
        started: when this process began the work on the run, by `time.perf_counter`.
    """

    files: ClassVar[tuple[str, ...]] = RUN_FILES

    def __init__(
        self,
        folder: str | PathLike[str] | None,
        plan: dict[str, Any],
        notes: Sequence[str] = (),
        *,
        resume: bool | None = None,
        overwrite: bool = False,
    ) -> None:
        """Claim `folder` for the run of `plan`: start it, or resume it if the folder holds an unfinished run of it.

        Args:
            folder: the run's folder, which is created if necessary; None writes nothing.
            plan: the plan of the run.
            notes: notes for the reader of the report; a resumed run keeps the notes of its start.
            resume: True resumes a finished run too; False resumes no run.
            overwrite: delete the files of an earlier run and start again.

        Raises:
            InputError: if the folder holds a different run or other files, or cannot be used.
            BusyError: if another process uses the folder.
        """
        self.plan, self.state, self.record = plan, TrainingState(), dict[str, Any](notes=list(notes))
        self.started = time.perf_counter()
        if resume and overwrite:
            raise InputError("Pass either resume, which continues the run, or overwrite, which replaces it")
        if folder is None and resume:
            raise InputError("resume needs the run_dir of the run")
        self.folder = None if folder is None else check_path(folder, "run_dir")
        try:
            if self.folder:
                self._claim(self.folder, resume, overwrite)
        except OSError as error:
            raise InputError(f"Cannot use the run directory {str(folder)!r}: {error}") from None

    def _claim(self, folder: Path, resume: bool | None, overwrite: bool) -> None:
        """Lock the folder, then start or reopen its run."""
        check_run_dir(folder, resume, overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / LOCK_FILE)
        try:
            # `cnnzoo board` holds the lock for a moment, to see whether it is free
            self.lock.acquire(timeout=LOCK_SECONDS, poll_interval=LOCK_SECONDS / 10)
        except Timeout:
            raise BusyError(f"Another process is using {folder}") from None
        try:
            # Check again: another process may have used the folder before it was locked.
            holds_run = check_run_dir(folder, resume, overwrite)
            self._remove_scratch(folder)
            if holds_run and not overwrite:
                self._reopen(folder)
            else:
                self._start(folder)
        except BaseException:
            self.lock.release()
            raise

    def _remove_scratch(self, folder: Path) -> None:
        """Delete the temporary folders and the older states that a killed process left."""
        prefixes = (*SCRATCH_PREFIXES, *(f".{name}." for name in self.files))
        for path in [*folder.glob(".*.*"), *folder.glob("state/.step-*")]:
            if path.is_dir() and path.name.startswith(prefixes):
                shutil.rmtree(path)
        state.remove_old_states(folder / "state")

    def _start(self, folder: Path) -> None:
        """Delete the files of an earlier run and write a new record.

        The old record is replaced last, so that a folder whose files are half deleted still counts as a run.
        """
        for name in self.files:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.record |= {
            "status": "running",
            "started": _utc_now(),
            "command": COMMAND_LINE.get() or sys.argv,
            "folder": str(Path.cwd()),
            "plan": self.plan,
            "numerics": NUMERICS,
            "versions": installed_versions(),
        }
        self._write_record()

    def _reopen(self, folder: Path) -> None:
        """Read the record and the last state of a run of the same plan."""
        self.record |= read_record(folder, RESTART_HINT)
        if differences := plan_differences(self.record["plan"], self.plan):
            raise InputError(
                f"{folder} holds a different run, so it cannot be resumed: {'; '.join(differences)}; {RESTART_HINT}"
            )
        if self.latest:
            self.state = state.read_state(self.latest)
        self._check_numerics(folder)

    def _check_numerics(self, folder: Path) -> None:
        """Check that the rest of the training gets the batches of its first part; raise `InputError` if it does not.

        A run whose training has ended can still be evaluated.
        """
        if self.record.get("numerics", 1) == NUMERICS:
            return
        if self.is_trained:
            return
        if not self.is_begun:
            self.record["numerics"] = NUMERICS
            return
        version = self.record.get("versions", {}).get("cnnzoo", "another version")
        raise InputError(
            f"{folder} was interrupted under cnnzoo {version}, and cannot be continued: since cnnzoo {NUMERICS_SINCE}, "
            "training batches have other images and other augmentation. Complete it with the version that began it "
            f'(pip install "cnnzoo=={version}"); {RESTART_HINT}'
        )

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds a part of the training."""
        return self.latest is not None

    @property
    def is_trained(self) -> bool:
        """Whether the training has ended, so that only its evaluation may be missing."""
        return self.record["status"] == "done" or self.state.stopped or self.state.epoch >= self.epochs

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        try:
            if kind:
                facts = {} if interrupted else self._describe_failure(error)
                self.close("interrupted" if interrupted else "failed", **facts)
        except (OSError, InputError):
            pass  # the disk may be full, and the error of the block says so
        finally:
            if self.folder:
                self.lock.release()
        if interrupted:
            raise Interrupted(f"Stopped; {self.progress()} {self.describe_kept_state()}") from None

    def describe_kept_state(self) -> str:
        """Return where the progress of an interrupted run is kept, as a phrase."""
        kept = f"and kept in {self.folder}: the same call or command resumes the run"
        return kept if self.folder else "but not kept, as there is no run_dir"

    def kept_weights(self) -> dict[str, Any]:
        """Return which weights the run keeps if it fails now: their epoch, 0 for the start, and their name."""
        best = self.state.best_epoch
        if self.state.probe:
            return {"epoch": None, "weights": "the linear probe"}
        return {"epoch": best, "weights": f"epoch {best} of {self.epochs}" if best else "the start"}

    def _describe_failure(self, error: BaseException | None) -> dict[str, Any]:
        """Return what run.json says about a failure: its reason, and which weights are kept."""
        return {"failure": {"reason": failure_reason(error), **self.kept_weights()}}

    @property
    def epochs(self) -> int:
        """The number of epochs of the run: that of the recipe, or what its time budget allows."""
        return self.state.epochs or int(self.plan["recipe"]["epochs"])

    def progress(self) -> str:
        """Return how much of the run is done, as a phrase."""
        steps = f" and {format_count(self.state.step, 'step')}" if self.state.step else ""
        return f"{self.state.epoch} of {format_count(self.epochs, 'epoch')}{steps} are done"

    @property
    def latest(self) -> Path | None:
        """The folder of the last saved state, if there is one."""
        return state.find_latest_state(self.folder / "state") if self.folder else None

    def checkpoint(
        self,
        model: keras.Model,
        steps: int,
        best: list[np.ndarray] | None,
        start: list[np.ndarray] | None = None,
    ) -> None:
        """Save the state after `steps` steps, if there is a folder; see `state.write_state`."""
        if self.folder:
            state.write_state(self.folder / "state", self.state, steps, model, best, start)

    def add_note(self, note: str) -> None:
        """Add a note for the reader of the report."""
        self.record["notes"].append(note)
        if self.folder:
            self._write_record()

    def add_facts(self, **facts: Any) -> None:
        """Add facts about the run to run.json, unless they are there already."""
        if self.record | facts == self.record:
            return
        self.record |= facts
        if self.folder:
            self._write_record()

    def close(self, status: str, **facts: Any) -> None:
        """Record how the run ended: "done", "interrupted" or "failed", with `facts`, and its seconds in all."""
        if self.folder is None:
            return
        self.record.pop("failure", None)  # of an earlier attempt
        seconds = self.record.get("seconds", 0.0) + time.perf_counter() - self.started
        self.record |= {"status": status, "ended": _utc_now(), "seconds": round(seconds, 1), **facts}
        self._write_record()

    def _write_record(self) -> None:
        """Write run.json."""
        assert self.folder
        write_json(self.folder / "run.json", self.record, indent=1)


def read_record(folder: Path, remedy: str = "") -> dict[str, Any]:
    """Return the content of the run.json of a run or a search; raise `InputError`, with `remedy`, if it is broken."""
    return read_json(folder / "run.json", RECORD_FIELDS, OPTIONAL_RECORD_FIELDS, remedy=remedy)


def check_run_dir(run_dir: str | PathLike[str] | None, resume: bool | None, overwrite: bool) -> bool:
    """Return whether the folder holds a run that may be resumed or overwritten.

    Raises:
        InputError: if it holds a run that may not, or other files, or is a file.
    """
    if run_dir is None:
        return False
    folder = check_path(run_dir, "run_dir")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The run directory {str(folder)!r} is a file")
    holds_run = (folder / "run.json").is_file()
    if holds_run and not overwrite and (resume is False or (resume is None and _has_ended(folder))):
        raise InputError(
            f"{folder} already holds a run: resume=True (--resume) continues an interrupted run or evaluates a "
            "finished one again, overwrite=True (--overwrite) replaces it"
        )
    own_prefixes = (LOCK_FILE, *SCRATCH_PREFIXES)
    if not holds_run and folder.exists() and any(not e.name.startswith(own_prefixes) for e in folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no run; choose another run directory")
    return holds_run


def _has_ended(folder: Path) -> bool:
    """Return whether the run of a folder is finished; one with a broken record counts as finished."""
    try:
        return bool(read_record(folder)["status"] == "done")
    except InputError:
        return True


def plan_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs between two plans, such as "seed: 0 before, 1 now"."""
    old, new = flatten_dict(before), flatten_dict(json.loads(json.dumps(now)))
    names = [name for name in new if old.get(name) != new[name]]
    return [f"{name}: {old.get(name)!r} before, {new[name]!r} now" for name in names]


def flatten_dict(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names: {"recipe": {"epochs": 3}} becomes {"recipe.epochs": 3}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten_dict(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def failure_reason(error: BaseException | None) -> str:
    """Return the first part of an error's message, before the remedies."""
    return (str(error).partition(";")[0] or type(error).__name__)[:500]


def _utc_now() -> str:
    """Return the date and time as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, the machine and the packages that a run's numbers depend on."""
    versions = {"python": platform.python_version(), "machine": platform.platform()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except ModuleNotFoundError:  # not installed under this name, such as TensorFlow's CPU build
            continue
    return versions

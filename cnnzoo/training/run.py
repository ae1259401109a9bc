"""The folder of a run: whose it is, where it stands, and how it goes on after a stop."""

import json
import platform
import shutil
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from cnnzoo.core.errors import BusyError, InputError, Interrupted
from cnnzoo.core.files import atomic_write
from cnnzoo.training import state
from cnnzoo.training.state import RESTART_HINT, TrainingState

RUN_FILES = (
    "state",
    "report.json",
    "report.html",
    "predictions.csv",
    "model.keras",
    "model.card.json",
    "doctor.json",
    "doctor.html",
    "lr_find.png",
    "tensorboard",
)
LOCK_FILE = ".lock"
SCRATCH_PREFIXES = (
    ".step-",
    *(f".{name}." for name in (*RUN_FILES, "run.json")),
)  # how cnnzoo.core.files names what is half written
RECORDED_PACKAGES = ("cnnzoo", "keras", "tensorflow", "numpy", "scikit-learn")
COMMAND_LINE: ContextVar[Sequence[str]] = ContextVar("COMMAND", default=())  # what the command line was asked


class Run:
    """A run's folder, held by one process at a time; or none (folder=None), and then nothing is written.

    A context manager: what ends the block otherwise than well is written into the record.
    """

    OURS: ClassVar[tuple[str, ...]] = RUN_FILES

    def __init__(
        self,
        folder: Any,
        plan: dict[str, Any],
        notes: Sequence[str] = (),
        *,
        resume: bool | None = None,
        overwrite: bool = False,
    ) -> None:
        """Claim the folder for `plan`; raises InputError where it holds another run or other things.

        Notes of its start are those of the whole run.
        A run of the same plan that has not ended goes on, unless `resume` is False; one that has, where it is True.
        """
        self.plan, self.state, self.record = plan, TrainingState(), dict[str, Any](notes=list(notes))
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

    def _claim(self, folder: Path, resume: bool | None, overwrite: bool) -> None:
        check_run_dir(folder, resume, overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / LOCK_FILE, timeout=0)
        try:
            self.lock.acquire()
        except Timeout:
            raise BusyError(f"Another process is at work in {folder}") from None
        try:
            there = check_run_dir(folder, resume, overwrite)
            for scratch in [*folder.glob(".*.*"), *folder.glob("state/.step-*")]:  # of a process that was killed
                if scratch.is_dir() and scratch.name.startswith(
                    (*SCRATCH_PREFIXES, *(f".{name}." for name in self.OURS))
                ):
                    shutil.rmtree(scratch)
            if there and not overwrite:
                self._reopen(folder)
            else:
                self._start(folder)
        except BaseException:
            self.lock.release()
            raise

    def _start(self, folder: Path) -> None:
        """Clear what an earlier run wrote, its record last, so that a stop in between leaves a run."""
        for name in self.OURS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        started = {
            "status": "running",
            "started": _utc_now(),
            "command": COMMAND_LINE.get() or sys.argv,
            "folder": str(Path.cwd()),
        }
        self.record |= started | {"plan": self.plan, "versions": installed_versions()}
        self._write_record()

    def _reopen(self, folder: Path) -> None:
        """Take over the record and the last state of a run of the same plan."""
        try:
            self.record |= json.loads((folder / "run.json").read_bytes())
            differs = plan_differences(self.record["plan"], self.plan)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / 'run.json'} cannot be read: {error}; {RESTART_HINT}") from None
        if differs:
            raise InputError(
                f"{folder} holds a different run, so it cannot go on: {'; '.join(differs)}; {RESTART_HINT}"
            )
        if self.latest:
            self.state = state.read_state(self.latest)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind:
                self.close("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")
        except (OSError, InputError):
            pass  # the disk is full, say, and that is what is being reported
        finally:
            if self.folder:
                self.lock.release()
        if kind and issubclass(kind, KeyboardInterrupt):
            how = "the same call or command goes on"
            kept = f"and kept in {self.folder}: {how}" if self.folder else "but there is no run_dir"
            raise Interrupted(f"Stopped; {self.so_far()} {kept}") from None

    def so_far(self) -> str:
        """What is done, for one who stops."""
        part = f" and {self.state.step} steps" if self.state.step else ""
        return f"{self.state.epoch} of {self.plan['recipe']['epochs']} epochs{part} are done"

    @property
    def latest(self) -> Path | None:
        """The newest state, where the run has one."""
        return self.folder and state.find_latest_state(self.folder / "state")

    def checkpoint(self, model: Any, steps: int, best: list[Any] | None) -> None:
        """Keep the state after `steps` steps; see `state.write`."""
        if self.folder:
            state.write_state(self.folder / "state", self.state, steps, model, best)

    def close(self, status: str, **facts: Any) -> None:
        """Record how the run ended."""
        if self.folder is None:
            return
        self.record |= {"status": status, "ended": _utc_now(), **facts}
        self._write_record()

    def _write_record(self) -> None:
        assert self.folder
        with atomic_write(self.folder / "run.json") as new:
            new.write_text(json.dumps(self.record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_run_dir(place: Any, resume: bool | None, overwrite: bool) -> bool:
    """Whether the folder, if any, holds a run; raises InputError where it may not."""
    if place is None:
        return False
    folder = Path(place)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The run directory {str(folder)!r} is a file")
    there = (folder / "run.json").is_file()
    if there and not overwrite and (resume is False or (resume is None and _has_ended(folder))):
        how = "resume=True (--resume) goes on with it, overwrite=True (--overwrite) starts anew"
        raise InputError(f"{folder} holds a run already: {how}")
    if (
        not there
        and folder.exists()
        and any(not entry.name.startswith((LOCK_FILE, *SCRATCH_PREFIXES)) for entry in folder.iterdir())
    ):
        raise InputError(f"{folder} is not empty and holds no run; choose another run directory")
    return there


def _has_ended(folder: Path) -> bool:
    """Whether the run of a folder came to its end; one whose record is broken counts as such."""
    try:
        return json.loads((folder / "run.json").read_bytes())["status"] == "done"
    except (ValueError, LookupError, TypeError):
        return True


def plan_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not as it was in two plans."""
    before, after = flatten_dict(then), flatten_dict(json.loads(json.dumps(now)))
    names = [name for name in after if before.get(name) != after[name]]
    return [f"{name}: {before.get(name)!r} then, {after[name]!r} now" for name in names]


def flatten_dict(plan: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted names: {"recipe": {"epochs": 3}} gives {"recipe.epochs": 3}."""
    rows: dict[str, Any] = {}
    for key, value in plan.items():
        rows |= flatten_dict(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def installed_versions() -> dict[str, str]:
    """Python, the machine and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "machine": platform.platform()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError: TensorFlow's CPU build has another name, say
            continue
    return found

"""Track a run with MLflow, Weights & Biases or TensorBoard, without ever waiting for them during training.

A thread hands what is new to the process of the tracker (`training.trackers.serve`). What fails is tried again after
the next epoch, and at the end of the run, which waits for the tracker for a bounded time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
from markupsafe import escape

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json, write_json
from cnnzoo.core.processes import is_main_process
from cnnzoo.core.progress import show_progress
from cnnzoo.core.warn import warn_caller
from cnnzoo.training.progress import Logs, tell
from cnnzoo.training.run import RUN_FILES, TRACKING_FILE, Run
from cnnzoo.training.trackers import wait_seconds

CODE = "import sys; from cnnzoo.training import trackers; trackers.serve(sys.argv[1])"
SECONDS_AFTER_INTERRUPT = 10.0  # at most, that Ctrl-C waits for a tracker
SECONDS_TO_EXIT = 10.0  # that the process of a tracker may take after its last call
SEARCH_LEVELS = 4  # between the folder of a search and those of its runs, at most
BYTES_PER_SECOND = 1e6  # a slower upload of the run's files is given up
NOT_SENT = (
    "state",
    "tensorboard",
    TRACKING_FILE,
)  # of the files of a run: as large as the model several times, or sent already
MAX_REASON = 300  # characters of a warning
TRACKING_FIELDS = {"tracker": str, "id": str, "epochs": int, "has_params": bool}
PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
TEXT_SUFFIXES = (".json", ".html")  # of files that hold the command of a training
MIN_SECRET = 6  # letters; the value of a variable that is shorter is no secret


class TrackerError(Exception):
    """A call of a tracker has failed, or its process has ended."""


@dataclass(frozen=True)
class Progress:
    """What the tracker shall know of a run.

    Attributes:
        history: the metrics of all epochs so far.
        summary: the figures of the finished run, or empty.
        status: how the run has ended; "" as long as it trains.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    summary: dict[str, float] = field(default_factory=dict)
    status: str = ""


class Tracking:
    """The tracker of a run; without a name, or in all processes but rank 0, it does nothing.

    Attributes:
        name: "mlflow", "wandb" or "tensorboard"; "" for none.
        problem: why the last call failed; "" if it did not.
    """

    def __init__(self, name: str | None, run: Run, verbose: bool = True) -> None:
        """Prepare to track `run`, which may have been tracked before."""
        self.name = name if name and is_main_process() else ""
        self.run, self.verbose = run, verbose
        self.problem, self.has_warned = "", False
        self.id, self.epochs_sent, self.has_params = self._read_file()
        self._params: dict[str, Any] = {}
        self._find_rate: Callable[[int], float] | None = None
        self._rates: list[float] = []  # learning rates of the epochs
        self._active_id = find_active_run(self.name)
        self._process: subprocess.Popen[str] | None = None
        self._has_begun = self._is_started = self._is_abandoned = False
        self._has_news, self._progress = threading.Event(), Progress()
        self._thread = threading.Thread(target=self._follow, name="tracking", daemon=True)

    # In the thread of the training

    def begin(self, params: Mapping[str, Any]) -> None:
        """Start the tracker, with the settings of the run."""
        if self.name:
            self._params = dict(params)
            self._tell_tracker(Progress())  # epochs of an earlier part follow, once their learning rates are known
            self._thread.start()
            self._has_begun = True

    def callbacks(self, find_rate: Callable[[int], float] | None = None) -> list[keras.callbacks.Callback]:
        """Return the callback that sends the metrics of each epoch, in a list.

        Args:
            find_rate: returns the learning rate of an epoch, counted from 0.
        """
        self._find_rate = find_rate
        return [TrackingCallback(self)] if self.name else []

    def send_epoch(self) -> None:
        """Send the metrics of the epochs that the tracker does not have yet."""
        self._tell_tracker(Progress(self._copy_history()))
        self._warn_once()

    def end(self, status: str, summary: Mapping[str, float] | None = None) -> None:
        """Send the rest, with the figures and the files of a finished run, and wait for it a bounded time."""
        if not self._has_begun or self._is_abandoned:
            return
        seconds = wait_seconds() if status != "interrupted" else min(wait_seconds(), SECONDS_AFTER_INTERRUPT)
        if status == "finished" and self.run.folder:
            seconds += sum(path.stat().st_size for path in list_artifacts(self.run.folder)) / BYTES_PER_SECOND
        self._tell_tracker(Progress(self._copy_history(), dict(summary or {}), status))
        with show_progress(f"Sending the run to {self.name}", verbose=self.verbose):
            self._thread.join(seconds)
        if self._thread.is_alive():
            self.problem = self.problem or f"no answer within {seconds:.0f} seconds"
        self._is_abandoned = True
        self._end_process()
        self._warn_once()
        if not self.problem:
            where = f"in {self.run.folder}/{self.id}" if self.name == "tensorboard" else f"as the run {self.id}"
            tell(f"Tracked with {self.name} {where}", self.verbose)

    def _copy_history(self) -> dict[str, list[float]]:
        """Return the metrics of the epochs so far, and their learning rates."""
        history = {name: list(values) for name, values in self.run.state.history.items()}
        epochs = len(history.get("loss", ()))
        if self._find_rate is None or not epochs:
            return history
        self._rates += [self._find_rate(epoch) for epoch in range(len(self._rates), epochs)]
        return history | {"learning_rate": self._rates[:epochs]}

    def _tell_tracker(self, progress: Progress) -> None:
        self._progress = progress
        self._has_news.set()

    def _warn_once(self) -> None:
        """Warn once if a call has failed. Training goes on, even if warnings are errors."""
        if self.problem and not self.has_warned:
            self.has_warned = True
            reason = hide_secrets(self.problem)[:MAX_REASON]
            kept = f"; {self.run.folder} has all figures" if self.run.folder else ""
            with contextlib.suppress(Warning):
                warn_caller(f"Tracking with {self.name} failed: {reason}. The training is not affected{kept}")

    # In the thread of the tracker

    def _follow(self) -> None:
        """Send each new progress, until the run has ended."""
        while not self._is_abandoned:
            self._has_news.wait()
            self._has_news.clear()
            progress = self._progress
            try:
                self._send(progress)
                self.problem = ""
            except Exception as error:  # TrackerError, or a fault of this file, which must not end training either
                self.problem = self.problem or (str(error) or type(error).__name__)
            if progress.status:
                self._end_run(progress.status)
                return

    def _end_run(self, status: str) -> None:
        """Tell the tracker how the run has ended."""
        try:
            if self._is_started:
                self._call("end", status=status)
        except Exception as error:
            self.problem = self.problem or str(error)

    def _send(self, progress: Progress) -> None:
        """Send what the tracker does not have yet; raise TrackerError at the first call that fails."""
        if not self._is_started:
            self._start()
        if not self.has_params:
            self._call("log_params", params=self._params)
            self.has_params = True
        epochs = len(progress.history.get("loss", ()))
        for epoch in range(self.epochs_sent, epochs):
            metrics = {name: values[epoch] for name, values in progress.history.items()}
            self._call("log_metrics", metrics=keep_finite(metrics), step=epoch + 1)
            self.epochs_sent = epoch + 1
        self._write_file()
        if progress.summary:
            self._call("log_summary", metrics=keep_finite(progress.summary), step=epochs)
            if self.run.folder:
                with copy_artifacts(self.run.folder) as folder:
                    self._call("log_artifacts", folder=str(folder))

    def _start(self) -> None:
        """Start or resume the run of the tracker, and keep its id."""
        folder = self.run.folder
        run = {
            "id": self.id,
            "active": self._active_id,
            "name": name_run(folder) if folder else str(self.run.plan["model"]),
            "folder": str(folder.absolute()) if folder else None,
        }
        self.id, is_new = self._call("start", run=run)
        self._is_started = True
        if is_new:
            self.epochs_sent, self.has_params = 0, False
        self._write_file()

    def _call(self, call: str, **arguments: Any) -> Any:
        """Let the tracker's process make a call; return its result, or raise TrackerError."""
        if self._is_abandoned:
            raise TrackerError("the run has ended")
        if self._process is None:
            self._process = start_process(self.name)
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self._process.wait()
            close_pipes(self._process)
            self._process, self._is_started = None, False
            raise TrackerError(f"its process has ended with code {code}")
        answer = json.loads(line)
        if "error" in answer:
            raise TrackerError(answer["error"])
        return answer["result"]

    def _end_process(self) -> None:
        """End the process of the tracker, and those that it has started in its session."""
        process = self._process
        if process is None:
            return
        is_hanging = self._thread.is_alive()
        if not is_hanging:
            close_pipes(process)  # which ends it
            try:
                process.wait(SECONDS_TO_EXIT)
            except subprocess.TimeoutExpired:
                is_hanging = True
        if is_hanging:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()
            self._thread.join()
            close_pipes(process)

    # The file that a resumed run goes on with

    def _read_file(self) -> tuple[str | None, int, bool]:
        """Return the id of the earlier part of the run, its number of epochs, and whether its settings were sent."""
        if self.name and self.run.folder:
            with contextlib.suppress(InputError):
                earlier = read_json(self.run.folder / TRACKING_FILE, TRACKING_FIELDS)
                if earlier["tracker"] == self.name and earlier["epochs"] >= 0:
                    return earlier["id"], earlier["epochs"], earlier["has_params"]
        return None, 0, False

    def _write_file(self) -> None:
        if self.run.folder and not self._is_abandoned:
            facts = {"tracker": self.name, "id": self.id, "epochs": self.epochs_sent, "has_params": self.has_params}
            with contextlib.suppress(InputError):
                write_json(self.run.folder / TRACKING_FILE, facts)


class TrackingCallback(keras.callbacks.Callback):
    """Sends the metrics of each epoch, which the run has recorded already."""

    def __init__(self, tracking: Tracking) -> None:
        super().__init__()
        self.tracking = tracking

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.tracking.send_epoch()


@contextlib.contextmanager
def track_run(name: str | None, run: Run, verbose: bool) -> Iterator[Tracking]:
    """Yield the tracker of a run, which also learns how the block ends."""
    tracking = Tracking(name, run, verbose)
    try:
        yield tracking
    except KeyboardInterrupt:
        tracking.end("interrupted")
        raise
    except BaseException:
        tracking.end("failed")
        raise


def name_run(folder: Path) -> str:
    """Return the name of a run for people: that of its folder, or "search/trials/3" for a trial of a search."""
    folder = folder.absolute()
    for search in list(folder.parents)[:SEARCH_LEVELS]:
        if (search / "run.json").is_file():
            return f"{search.name}/{folder.relative_to(search).parent.as_posix()}"
    return folder.name


def start_process(name: str) -> subprocess.Popen[str]:
    """Start the process that makes the calls of a tracker."""
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    environment = os.environ | {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("WANDB_SERVICE", None)  # that of a run which the program itself has begun
    return subprocess.Popen(
        [sys.executable, "-P", "-c", CODE, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C reaches only the training
    )


def close_pipes(process: subprocess.Popen[str]) -> None:
    """Close both pipes to a process; what could not be written any more is dropped."""
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe:
                pipe.close()


def find_active_run(name: str) -> str | None:
    """Return the id of the MLflow run that the program has begun, in which the training is then tracked."""
    mlflow = sys.modules.get("mlflow") if name == "mlflow" else None
    try:
        active = mlflow.active_run() if mlflow else None
        return str(active.info.run_id) if active else None
    except Exception:  # of another package
        return None


def keep_finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without NaN and infinity, which JSON and some trackers cannot hold."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def hide_secrets(text: str) -> str:
    """Return a text without passwords in addresses and without the values of variables such as WANDB_API_KEY."""
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and len(value) >= MIN_SECRET:
            # As it is, as JSON writes it, and as a page does
            in_json = (json.dumps(value, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
            for written in (value, *in_json, str(escape(value))):
                text = text.replace(written, "***")
    return PASSWORD.sub("***@", text)


def list_artifacts(folder: Path) -> list[Path]:
    """Return the files of a run that a tracker gets."""
    names = [name for name in (*RUN_FILES, "run.json") if name not in NOT_SENT]
    return [folder / name for name in names if (folder / name).is_file()]


@contextlib.contextmanager
def copy_artifacts(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder with the files of a run, in which no secret is left."""
    with tempfile.TemporaryDirectory(prefix="cnnzoo-track-") as copies:
        for path in list_artifacts(folder):
            if path.suffix in TEXT_SUFFIXES:
                text = path.read_text(encoding="utf-8", errors="surrogateescape")
                Path(copies, path.name).write_text(hide_secrets(text), encoding="utf-8", errors="surrogateescape")
            else:
                shutil.copyfile(path, Path(copies, path.name))
        yield Path(copies)

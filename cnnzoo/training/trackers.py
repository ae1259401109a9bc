"""Experiment trackers, by their plain calls: MLflow, Weights & Biases, TensorBoard; and the process that calls them.

A tracker may hang, wait for a network, draw random numbers or end its process. So its calls are made in a process of
its own, which `training.tracking` starts and can end; training itself never waits for it. This file imports a tracker's
package in that process only, and Keras never.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.extras import install_command

PARAMS_PER_CALL, PARAM_LENGTH = 100, 500  # MLflow's limits
WANDB_PROJECT = "cnnzoo"  # unless WANDB_PROJECT names another one
EVENT_FOLDER = "tensorboard"  # in the folder of the run
SECONDS_VARIABLE, DEFAULT_SECONDS = "CNNZOO_TRACK_SECONDS", 60.0  # how long the end of a run waits for its tracker
SECONDS_BETWEEN_LOOKS = 1.0  # whether the training still runs


class Tracker(Protocol):
    """What every tracker does. `status` at its end is "finished", "interrupted" or "failed"."""

    def start(self, run: Mapping[str, Any]) -> tuple[str, bool]:
        """Start or resume a run; return its id, and whether nothing of it is there yet.

        Args:
            run: "id" of the run to resume, or None; "active", the id of a run that the caller has begun, or None;
                "name"; and "folder", the absolute path of the run's folder, or None.
        """

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log the settings of the run."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics of an epoch, counted from 1."""

    def log_summary(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the figures of the whole run."""

    def log_artifacts(self, folder: str) -> None:
        """Log all files in a folder."""

    def end(self, status: str) -> None:
        """End the run, or this part of it."""


class MlflowTracker:
    """Calls MLflow; the environment, or the program, says where its store is."""

    STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}  # noqa: RUF012

    def start(self, run: Mapping[str, Any]) -> tuple[str, bool]:
        import mlflow

        self.mlflow, self.ends_run = mlflow, not run["active"]
        if earlier := run["active"] or run["id"]:
            try:
                mlflow.start_run(run_id=earlier)
                return earlier, run["id"] is None
            except mlflow.exceptions.MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        started = mlflow.start_run(run_name=run["name"])
        return str(started.info.run_id), True

    def log_params(self, params: Mapping[str, Any]) -> None:
        rows = [(name, str(value)[:PARAM_LENGTH]) for name, value in params.items()]
        for start in range(0, len(rows), PARAMS_PER_CALL):
            self.mlflow.log_params(dict(rows[start : start + PARAMS_PER_CALL]))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.mlflow.log_metrics(dict(metrics), step=step)

    log_summary = log_metrics

    def log_artifacts(self, folder: str) -> None:
        self.mlflow.log_artifacts(folder)

    def end(self, status: str) -> None:
        if self.ends_run:
            self.mlflow.end_run(self.STATUS[status])


class WandbTracker:
    """Calls Weights & Biases; WANDB_PROJECT, WANDB_MODE and its other variables apply."""

    def start(self, run: Mapping[str, Any]) -> tuple[str, bool]:
        import wandb

        self.wandb, earlier = wandb, run["id"]
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or WANDB_PROJECT,
            id=earlier,
            name=run["name"],
            resume="allow" if earlier else None,
            settings=wandb.Settings(silent=True, console="off"),
        )
        # Each part of an offline run has a folder of its own, which shall be complete.
        return str(self.run.id), earlier is None or self.run.offline or not self.run.resumed

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.run.config.update(dict(params), allow_val_change=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.run.log(dict(metrics), step=step, commit=True)

    def log_summary(self, metrics: Mapping[str, float], step: int) -> None:
        self.run.summary.update(dict(metrics))

    def log_artifacts(self, folder: str) -> None:
        artifact = self.wandb.Artifact(f"run-{self.run.id}", type="run")
        artifact.add_dir(folder)
        self.run.log_artifact(artifact)

    def end(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == "finished" else 1)


class TensorBoardTracker:
    """Writes event files into the folder of the run, without TensorFlow."""

    def start(self, run: Mapping[str, Any]) -> tuple[str, bool]:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary, self.name = event_pb2.Event, summary_pb2.Summary, run["name"]
        folder = Path(run["folder"], EVENT_FOLDER)
        is_new = not any(folder.glob("events.out.tfevents.*"))
        folder.mkdir(exist_ok=True)
        file = folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.writer = RecordWriter(file.open("wb"))
        self._write(file_version="brain.Event:2")
        return EVENT_FOLDER, is_new

    def _write(self, **fields: Any) -> None:
        self.writer.write(self.event(wall_time=time.time(), **fields).SerializeToString())
        self.writer.flush()

    def log_params(self, params: Mapping[str, Any]) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        shown = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in params.items()}
        self._write(summary=self.summary.FromString(hparams_pb(shown, trial_id=self.name).SerializeToString()))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._write(step=step, summary=self.summary(value=values))

    log_summary = log_metrics

    def log_artifacts(self, folder: str) -> None:
        """Do nothing: the event files are beside the others in the folder of the run."""

    def end(self, status: str) -> None:
        self.writer.close()


TRACKERS: dict[str, type[Tracker]] = {
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
    "tensorboard": TensorBoardTracker,
}


def check_tracker(name: object, run_dir: object) -> None:
    """Raise InputError unless a tracker is known and its package is installed; TensorBoard also needs a `run_dir`."""
    if name is None:
        return
    if name not in TRACKERS:
        raise unknown_name("tracker", name, TRACKERS)
    if not is_installed(str(name)):
        command = install_command("tensorboard") if name == "tensorboard" else f"pip install {name}"
        raise InputError(f'track="{name}" (--track {name}) needs the package {name}: {command}')
    if name == "tensorboard" and run_dir is None:
        raise InputError('track="tensorboard" writes into the run_dir. Received: run_dir=None')


def is_installed(package: str) -> bool:
    """Return whether a package can be imported; a folder of its name, as wandb leaves them, is none."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def wait_seconds() -> float:
    """Return how many seconds the end of a run waits for its tracker at most."""
    try:
        seconds = float(os.environ.get(SECONDS_VARIABLE, ""))
    except ValueError:
        return DEFAULT_SECONDS
    return seconds if 0 < seconds < 1e6 else DEFAULT_SECONDS


def serve(name: str) -> None:
    """Make the calls of one tracker, a line of JSON on stdin for each, and answer each with a line on stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # trackers print, too
    threading.Thread(target=end_after_parent, args=(os.getppid(),), daemon=True).start()
    tracker, is_started, has_ended = TRACKERS[name](), False, False
    for line in sys.stdin:
        request = json.loads(line)
        call, arguments = request["call"], request["arguments"]
        try:
            answer = {"result": getattr(tracker, call)(**arguments)}
            is_started, has_ended = True, call == "end"
        except BaseException as error:  # whatever a library does must not end this process without an answer
            answer = {"error": describe_error(error)}
        with contextlib.suppress(OSError):
            print(json.dumps(answer), file=answers, flush=True)
    # The training has ended without a word. The tracker may hang as well.
    if is_started and not has_ended:
        watchdog = threading.Timer(wait_seconds(), os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        tracker.end("interrupted")


def end_after_parent(parent: int) -> None:
    """End this process some time after the training is gone, as a call of the tracker may hang for ever."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    time.sleep(wait_seconds())
    os._exit(1)


def describe_error(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:2000]

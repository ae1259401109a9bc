"""A package of the name of a tracker that writes its calls to a file, and fails in one of them if it is told to.

It has the functions of MLflow that `MlflowTracker` calls, and stands for MLflow where that is not installed:
`test_installed_trackers.py` tests the real packages.
"""

import json

CODE = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(__file__).parents[1]
FAULTS = json.loads((FOLDER / "faults.json").read_text())


def record(call, *values):
    with (FOLDER / "calls.jsonl").open("a") as file:
        file.write(json.dumps([call, *values]) + "\\n")
    fault = FAULTS.get(call)
    if fault == "hang":
        time.sleep(1000)
    if fault == "exit":
        os._exit(3)
    if fault:
        raise ConnectionError(fault)


class MlflowException(Exception):
    error_code = "RESOURCE_DOES_NOT_EXIST"


exceptions = SimpleNamespace(MlflowException=MlflowException)


def start_run(run_id=None, run_name=None):
    record("start_run", run_id, run_name)
    if run_id == "unknown":
        raise MlflowException("no such run")
    print("noise on stdout")
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "run-1"))


def log_params(params):
    record("log_params", params)


def log_metrics(metrics, step):
    record("log_metrics", metrics, step)


def log_artifacts(folder):
    record("log_artifacts", {path.name: path.read_text(errors="replace")[:9999] for path in Path(folder).iterdir()})


def end_run(status):
    record("end_run", status)
"""


class PlainTracker:
    """The package in a folder, which has to be on `sys.path`."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "mlflow").mkdir(parents=True)
        (folder / "mlflow" / "__init__.py").write_text(CODE)
        self.fail()

    def fail(self, **faults):
        """Let calls fail from the next process on: with a message, or by "hang" or "exit"."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def read_calls(self):
        """Return the calls so far: lists of a name and values."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def steps(self):
        """Return the steps of the metrics of epochs, in order."""
        return [call[2] for call in self.read_calls() if call[0] == "log_metrics" and "loss" in call[1]]

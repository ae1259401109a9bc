"""Keras Tuner's oracles and tuner, changed so that a search survives crashes and lost workers.

This is the only module that overrides or uses internals of Keras Tuner. `tests/tuning/test_keras_tuner_compat.py`
names each of them, and pyproject.toml bounds the version.
"""

import functools
import json
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import keras_tuner
import numpy as np
from keras_tuner import oracles
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial as Trial  # search and progress import it from here
from keras_tuner.errors import FatalError
from keras_tuner.src import config, protos
from keras_tuner.src.engine.oracle import THREADS
from sklearn.exceptions import ConvergenceWarning

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import JSON_ERRORS, read_json, write_json
from cnnzoo.core.warn import warn_caller
from cnnzoo.tuning.server import SERVER_ENDED

ORACLE_FILE = "oracle.json"
REBUILT = "It is rebuilt from the trials that have ended, which are kept"
IDLE_SECONDS = 0.2  # pause of a worker that waits for the trials of others
# gRPC's retries, for a chief that is restarted in the middle of a call
RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "1s",
    "maxBackoff": "10s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

config.DEBUG = False  # otherwise Keras Tuner prints a traceback for every failed trial


def _synchronized(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let one thread at a time call a method of an oracle.

    Keras Tuner's own `synchronized` keeps its lock when the method raises; this one releases it. Writing the thread's
    name into `THREADS` tells Keras Tuner's decorator, further in, that the lock is taken already.
    """

    @functools.wraps(method)
    def locked_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            before, THREADS[self] = THREADS[self], threading.current_thread().name
            try:
                return method(self, *args, **kwargs)
            finally:
                THREADS[self] = before

    return locked_method


# ---------------------------------------------------------------------------------------------------------------------
# Oracles
# ---------------------------------------------------------------------------------------------------------------------


def _check_types(state: dict[str, Any], example: dict[str, Any]) -> None:
    """Raise TypeError if a field of an oracle's state has another type than in an example; LookupError if it lacks."""
    for name, value in json.loads(json.dumps(example)).items():
        if value is not None and type(state[name]) is not type(value):
            raise TypeError(f"{name} is {state[name]!r:.100}")


class _DurableOracle(keras_tuner.Oracle):
    """Base of all oracles: starts with the default values and keeps its whole state in one file, written atomically."""

    ongoing_trials: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(**options)

    def _random_values(self) -> dict[str, Any] | None:
        if not self.trials:
            return {hp.name: hp.default for hp in self.hyperparameters.space}
        values: dict[str, Any] | None = super()._random_values()
        return values

    @_synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        trial = super().create_trial(tuner_id)
        # Keep this worker waiting while other trials run: one of their workers may die, and its trial needs another.
        if trial.status == "STOPPED" and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = "IDLE"
        return trial

    def is_exhausted(self) -> bool:
        """Return whether all requested trials have ended."""
        ended = [trial for trial in self.trials.values() if trial.status in ("COMPLETED", "FAILED")]
        return bool(len(ended) == len(self.trials) >= self.max_trials)

    @_synchronized
    def update_trial(self, *args: Any, **kwargs: Any) -> Trial:
        return super().update_trial(*args, **kwargs)

    @_synchronized
    def end_trial(self, trial: Trial) -> None:
        super().end_trial(trial)

    @_synchronized
    def release_worker(self, tuner_id: str) -> None:
        """Remove a lost worker, and queue its trial for the other workers."""
        if trial := self.ongoing_trials.pop(tuner_id, None):
            self._retry_queue.append(trial.trial_id)
            self.save()
        self.tuner_ids.discard(tuner_id)

    def _save_trial(self, trial: Trial) -> None:
        """Do nothing: `save` writes all trials into the oracle's file."""

    def save(self) -> None:
        trials = [self.trials[trial_id].get_state() for trial_id in self.start_order]
        write_json(Path(self._get_oracle_fname()), {"oracle": self.get_state(), "trials": trials}, add_sum=True)

    def reload(self) -> None:
        """Read the state of the search; if its file is broken, start anew, and the trials that have ended count again.

        The draws depend on the seed, so the same trials are proposed, and each has its outcome in its own folder.
        """
        path, fresh_state = Path(self._get_oracle_fname()), self.get_state()
        try:
            saved = read_json(path, {"oracle": dict[str, Any], "trials": list[dict[str, Any]]})
            trials = [Trial.from_state(state) for state in saved["trials"]]
            self.trials = {trial.trial_id: trial for trial in trials}
            _check_types(saved["oracle"], fresh_state)
            self.set_state(saved["oracle"])
        except JSON_ERRORS as error:  # InputError is one of them
            problem = str(error) if isinstance(error, InputError) else f"{path} cannot be used: {error!r:.200}"
            warn_caller(f"{problem}. {REBUILT}")
            self.trials = {}
            self.set_state(fresh_state)
            return
        # Trials that were running when the search stopped run first.
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values() if trial.status == "RUNNING"]
        self.ongoing_trials = {}

    def retry_trials(self, numbers: Sequence[int]) -> None:
        """Queue trials that have ended, so that they run again; their runs are finished, which takes moments."""
        for trial_id in [trial_id for trial_id in self.end_order if int(trial_id) in numbers]:
            self.end_order.remove(trial_id)
            self.trials[trial_id].status = "RUNNING"
            self._retry_queue.append(trial_id)


class RandomOracle(_DurableOracle, oracles.RandomSearchOracle):
    """Draws every trial independently."""


class BayesianOracle(_DurableOracle, oracles.BayesianOptimizationOracle):
    """Fits a Gaussian process to the trials; its draws depend on the seed and the number of trials only."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # A new generator for every trial, so that a restarted search draws the same values.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # expected with few trials
            values: dict[str, Any] = super().populate_space(trial_id)
        return values


class HyperbandOracle(_DurableOracle, oracles.HyperbandOracle):
    """Runs many short trainings and continues the best: Li et al. 2018, arXiv:1603.06560."""

    def min_trials(self) -> int:
        """Return the number of trials of the first bracket; to be called before any trial."""
        last_round = self._brackets[0]["bracket_num"]
        return int(sum(self._get_size(last_round, round_num) for round_num in range(last_round + 1)))


class GridOracle(_DurableOracle, oracles.GridSearchOracle):
    """Tries every combination, the defaults first."""

    def reload(self) -> None:
        super().reload()
        # Keras Tuner does not save the order of the combinations; rebuild it from the trials.
        by_combination = functools.cmp_to_key(
            lambda a, b: self._compare(*(self.trials[trial_id].hyperparameters.values for trial_id in (a, b)))
        )
        for trial_id in sorted(self.start_order, key=by_combination):
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(self.start_order)


# ---------------------------------------------------------------------------------------------------------------------
# Tuner
# ---------------------------------------------------------------------------------------------------------------------


class TrialRunner(Protocol):
    """The part of a search that its tuners call."""

    oracle: Any
    folder: Path
    stopped: threading.Event  # set when the search ends before its trials do

    def begin_trial(self, trial: Trial) -> None:
        """Called before a trial runs."""

    def run_trial(self, trial: Trial, oracle: Any) -> dict[str, float]:
        """Run a trial and return the value of the objective; raise FailedTrialError or FatalError."""

    def end_trial(self, trial: Trial) -> None:
        """Called after a trial has run and its result was passed to the oracle."""


class SearchTuner(BaseTuner):
    """One worker of a search: asks the oracle for trials and lets the search run them.

    If Keras Tuner's environment variables make this process a worker, the oracle is that of the chief.
    """

    def __init__(self, search: TrialRunner, name: str, chief_address: str = "") -> None:
        """Create a worker `name` of `search`, connected to the chief at `chief_address` ("IP:PORT") if given."""
        self.trial_runner, self.idle = search, False
        super().__init__(search.oracle, directory=str(search.folder.parent), project_name=search.folder.name)
        self.tuner_id = name
        if chief_address:
            service = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": RETRY_POLICY}]})
            channel = grpc.insecure_channel(chief_address, options=[("grpc.service_config", service)])
            self.oracle.stub = protos.get_service_grpc().OracleStub(channel)

    def _get_tuner_fname(self) -> str:
        # Keras Tuner reloads a search if this file exists. A tuner has no state besides the oracle's.
        return str(self.trial_runner.folder / ORACLE_FILE)

    def save(self) -> None:
        """Do nothing: the oracle saves itself."""

    def reload(self) -> None:
        if not self._is_worker():
            self.oracle.reload()

    def pre_create_trial(self) -> None:
        if self.trial_runner.stopped.is_set():
            raise FatalError(SERVER_ENDED)
        if self.idle:
            time.sleep(IDLE_SECONDS)
        self.idle = True

    def on_trial_begin(self, trial: Trial) -> None:
        self.idle = False
        self.trial_runner.begin_trial(trial)

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        return self.trial_runner.run_trial(trial, self.oracle)

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        self.trial_runner.end_trial(trial)

"""Keras Tuner's oracles, made to start from the defaults, to survive, and to miss a worker that dies."""

import functools
import json
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner import oracles
from keras_tuner.src.engine.oracle import THREADS
from sklearn.exceptions import ConvergenceWarning

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.training.state import RESTART_HINT
from cnnzoo.tuning.space import Space

ORACLE_FILE = "oracle.json"
UNLIMITED_FAILURES = 1_000_000_000  # failures in a row: a search tells of them and goes on


def _synchronized(method: Callable[..., Any]) -> Callable[..., Any]:
    """One thread at a time, like Keras Tuner's `synchronized`, whose lock an error would leave taken."""

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        with self.lock:
            before, THREADS[self] = THREADS[self], threading.current_thread().name
            try:
                return method(self, *args, **kwargs)
            finally:
                THREADS[self] = before

    return call


class _DurableOracle(keras_tuner.Oracle):
    """Of every oracle here: its first trial is the default, and all that it knows is one file, there whole or not."""

    ongoing_trials: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(**options)

    def _random_values(self):
        if not self.trials:
            return {hp.name: hp.default for hp in self.hyperparameters.space}
        return super()._random_values()

    @_synchronized
    def create_trial(self, tuner_id):
        trial = super().create_trial(tuner_id)
        if trial.status == "STOPPED" and self.ongoing_trials:  # one of which its worker may yet leave behind
            self.tuner_ids.add(tuner_id)
            trial.status = "IDLE"
        return trial

    def exhausted(self) -> bool:
        """Whether all trials that were asked for have ended."""
        ended = [trial for trial in self.trials.values() if trial.status in ("COMPLETED", "FAILED")]
        return len(ended) == len(self.trials) >= self.max_trials

    @_synchronized
    def update_trial(self, *args, **kwargs):
        return super().update_trial(*args, **kwargs)

    @_synchronized
    def end_trial(self, trial):
        super().end_trial(trial)

    @_synchronized
    def release(self, tuner_id):
        """Let others have the trial of a worker that is gone."""
        if trial := self.ongoing_trials.pop(tuner_id, None):
            self._retry_queue.append(trial.trial_id)
            self.save()
        self.tuner_ids.discard(tuner_id)

    def _save_trial(self, trial):
        """Nothing: trials are part of the one file."""

    def save(self):
        trials = [self.trials[name].get_state() for name in self.start_order]
        with atomic_write(Path(self._get_oracle_fname())) as new:
            new.write_text(json.dumps({"oracle": self.get_state(), "trials": trials}), encoding="utf-8")

    def reload(self):
        try:
            kept = json.loads(Path(self._get_oracle_fname()).read_bytes())
            made = (keras_tuner.engine.trial.Trial.from_state(state) for state in kept["trials"])
            self.trials = {trial.trial_id: trial for trial in made}
            self.set_state(kept["oracle"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{self._get_oracle_fname()} cannot be read: {error}; {RESTART_HINT}") from None
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values() if trial.status == "RUNNING"]
        self.ongoing_trials = {}


class RandomOracle(_DurableOracle, oracles.RandomSearchOracle):
    """Independent draws."""


class BayesianOracle(_DurableOracle, oracles.BayesianOptimizationOracle):
    """A Gaussian process, whose draws follow from the seed and the number of trials, also after a restart."""

    def populate_space(self, trial_id):
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of a process over a few trials
            return super().populate_space(trial_id)


class HyperbandOracle(_DurableOracle, oracles.HyperbandOracle):
    """Many short trainings, of which the better ones go on: Li et al. 2018, arXiv:1603.06560."""


class GridOracle(_DurableOracle, oracles.GridSearchOracle):
    """Every combination, the defaults first; what is next follows from the trials there are."""

    def reload(self):
        super().reload()
        order = functools.cmp_to_key(
            lambda a, b: self._compare(*(self.trials[n].hyperparameters.values for n in (a, b)))
        )
        for name in sorted(self.start_order, key=order):
            self._ordered_ids.insert(name)
        self._populate_next = list(self.start_order)


ORACLES: dict[str, Any] = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}


def make_oracle(kind: str, space: Space, objective: Any, trials: int, seed: int) -> Any:
    """An oracle by name for a number of trials; raises InputError for unknown names."""
    if not isinstance(kind, str) or kind not in ORACLES:
        raise unknown_name("oracle", kind, ORACLES)
    options: dict[str, Any] = {}
    if kind == "hyperband":  # one round of brackets after the other, until there are trials enough
        options = {"max_epochs": space.recipe.epochs, "hyperband_iterations": UNLIMITED_FAILURES}
    made = ORACLES[kind](
        objective=objective,
        hyperparameters=space.hyperparameters(),
        allow_new_entries=False,
        seed=seed + 1,  # 0 would draw one
        max_consecutive_failed_trials=UNLIMITED_FAILURES,
        **options,
    )
    if kind == "hyperband":
        rounds = made._brackets[0]["bracket_num"]
        first = sum(made._get_size(rounds, number) for number in range(rounds + 1))
        if trials < first:
            raise InputError(
                f"Hyperband over {space.recipe.epochs} epochs begins with {first} trials, most of them short: "
                f"trials={first} at least, or fewer epochs, or another oracle. Received: trials={trials}"
            )
    made.max_trials = trials
    made.verbose = 0
    return made

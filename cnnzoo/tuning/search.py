"""Run a search: its settings, its workers and its trials."""

import contextlib
import dataclasses
import io
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from keras_tuner import Objective
from keras_tuner.errors import FailedTrialError, FatalError

from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.warn import warn_caller
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS
from cnnzoo.tuning.distributed import Role, release_silent_workers, send_heartbeats
from cnnzoo.tuning.keras_tuner_compat import ORACLE_FILE, REBUILT, SearchTuner, Trial
from cnnzoo.tuning.oracles import make_oracle
from cnnzoo.tuning.progress import ProgressTable
from cnnzoo.tuning.pruning import pruning_thresholds
from cnnzoo.tuning.server import TrialServer
from cnnzoo.tuning.trial import LOWER_IS_BETTER, RUN_FOLDER, SearchConfig, TrialJob, write_outcome
from cnnzoo.tuning.trial_result import read_trials, remove_broken_outcomes, succeeded

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """The settings of a search.

    Attributes:
        trials: the number of trials.
        oracle: a key of `oracles.ORACLES`.
        seed: the seed of the oracle and of every trial.
        workers: trials at a time on this machine.
        prune: whether to prune trials.
        verbose: whether to show progress.
    """

    trials: int
    oracle: str
    seed: int
    workers: int
    prune: bool
    verbose: bool


class Search:
    """A running search: its oracle proposes trials, its tuners ask for them, and its server runs them."""

    server: TrialServer

    def __init__(self, config: SearchConfig, options: SearchOptions, folder: Path) -> None:
        """Set up the search of `config` in `folder`; `server` has to be set before anything runs."""
        self.config, self.options, self.folder = config, options, folder
        self.role = Role.from_environment()
        self.stopped = threading.Event()
        direction = "min" if config.objective in LOWER_IS_BETTER else "max"
        objective = Objective(config.objective, direction)
        self.oracle = make_oracle(options.oracle, config.space, objective, options.trials, options.seed)
        self.progress = ProgressTable(
            folder, config.space, config.objective, options.trials, options.workers, options.verbose
        )

    def plan(self) -> dict[str, Any]:
        """Return what distinguishes this search from others, ready for JSON."""
        config, data, space = self.config, self.config.data, self.config.space
        recipe = dataclasses.asdict(space.recipe)
        return {
            "how": "tune",
            "model": space.model if isinstance(space.model, str) else repr(space.model),
            "weights": None if config.weights is None else str(config.weights),
            "image_size": config.image_size,
            "recipe": {name: value for name, value in recipe.items() if name not in DESCRIPTIVE_FIELDS},
            "space": json.loads(json.dumps(space.describe(), default=str)),
            "oracle": self.options.oracle,
            "objective": config.objective,
            "prune": self.options.prune,
            "seed": self.options.seed,
            "data": {"source": data.source, "fingerprints": data.fingerprints, "classes": list(data.classes)},
        }

    def check_compatibility(self) -> None:
        """Raise InputError if model, weights and data do not fit together."""
        with self.progress.show("Checking that model and data fit together"):
            status, reason = self.server.run(TrialJob(self.folder, {}, self.options.seed, check_only=True))
        if status == "failed":
            raise InputError(reason)

    def run_trials(self) -> None:
        """Run trials until the oracle has no more."""
        role, workers = self.role, self.options.workers
        base = role.name or "worker"
        names = [f"{base}-{i}" for i in range(workers)] if workers > 1 else [base]
        # Trials whose records are broken run again, which takes moments: their runs are finished.
        repeated = [] if role.is_worker else remove_broken_outcomes(self.folder)
        oracle_file = self.folder / ORACLE_FILE
        if not role.is_worker and read_trials(self.folder) and not oracle_file.exists():
            warn_caller(f"{oracle_file} is missing. {REBUILT}")

        # Exchange heartbeats with the other machines.
        done = threading.Event()
        if role.is_chief:
            _start_thread(release_silent_workers, self.folder, self.oracle, done)
        elif role.is_worker:
            _start_thread(send_heartbeats, self.folder, names, done)

        # Run the trials. A chief only answers the workers, and without trials left none would ever ask.
        try:
            with self.progress:
                tuners = [self._make_tuner(name) for name in names[: 1 if role.is_chief else None]]
                self.oracle.retry_trials(repeated)
                if role.is_worker or not self.oracle.is_exhausted():
                    self.run_concurrently(lambda tuner: tuner.search(), tuners)
        except FatalError as error:
            raise error.__cause__ or TrainingError(str(error)) from None
        finally:
            done.set()

    def run_jobs(self, jobs: Sequence[TrialJob]) -> list[tuple[str, Any]]:
        """Run jobs on the server, as many at a time as there are workers, and return their outcomes in order."""
        return self.run_concurrently(self.server.run, jobs)

    def run_concurrently(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Call `function` for each item, as many at a time as there are workers; the first error stops all."""
        if len(items) == 1:  # in this thread, which Ctrl-C interrupts
            return [function(items[0])]
        with ThreadPoolExecutor(self.options.workers) as pool:
            try:
                futures = [pool.submit(function, item) for item in items]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                # Without this the pool would wait for the other threads, which would go on.
                self.stopped.set()
                self.server.stop()
                raise

    def _make_tuner(self, name: str) -> SearchTuner:
        with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
            return SearchTuner(self, name, self.role.chief_address if self.role.is_worker else "")

    # Methods that the tuners call

    def begin_trial(self, trial: Trial) -> None:
        """Show a trial of Keras Tuner as running."""
        self.progress.begin_trial(trial)

    def end_trial(self, trial: Trial) -> None:
        """Show the result of a trial of Keras Tuner."""
        self.progress.end_trial(trial)

    def run_trial(self, trial: Trial, oracle: Any) -> dict[str, float]:
        """Run a trial of Keras Tuner in a process of its own and return its score.

        Raises:
            FailedTrialError: if the trial failed; the search goes on.
            FatalError: if the search itself failed; the trial runs again when the search is resumed.
        """
        try:
            job, begin = self.make_job(trial, oracle), time.perf_counter()
            status, outcome = self.server.run(job)
            if status == "failed":
                seconds = round(time.perf_counter() - begin, 1)
                write_outcome(job.folder, {"chosen": job.chosen, "reason": outcome, "seconds": seconds})
        except Exception as error:
            raise FatalError(str(error)) from error
        if status == "failed":
            raise FailedTrialError(outcome)
        return {self.config.objective: outcome["score"]}

    def make_job(self, trial: Trial, oracle: Any) -> TrialJob:
        """Return the training that a trial of Keras Tuner asks for."""
        folder, space = self.folder / "trials", self.config.space
        values = trial.hyperparameters.values

        # Hyperband continues the best of its short trials: find the first of the chain, whose run goes on.
        first = trial
        while earlier := first.hyperparameters.values.get("tuner/trial_id"):
            first = oracle.get_trial(earlier)

        thresholds: tuple[float, ...] = ()
        if self.options.prune:
            ended = succeeded(read_trials(self.folder))
            thresholds = pruning_thresholds([t.history for t in ended], [t.epochs for t in ended])
        return TrialJob(
            folder=folder / trial.trial_id,
            # Trial 0 is the default exactly, even where Keras Tuner can only hold something near it.
            chosen=space.decode(values) if int(first.trial_id) else space.defaults(),
            seed=self.options.seed,
            continue_run=None if first is trial else folder / first.trial_id / RUN_FOLDER,
            stop_after=values.get("tuner/epochs"),
            thresholds=thresholds,
        )


def _start_thread(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()

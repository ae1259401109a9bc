"""A search at work: what its trials are, who runs them, and how it ends."""

import contextlib
import dataclasses
import io
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.evaluation.report import Report
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS
from cnnzoo.training.run import plan_differences
from cnnzoo.training.state import RESTART_HINT
from cnnzoo.tuning import trial as trials_
from cnnzoo.tuning.board import ProgressTable
from cnnzoo.tuning.result import TrialResult, TuneResult, compare_with_default
from cnnzoo.tuning.server import TrialServer
from cnnzoo.tuning.trial import LOWER_IS_BETTER, SearchConfig, TrialJob

HEARTBEAT_SECONDS = 2.0  # seconds between a worker's signs of life


def _distributed_role() -> tuple[str, str]:
    """What Keras Tuner's variables make of this process, and its chief's address; or neither.

    Raises InputError where one of them is missing.
    """
    names = [f"KERASTUNER_{name}" for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")]
    if missing := [name for name in names if not os.environ.get(name)]:
        if len(missing) < len(names):
            raise InputError(f"A search on several machines needs {', '.join(names)}. Not set: {', '.join(missing)}")
        return "", ""
    role, ip, port = (os.environ[name] for name in names)
    return role, f"{ip}:{port}"


class Search:
    """A search at work: the trials of its oracle, run by its server."""

    server: TrialServer

    def __init__(
        self,
        setting: SearchConfig,
        trials: int,
        oracle: str,
        seed: int,
        folder: Path,
        workers: int,
        prune: bool,
        verbose: bool,
    ) -> None:
        self.setting, self.seed, self.folder, self.workers, self.prune = setting, seed, folder, workers, prune
        self.trials, self.kind, self.verbose = trials, oracle, verbose
        self.over = threading.Event()
        self.role, self.address = _distributed_role()
        self.chief, self.worker = "chief" in self.role, bool(self.role) and "chief" not in self.role
        from keras_tuner import Objective

        from cnnzoo.tuning import oracles

        direction = "min" if setting.objective in LOWER_IS_BETTER else "max"
        self.oracle = oracles.make_oracle(oracle, setting.space, Objective(setting.objective, direction), trials, seed)
        self.board = ProgressTable(self)

    def plan(self) -> dict[str, Any]:
        """What makes this search another one, ready for JSON."""
        setting, data = self.setting, self.setting.data
        space = setting.space
        recipe = {field: v for field, v in dataclasses.asdict(space.recipe).items() if field not in DESCRIPTIVE_FIELDS}
        return {
            "how": "tune",
            "model": space.model if isinstance(space.model, str) else repr(space.model),
            "weights": None if setting.weights is None else str(setting.weights),
            "image_size": setting.image_size,
            "recipe": recipe,
            "space": json.loads(json.dumps(space.facts(), default=str)),
            "oracle": self.kind,
            "objective": setting.objective,
            "prune": self.prune,
            "seed": self.seed,
            "data": {"source": data.source, "fingerprints": data.fingerprints, "classes": list(data.classes)},
        }

    def check(self) -> None:
        """Raise InputError where model, weights and data do not go together."""
        status, why = self.server.run(TrialJob(self.folder, {}, self.seed, check=True))
        if status == "failed":
            raise InputError(why)

    def joined(self, plan: dict[str, Any]) -> bool:
        """Wait for the chief's record; False where its search has ended.

        Raises InputError where it is of another search.
        """
        record = self.folder / "run.json"
        for _ in range(600):
            if record.exists():
                break
            time.sleep(0.5)
        else:
            raise InputError(f"No chief has begun a search in {self.folder}, which all machines share")
        kept = json.loads(record.read_bytes())
        if found := plan_differences(kept["plan"], plan):
            raise InputError(f"{self.folder} holds a different search: {'; '.join(found)}")
        return kept["status"] != "done"

    def go(self) -> None:
        """Run trials until the oracle has no more."""
        from keras_tuner.errors import FatalError

        names = [
            f"{self.role or 'worker'}-{i}" if self.workers > 1 else self.role or "worker" for i in range(self.workers)
        ]
        done = threading.Event()
        threading.Thread(target=self._watch if self.chief else self._live, args=(names, done), daemon=True).start()
        if not self.worker and self.ended() and not (self.folder / "oracle.json").exists():
            raise InputError(f"{self.folder} has trials, but no oracle.json, which made them; {RESTART_HINT}")
        with self.board:
            try:
                tuners = [self._tuner(name) for name in names[: 1 if self.chief else None]]
                if self.worker or not self.oracle.exhausted():  # no worker comes to a chief that has no trial
                    self._at_once(lambda tuner: tuner.search(), tuners)
            except FatalError as error:
                raise error.__cause__ or TrainingError(str(error)) from None
            finally:
                done.set()

    def _at_once(self, do: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """What `do` returns for each item, as many at a time as there are workers."""
        if len(items) == 1:  # in this thread, which Ctrl-C interrupts
            return [do(items[0])]
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                futures = [pool.submit(do, item) for item in items]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                self.over.set()
                self.server.stop()  # or the other threads would go on, and be waited for
                raise

    def _tuner(self, name: str) -> Any:
        from cnnzoo.tuning.tuner import SearchTuner

        with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
            return SearchTuner(self, name)

    def _live(self, names: list[str], done: threading.Event) -> None:
        """Signs of life of a worker, in the folder that its chief sees too."""
        place = self.folder / "workers"
        while self.worker and not done.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # the next one may do
                place.mkdir(exist_ok=True)
                for name in names:
                    (place / name).write_text(str(time.time()), encoding="utf-8")

    def _watch(self, names: list[str], done: threading.Event) -> None:
        """Let other workers have the trials of those that show no sign of life."""
        seen: dict[str, tuple[str, float]] = {}
        while not done.wait(HEARTBEAT_SECONDS):
            for name in list(self.oracle.tuner_ids):
                try:
                    sign = (self.folder / "workers" / name).read_text(encoding="utf-8")
                except OSError:
                    sign = ""
                if seen.get(name, ("", 0.0))[0] != sign or name not in seen:
                    seen[name] = sign, time.monotonic()
                elif time.monotonic() - seen[name][1] > 10 * HEARTBEAT_SECONDS:
                    self.oracle.release(name)
                    del seen[name]

    def job(self, trial: Any, oracle: Any) -> TrialJob:
        """What a trial of Keras Tuner is to do."""
        values = trial.hyperparameters.values
        place = self.folder / "trials"
        first = trial
        while before := first.hyperparameters.values.get("tuner/trial_id"):  # Hyperband's, promoted
            first = oracle.get_trial(before)
        ended = [t for t in self.ended() if t.status != "failed"]
        levels = trials_.pruning_thresholds([t.history for t in ended], [t.epochs for t in ended]) if self.prune else ()
        run = None if first is trial else place / first.trial_id / trials_.RUN_FOLDER
        space = self.setting.space
        # the first trial is the default, whatever Keras Tuner can hold of it
        chosen = space.decode(values) if int(first.trial_id) else space.defaults()
        return TrialJob(place / trial.trial_id, chosen, self.seed, run, values.get("tuner/epochs"), levels)

    def ended(self) -> list[TrialResult]:
        """The trials that have ended, by number."""
        folders = [path for path in (self.folder / "trials").glob("*") if path.name.isdecimal()]
        return [trial for path in sorted(folders, key=lambda path: int(path.name)) if (trial := TrialResult.read(path))]

    def finish(self, seeds: int) -> TuneResult:
        """Train the best and the default anew, and compare them on the test split."""
        ended = self.ended()
        fine = [trial for trial in ended if trial.status != "failed"]
        if not fine:
            reasons: dict[str, list[str]] = {}
            for t in ended:
                reasons.setdefault(t.reason, []).append(str(t.number))
            told = "; ".join(f"{why} (trial {', '.join(numbers)})" for why, numbers in reasons.items())
            raise InputError(f"None of the {len(ended)} trials succeeded: {told}; {RESTART_HINT}")
        default, why = self._anew(0, {}, seeds)
        sign = -1 if self.setting.objective in LOWER_IS_BETTER else 1
        for best in sorted(fine, key=lambda trial: -sign * trial.score):  # of equals the first
            reports, failure = self._anew(best.number, best.chosen, seeds) if best.number else (default, why)
            if reports:
                return self._result(ended, best, reports, default, why)
            self.board.say(f"Trained anew, trial {best.number} failed, so the next best one is taken: {failure}")
        raise TrainingError(f"Trained anew, every trial failed: {failure}")

    def _anew(self, number: int, chosen: dict[str, Any], seeds: int) -> tuple[list[Report], str]:
        """Reports on the test split of a trial's recipe, trained with other seeds; or none, and why one failed."""
        self.board.say(f"Training {'the default' if number == 0 else f'trial {number}'} anew, for the test split")
        place = self.folder / "final" / str(number)
        jobs = [TrialJob(place / str(i), chosen, self.seed + i, final=True) for i in range(1, seeds + 1)]
        outcomes = self._at_once(self.server.run, jobs)
        if failures := [why for status, why in outcomes if status == "failed"]:
            return [], failures[0]
        return [report for _, report in outcomes], ""

    def _result(
        self, ended: list[TrialResult], best: TrialResult, reports: list[Report], default: list[Report], why: str
    ) -> TuneResult:
        space = self.setting.space
        row, recipe = space.apply(best.chosen)
        return TuneResult(
            model=row,
            recipe=recipe,
            best=best,
            trials=tuple(ended),
            fields=tuple(d.field for d in space.dimensions),
            objective=self.setting.objective,
            report=reports[0],
            default=default[0] if default else None,
            comparison=compare_with_default(default, reports) if default else {"default failed": why},
            run_dir=self.folder,
            run=self.folder / "final" / str(best.number) / "1" / trials_.RUN_FOLDER,
            asked=self.plan(),
        )

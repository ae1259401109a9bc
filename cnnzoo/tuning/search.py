"""A search at work: what its trials are, who runs them, and how it ends."""

import contextlib
import dataclasses
import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError, TrainingError
from cnnzoo.evaluation.report import Report
from cnnzoo.training.recipe import LABELS
from cnnzoo.training.run import differences
from cnnzoo.tuning import trial as trials_
from cnnzoo.tuning.board import Board
from cnnzoo.tuning.result import Trial, TuneResult, compared
from cnnzoo.tuning.server import Server
from cnnzoo.tuning.trial import LOWER, Job, Setting

PULSE = 2.0  # seconds between a worker's signs of life


class Search:
    """A search at work: the trials of its oracle, run by its server."""

    server: Server

    def __init__(
        self,
        setting: Setting,
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
        self.role = os.environ.get("KERASTUNER_TUNER_ID", "") if "KERASTUNER_ORACLE_IP" in os.environ else ""
        self.chief, self.worker = "chief" in self.role, bool(self.role) and "chief" not in self.role
        from keras_tuner import Objective

        from cnnzoo.tuning import oracles

        direction = "min" if setting.objective in LOWER else "max"
        self.oracle = oracles.make(oracle, setting.space, Objective(setting.objective, direction), trials, seed)
        self.board = Board(self)

    def plan(self) -> dict[str, Any]:
        """What makes this search another one, ready for JSON."""
        setting, data = self.setting, self.setting.data
        space = setting.space
        recipe = {field: v for field, v in dataclasses.asdict(space.recipe).items() if field not in LABELS}
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

    def joined(self, plan: dict[str, Any]) -> None:
        """Wait for the chief's record; raises InputError where it is of another search."""
        record = self.folder / "run.json"
        for _ in range(600):
            if record.exists():
                break
            time.sleep(0.5)
        else:
            raise InputError(f"No chief has begun a search in {self.folder}, which all machines share")
        if found := differences(json.loads(record.read_bytes())["plan"], plan):
            raise InputError(f"{self.folder} holds a different search: {'; '.join(found)}")

    def go(self) -> None:
        """Run trials until the oracle has no more."""
        from keras_tuner.errors import FatalError

        names = [
            f"{self.role or 'worker'}-{i}" if self.workers > 1 else self.role or "worker" for i in range(self.workers)
        ]
        done = threading.Event()
        threading.Thread(target=self._watch if self.chief else self._live, args=(names, done), daemon=True).start()
        with self.board:
            try:
                if self.chief or self.workers == 1:
                    self._tuner(names[0]).search()
                else:
                    tuners = [self._tuner(name) for name in names]
                    with ThreadPoolExecutor(self.workers) as pool:
                        list(pool.map(lambda tuner: tuner.search(), tuners))
            except FatalError as error:
                raise TrainingError(str(error)) from None
            finally:
                done.set()

    def _tuner(self, name: str) -> Any:
        from cnnzoo.tuning.tuner import Tuner

        with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
            return Tuner(self, name)

    def _live(self, names: list[str], done: threading.Event) -> None:
        """Signs of life of a worker, in the folder that its chief sees too."""
        (self.folder / "workers").mkdir(exist_ok=True)
        while self.worker and not done.wait(PULSE):
            for name in names:
                (self.folder / "workers" / name).write_text(str(time.time()), encoding="utf-8")

    def _watch(self, names: list[str], done: threading.Event) -> None:
        """Let other workers have the trials of those that show no sign of life."""
        seen: dict[str, tuple[str, float]] = {}
        while not done.wait(PULSE):
            for name in list(self.oracle.tuner_ids):
                path = self.folder / "workers" / name
                sign = path.read_text(encoding="utf-8") if path.exists() else ""
                if seen.get(name, ("", 0.0))[0] != sign or name not in seen:
                    seen[name] = sign, time.monotonic()
                elif time.monotonic() - seen[name][1] > 10 * PULSE:
                    self.oracle.release(name)
                    del seen[name]

    def job(self, trial: Any, oracle: Any) -> Job:
        """What a trial of Keras Tuner is to do."""
        values = trial.hyperparameters.values
        place = self.folder / "trials"
        first = trial
        while before := first.hyperparameters.values.get("tuner/trial_id"):  # Hyperband's, promoted
            first = oracle.get_trial(before)
        ended = [t for t in self.ended() if t.status != "failed"]
        levels = trials_.bar([t.history for t in ended], [t.epochs for t in ended]) if self.prune else ()
        run = None if first is trial else place / first.trial_id / trials_.RUN
        chosen = self.setting.space.decode(values)
        return Job(place / trial.trial_id, chosen, self.seed, run, values.get("tuner/epochs"), levels)

    def ended(self) -> list[Trial]:
        """The trials that have ended, by number."""
        folders = sorted((self.folder / "trials").glob("[0-9]*"), key=lambda path: int(path.name))
        return [trial for path in folders if (trial := Trial.read(path))]

    def finish(self, seeds: int) -> TuneResult:
        """Train the best and the default anew, and compare them on the test split."""
        ended = self.ended()
        fine = [trial for trial in ended if trial.status != "failed"]
        if not fine:
            reasons = "; ".join(dict.fromkeys(f"trial {t.number}: {t.reason}" for t in ended))
            raise InputError(f"None of the {len(ended)} trials succeeded: {reasons}")
        sign = -1 if self.setting.objective in LOWER else 1
        best = max(fine, key=lambda trial: sign * trial.score)  # of equals the first
        chosen = {0: {}, best.number: best.chosen}  # trial 0 is the default
        runs = {
            (number, i): Job(self.folder / "final" / str(number) / str(i), values, self.seed + i, final=True)
            for number, values in chosen.items()
            for i in range(1, seeds + 1)
        }
        self.board.say(f"Training {len(runs)} times anew, to compare the best with the default on the test split")
        with ThreadPoolExecutor(self.workers) as pool:
            outcomes = dict(zip(runs, pool.map(self.server.run, runs.values()), strict=True))
        found = {n: [outcomes[n, i] for i in range(1, seeds + 1)] for n in chosen}
        failures = {n: [why for status, why in each if status == "failed"] for n, each in found.items()}
        if failures[best.number]:
            raise TrainingError(f"Trained anew, the best, trial {best.number}, failed: {failures[best.number][0]}")
        default = None if failures[0] else [report for _, report in found[0]]
        return self._result(ended, best, [report for _, report in found[best.number]], default)

    def _result(
        self, ended: list[Trial], best: Trial, reports: list[Report], default: list[Report] | None
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
            comparison=compared(default, reports) if default else {},
            run_dir=self.folder,
            run=self.folder / "final" / str(best.number) / "1" / trials_.RUN,
            asked=self.plan(),
        )

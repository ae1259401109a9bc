"""The result of a trial that has ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.numbers import format_score, format_share
from cnnzoo.core.warn import warn_caller
from cnnzoo.evaluation.report import DECIMAL_METRICS
from cnnzoo.tuning.trial import LOWER_IS_BETTER, OUTCOME_FILE, read_outcome


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended.

    Attributes:
        number: the number of the trial; 0 is the default recipe.
        chosen: the values of the varied fields, by field.
        status: "completed", "hopeless" (pruned) or "failed".
        score: the objective, on the validation split; NaN if the trial failed.
        seconds: the duration of the trial.
        training: the part of `seconds` spent in training.
        epochs: the epochs of the recipe, of which a pruned trial ran fewer.
        history: Keras' metrics, by name and epoch.
        reason: why the trial failed.
    """

    number: int
    chosen: dict[str, Any]
    status: str
    score: float = float("nan")
    seconds: float = 0.0
    training: float = 0.0
    epochs: int = 0
    history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    reason: str = ""

    @classmethod
    def from_folder(cls, folder: Path) -> "TrialResult | None":
        """Return the trial of a folder, or None if it has not ended; one whose record is broken has failed."""
        if not (folder / OUTCOME_FILE).exists():
            return None
        try:
            outcome = read_outcome(folder)
        except InputError as error:
            return cls(int(folder.name), {}, "failed", reason=str(error))
        chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in outcome["chosen"].items()}
        if "reason" in outcome:
            seconds = float(outcome.get("seconds", 0.0))  # which versions before 0.10 did not record
            return cls(int(folder.name), chosen, "failed", seconds=seconds, reason=outcome["reason"])
        return cls(
            number=int(folder.name),
            chosen=chosen,
            status="hopeless" if outcome["hopeless"] else "completed",
            **{name: outcome[name] for name in ("score", "seconds", "training", "epochs", "history")},
        )

    def to_row(self, fields: Sequence[str]) -> dict[str, Any]:
        """Return the trial as a row of a table with a column for each of `fields`."""
        facts = {
            "trial": self.number,
            "status": self.status,
            "score": "" if self.status == "failed" else f"{self.score:.4f}",
            "epochs": len(self.history.get("loss", ())),
            "seconds": self.seconds,
        }
        return facts | {name: self.chosen.get(name, "") for name in fields}


def read_trials(search_folder: Path) -> list[TrialResult]:
    """Return the trials of a search that have ended, by number."""
    return [trial for path in _list_trial_folders(search_folder) if (trial := TrialResult.from_folder(path))]


def _list_trial_folders(search_folder: Path) -> list[Path]:
    """Return the folders of all trials of a search, by number."""
    folders = [path for path in (search_folder / "trials").glob("*") if path.name.isdecimal()]
    return sorted(folders, key=lambda path: int(path.name))


def remove_broken_outcomes(search_folder: Path) -> list[int]:
    """Delete the records of trials that cannot be read, and return the numbers of these trials."""
    numbers = []
    for path in _list_trial_folders(search_folder):
        if not (path / OUTCOME_FILE).exists():
            continue
        try:
            read_outcome(path)
        except InputError as error:
            warn_caller(f"{error}. Trial {int(path.name)} is evaluated again; the others are kept")
            (path / OUTCOME_FILE).unlink()
            numbers.append(int(path.name))
    return numbers


def succeeded(trials: Iterable[TrialResult]) -> list[TrialResult]:
    """Return the trials that did not fail, in the same order."""
    return [trial for trial in trials if trial.status != "failed"]


def rank_trials(trials: Iterable[TrialResult], objective: str) -> list[TrialResult]:
    """Return the trials that did not fail, the best first; of equal ones the earlier first."""
    return sorted(succeeded(trials), key=lambda trial: trial.score, reverse=objective not in LOWER_IS_BETTER)


def format_objective(score: float, objective: str) -> str:
    """Return a score of a trial as text: a percentage, or a decimal number for log loss and its like."""
    return format_score(score) if objective in DECIMAL_METRICS else format_share(score)

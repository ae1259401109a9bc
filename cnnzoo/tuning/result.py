"""The result of a search: its trials, the best recipe, and a comparison with the default on the test split."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.files import atomic_write
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.numbers import format_share, share_decimals
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_cell, format_count
from cnnzoo.evaluation.report import Report
from cnnzoo.models import Variant
from cnnzoo.training.recipe import SETTABLE_FIELDS, Recipe
from cnnzoo.tuning.trial_result import TrialResult, format_objective, rank_trials

STATUSES = ("completed", "hopeless", "failed")


def compare_with_default(default: Sequence[Report], best: Sequence[Report]) -> dict[str, Any]:
    """Return the accuracies of both recipes, their mean difference, and its 95 % confidence interval.

    With several seeds, the interval is Student's t over the seeds; with one, over the images.

    Args:
        default: reports of the default recipe on the test split, one per seed.
        best: reports of the best recipe, with the same seeds.
    """
    pairs = list(zip(default, best, strict=True))
    accuracies = {"default": [a.accuracy for a, _ in pairs], "best": [b.accuracy for _, b in pairs]}
    if len(pairs) > 1:
        differences = np.subtract(accuracies["best"], accuracies["default"])
    else:
        a, b = pairs[0]
        differences = (b.predicted == b.labels) * 1.0 - (a.predicted == a.labels)
    mean = float(differences.mean())

    # If all differences are equal, their spread is unknown; use the rule of three.
    images = len(best[0].labels)
    low, high = mean - 3 / images, mean + 3 / images
    if np.ptp(differences) > 0:
        low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return accuracies | {"difference": mean, "low": float(low), "high": float(high), "seeds": len(pairs)}


@dataclass(frozen=True, repr=False)
class TuneResult(SuggestsAttributes):
    """The result of a search, as `tune` returns it.

    Attributes:
        model: the best model: a name, or a row if its fields were varied.
        recipe: the best recipe.
        best: the best trial.
        trials: all trials, by number.
        fields: the names of the fields that varied.
        objective: the metric by which trials are ranked, on the validation split.
        report: the report of the best recipe, trained again, on the test split.
        default: the same of the default recipe, or None if it fails.
        comparison: the accuracies of both, their difference and its confidence interval.
        run_dir: the folder of the search.
        run: the folder of the best recipe's final training, which `load` and `export` accept.
        plan: the settings of the search, as recorded in run.json.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> result = cnnzoo.tune("lenet5", data, trials=20, run_dir="search")  # doctest: +SKIP
        >>> print(result.verdict())  # doctest: +SKIP
        On 180 test images that no trial saw: ...
        >>> classifier = cnnzoo.load(result.run)  # doctest: +SKIP
    """

    model: str | Variant
    recipe: Recipe
    best: TrialResult
    trials: tuple[TrialResult, ...]
    fields: tuple[str, ...]
    objective: str
    report: Report
    default: Report | None
    comparison: dict[str, Any]
    run_dir: Path
    run: Path
    plan: dict[str, Any] = field(default_factory=dict, repr=False)

    def table(self, count: int | None = None) -> list[dict[str, Any]]:
        """Return the first `count` trials as a list of rows, which pandas accepts; the best first, failed ones last."""
        failed = [trial for trial in self.trials if trial.status == "failed"]
        ordered = rank_trials(self.trials, self.objective) + failed
        return [trial.to_row(self.fields) for trial in ordered[:count]]

    def verdict(self) -> str:
        """Return what was found in words: the accuracies of the best recipe and the default, and what that proves."""
        count = len(self.report.labels)
        images = f"{count:,} test images"
        if not self.default:
            accuracy = f"{format_share(self.report.accuracy, count)} on {images}"
            return f"{accuracy}; the default failed when it was trained again: {self.comparison['default failed']}."
        if self.best.number == 0:
            return f"No trial beat the default: {format_share(self.default.accuracy, count)} on {images}."
        compared = self.comparison
        best, default = (format_share(float(np.mean(compared[name])), count) for name in ("best", "default"))
        trainings = f"mean of {compared['seeds']} trainings each" if compared["seeds"] > 1 else "one training each"
        return (
            f"On {images} that no trial used, the best recipe reached {best} and the default {default}: "
            f"{self.format_points('difference')} points (95 % interval {self.format_points('low')} to "
            f"{self.format_points('high')}; {trainings}). {self.conclusion()}"
        )

    def format_score(self, score: float) -> str:
        """Return a value of the objective as text."""
        return format_objective(score, self.objective)

    def format_points(self, key: str) -> str:
        """Return a value of `comparison` in percentage points, with its sign and the digits of the accuracies."""
        return f"{100 * self.comparison[key]:+.{share_decimals(len(self.report.labels))}f}"

    def conclusion(self) -> str:
        """Return whether the comparison proves that the best recipe differs from the default."""
        if self.comparison["low"] <= 0 <= self.comparison["high"]:
            return "Not proven: the interval of the difference contains 0."
        verb = "better" if self.comparison["low"] > 0 else "worse"
        return f"The interval does not contain 0, so the best recipe is {verb} than the default."

    def toml(self) -> str:
        """Return the best recipe as a TOML file, for `cnnzoo train --recipe best.toml`."""
        model = self.model if isinstance(self.model, str) else self.plan["model"]
        row_fields = {name: value for name, value in self.best.chosen.items() if name not in SETTABLE_FIELDS}
        lines = [
            f"# trial {self.best.number}, the best of {format_count(len(self.trials), 'trial')}: {self.objective} "
            f"{self.format_score(self.best.score)} on validation",
            f"# for {model}",
        ]
        if row_fields:
            lines.append(f"# with {row_fields}")
        for name in SETTABLE_FIELDS:
            value = getattr(self.recipe, name)
            if value is not None:
                lines.append(f"{name} = {json.dumps(value)}")  # plain values look the same in JSON and TOML
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        model = self.model if isinstance(self.model, str) else self.plan.get("model", "a row")
        best = f"trial {self.best.number} with {self.objective} {self.format_score(self.best.score)}"
        return f"<TuneResult of {model}: {format_count(len(self.trials), 'trial')}, the best is {best}>"

    def _repr_html_(self) -> str:
        """Return the verdict, the best recipe and the best trials for a notebook."""
        default = self.plan.get("recipe", {}) | self.trials[0].chosen
        varied = [(name, self.best.chosen.get(name, ""), default.get(name, "")) for name in self.fields]
        page = f"The whole page is {self.run_dir / 'report.html'}; cnnzoo.load({str(self.run)!r}) uses the best model."
        return render_notebook(
            self._describe_trials(),
            lines=[self.verdict()],
            tables=[
                NotebookTable("The best recipe, beside the default", ("field", "best", "default"), varied),
                NotebookTable("The best trials", list(self.table(1)[0]), self._format_rows(10)),
            ],
            notes=[page],
        )

    def _format_rows(self, count: int) -> list[list[str]]:
        """Return the first rows of the table as text."""
        scores = {trial.number: self.format_score(trial.score) for trial in self.trials if trial.status != "failed"}
        return [
            [str(value) for value in (row | {"score": scores.get(row["trial"], "")}).values()]
            for row in self.table(count)
        ]

    def _describe_trials(self) -> str:
        """Return how many trials ended how, in one line."""
        counts = {status: sum(trial.status == status for trial in self.trials) for status in STATUSES}
        by_status = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"{format_count(len(self.trials), 'trial')}: {by_status}; score is {self.objective} on validation"

    def __str__(self) -> str:
        table = format_table(list(self.table(1)[0]), self._format_rows(10))
        return "\n".join([self._describe_trials(), table, self.verdict()])

    def save(self, folder: Path) -> None:
        """Write trials.csv, best.toml and report.html into `folder`."""
        for name, text in (("trials.csv", self._csv()), ("best.toml", self.toml()), ("report.html", self.to_html())):
            with atomic_write(folder / name) as new_file:
                new_file.write_text(text, encoding="utf-8")

    def _csv(self) -> str:
        rows, out = self.table(), io.StringIO(newline="")
        reasons = {trial.number: trial.reason for trial in self.trials}
        writer = csv.DictWriter(out, [*rows[0], "reason"])
        writer.writeheader()
        for row in rows:
            cells = row | {"reason": reasons[row["trial"]]}
            writer.writerow({key: escape_cell(cell) if isinstance(cell, str) else cell for key, cell in cells.items()})
        return out.getvalue()

    def to_html(self) -> str:
        """Return a self-contained HTML page of the search, for its folder."""
        from cnnzoo.tuning.page import render_search

        return render_search(self)

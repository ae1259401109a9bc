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

from cnnzoo.core.files import atomic_write
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_cell
from cnnzoo.evaluation.report import Report
from cnnzoo.models import Variant
from cnnzoo.training.recipe import SETTABLE_FIELDS, Recipe
from cnnzoo.tuning.trial_result import TrialResult, rank_trials, succeeded

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


@dataclass(frozen=True)
class TuneResult:
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
        """Return a sentence that compares the best recipe with the default."""
        images = f"{len(self.report.labels):,} test images"
        if not self.default:
            accuracy = f"{100 * self.report.accuracy:.2f} % on {images}"
            return f"{accuracy}; the default failed when it was trained again: {self.comparison['default failed']}."
        if self.best.number == 0:
            return f"No trial beat the default: {100 * self.default.accuracy:.2f} % on {images}."
        compared = self.comparison
        best, default = (f"{100 * float(np.mean(compared[name])):.2f} %" for name in ("best", "default"))
        trainings = f"mean of {compared['seeds']} trainings each" if compared["seeds"] > 1 else "one training each"
        difference = f"{100 * compared['difference']:+.2f} points"
        interval = f"{100 * compared['low']:+.2f} to {100 * compared['high']:+.2f}"
        return (
            f"On {images} that no trial used, the best recipe reached {best} and the default {default}: "
            f"{difference} (95 % interval {interval}; {trainings})."
        )

    def toml(self) -> str:
        """Return the best recipe as a TOML file, for `cnnzoo train --recipe best.toml`."""
        model = self.model if isinstance(self.model, str) else self.plan["model"]
        row_fields = {name: value for name, value in self.best.chosen.items() if name not in SETTABLE_FIELDS}
        lines = [
            f"# trial {self.best.number} of {len(self.trials)}: {self.objective} {self.best.score:.4f} on validation",
            f"# for {model}",
        ]
        if row_fields:
            lines.append(f"# with {row_fields}")
        for name in SETTABLE_FIELDS:
            value = getattr(self.recipe, name)
            if value is not None:
                lines.append(f"{name} = {json.dumps(value)}")  # plain values look the same in JSON and TOML
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        rows = [[str(value) for value in row.values()] for row in self.table(10)]
        counts = {status: sum(trial.status == status for trial in self.trials) for status in STATUSES}
        by_status = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        head = f"{len(self.trials)} trials: {by_status}; score is {self.objective} on validation"
        return "\n".join([head, format_table(list(self.table(1)[0]), rows), self.verdict()])

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
        """Return a self-contained HTML page of the search, with its figures."""
        import base64

        from jinja2 import Environment, PackageLoader

        from cnnzoo.tuning import figures

        def to_uri(png: bytes) -> str:
            return "data:image/png;base64," + base64.b64encode(png).decode()

        trials = succeeded(self.trials)
        importances = figures.estimate_importance(trials, self.fields)
        parallel = figures.plot_parallel_coordinates(trials, self.fields, self.objective) if len(trials) > 1 else None
        page = Environment(loader=PackageLoader("cnnzoo.tuning", "."), autoescape=True).get_template("report.html")
        return page.render(
            result=self,
            rows=self.table(),
            failures=[trial for trial in self.trials if trial.status == "failed"],
            history=to_uri(figures.plot_history(self.trials, self.objective)),
            parallel=to_uri(parallel) if parallel else None,
            importance=to_uri(figures.plot_importance(importances)) if importances else None,
        )

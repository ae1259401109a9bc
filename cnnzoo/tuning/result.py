"""What a search found: its trials, the best recipe, and how it compares with the default where neither was chosen."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.tables import format_table
from cnnzoo.evaluation.report import Report
from cnnzoo.models import Variant
from cnnzoo.training.recipe import SETTABLE_FIELDS, Recipe
from cnnzoo.training.state import RESTART_HINT
from cnnzoo.tuning.trial import LOWER_IS_BETTER, OUTCOME_FILE


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended."""

    number: int
    chosen: dict[str, Any]  # by field
    status: str  # "completed", "hopeless" (ended early) or "failed"
    score: float = float("nan")  # the objective, on validation
    seconds: float = 0.0  # in all, and of these in training
    training: float = 0.0
    epochs: int = 0  # of the recipe
    history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    reason: str = ""  # of a failure

    @classmethod
    def read(cls, folder: Path) -> "TrialResult | None":
        """The trial of a folder, or None where it has not ended; raises InputError where its record is broken."""
        try:
            kept = json.loads((folder / OUTCOME_FILE).read_bytes())
            chosen = {key: tuple(v) if isinstance(v, list) else v for key, v in kept["chosen"].items()}
            if "reason" in kept:
                return cls(int(folder.name), chosen, "failed", reason=kept["reason"])
            status = "hopeless" if kept["hopeless"] else "completed"
            score, seconds, training = (float(kept[name]) for name in ("score", "seconds", "training"))
            history = {key: [float(value) for value in values] for key, values in kept["history"].items()}
            return cls(int(folder.name), chosen, status, score, seconds, training, int(kept["epochs"]), history)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / OUTCOME_FILE} cannot be read: {error}; {RESTART_HINT}") from None

    def row(self, fields: Sequence[str]) -> dict[str, Any]:
        """The trial for a table."""
        score = "" if self.status == "failed" else f"{self.score:.4f}"
        facts = {
            "trial": self.number,
            "status": self.status,
            "score": score,
            "epochs": len(self.history.get("loss", ())),
        }
        return facts | {"seconds": self.seconds} | {name: self.chosen.get(name, "") for name in fields}


def compare_with_default(default: Sequence[Report], best: Sequence[Report]) -> dict[str, Any]:
    """Accuracies of the default and the best, seed by seed, and the 95 % interval of the mean difference.

    Of several seeds it is Student's over the seeds, and of one over the images.
    """
    pairs, images = list(zip(default, best, strict=True)), len(best[0].labels)
    accuracies = {"default": [a.accuracy for a, _ in pairs], "best": [b.accuracy for _, b in pairs]}
    if len(pairs) > 1:
        differences = np.subtract(accuracies["best"], accuracies["default"])
    else:
        a, b = pairs[0]
        differences = (b.predicted == b.labels) * 1.0 - (a.predicted == a.labels)
    mean = float(differences.mean())
    low, high = mean - 3 / images, mean + 3 / images  # the rule of three, of differences that do not differ
    if np.ptp(differences) > 0:
        low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return accuracies | {"difference": mean, "low": float(low), "high": float(high), "seeds": len(pairs)}


@dataclass(frozen=True)
class TuneResult:
    """A search that has ended."""

    model: str | Variant  # the best row
    recipe: Recipe  # the best
    best: TrialResult
    trials: tuple[TrialResult, ...]
    fields: tuple[str, ...]  # that varied
    objective: str
    report: Report  # of the best recipe, trained anew, on the test split
    default: Report | None  # of the default, unless it fails
    comparison: dict[str, Any]  # of both; see `compared`
    run_dir: Path
    run: Path  # of the best recipe's training, which `load` and `export` take
    asked: dict[str, Any] = field(default_factory=dict, repr=False)  # the search's plan

    def table(self, count: int | None = None) -> list[dict[str, Any]]:
        """The trials, the best first: a list of rows, as pandas takes it."""
        fine = [t for t in self.trials if t.status != "failed"]
        down = self.objective not in LOWER_IS_BETTER
        ordered = sorted(fine, key=lambda t: t.score, reverse=down) + [t for t in self.trials if t.status == "failed"]
        return [trial.row(self.fields) for trial in ordered[:count]]

    def verdict(self) -> str:
        """How the best compares with the default, in a sentence."""
        if not self.default:
            accuracy = f"{100 * self.report.accuracy:.2f} % on {len(self.report.labels):,} test images"
            return f"{accuracy}; trained anew, the default fails: {self.comparison['default failed']}."
        c = self.comparison
        if self.best.number == 0:
            accuracy = f"{100 * self.default.accuracy:.2f} % on {len(self.default.labels):,} test images"
            return f"The default was not beaten: {accuracy}."
        means = {name: 100 * float(np.mean(c[name])) for name in ("best", "default")}
        trainings = f"mean of {c['seeds']} trainings each" if c["seeds"] > 1 else "one training each"
        difference = f"{100 * c['difference']:+.2f} points"
        bounds = f"{100 * c['low']:+.2f} to {100 * c['high']:+.2f}"
        return (
            f"On {len(self.report.labels):,} test images that no trial saw: {means['best']:.2f} % by the best recipe, "
            f"{means['default']:.2f} % by the default, {difference} (95 % interval {bounds}; {trainings})."
        )

    def toml(self) -> str:
        """The best recipe as a TOML file, for `--recipe best.toml`."""
        row = {k: v for k, v in self.best.chosen.items() if k not in SETTABLE_FIELDS}
        lines = [
            f"# trial {self.best.number} of {len(self.trials)}: {self.objective} {self.best.score:.4f} on validation"
        ]
        lines += [f"# for {self.model if isinstance(self.model, str) else self.asked['model']}"] + (
            [f"# with {row}"] if row else []
        )
        values = {name: getattr(self.recipe, name) for name in SETTABLE_FIELDS}
        # of plain values, JSON's text is TOML's
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        rows = [[str(value) for value in row.values()] for row in self.table(10)]
        ended = {s: sum(t.status == s for t in self.trials) for s in ("completed", "hopeless", "failed")}
        counts = ", ".join(f"{count} {status}" for status, count in ended.items() if count)
        head = f"{len(self.trials)} trials: {counts}; score is {self.objective} on validation"
        return "\n".join([head, format_table(list(self.table(1)[0]), rows), self.verdict()])

    def save(self, folder: Path) -> None:
        """Write trials.csv, best.toml and report.html."""
        rows, out = self.table(), io.StringIO(newline="")
        writer = csv.DictWriter(out, [*rows[0], "reason"])
        writer.writeheader()
        reasons = {t.number: t.reason for t in self.trials}
        writer.writerows(row | {"reason": reasons[row["trial"]]} for row in rows)
        for name, text in (("trials.csv", out.getvalue()), ("best.toml", self.toml()), ("report.html", self.to_html())):
            with atomic_write(folder / name) as new:
                new.write_text(text, encoding="utf-8")

    def to_html(self) -> str:
        """One self-contained page."""
        import base64

        from jinja2 import Environment, PackageLoader

        from cnnzoo.tuning import figures

        def uri(png: bytes) -> str:
            return "data:image/png;base64," + base64.b64encode(png).decode()

        fine = [t for t in self.trials if t.status != "failed"]
        weights = figures.estimate_importance(fine, self.fields)
        page = Environment(loader=PackageLoader("cnnzoo.tuning", "."), autoescape=True).get_template("report.html")
        return page.render(
            result=self,
            rows=self.table(),
            failures=[t for t in self.trials if t.status == "failed"],
            history=uri(figures.plot_history(self.trials, self.objective)),
            parallel=uri(figures.plot_parallel_coordinates(fine, self.fields, self.objective))
            if len(fine) > 1
            else None,
            importance=uri(figures.plot_importance(weights)) if weights else None,
        )

"""The report of an evaluation: figures for programs, a page for people, a table for the terminal."""

import base64
import csv
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.files import atomic_write
from cnnzoo.core.tables import format_table
from cnnzoo.evaluation import metrics

HEADLINE_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "top5_accuracy": "top-5 accuracy",
    "roc_auc": "ROC AUC, one against the rest",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
DECIMAL_METRICS = ("log_loss", "roc_auc", "average_precision")  # the others are shown in per cent
MAX_PICTURES = 24  # mistakes shown as pictures


@dataclass(frozen=True)
class Report:
    """Predictions of one pass over a split, and all that follows from them."""

    model: str
    data: str
    split: str
    classes: tuple[str, ...]
    names: np.ndarray  # (N,) of the images
    labels: np.ndarray  # (N,) true class indices
    probabilities: np.ndarray  # (N, classes)
    images: np.ndarray = field(repr=False)  # (N, H, W, C), for the pictures of mistakes
    history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    best_epoch: int | None = None  # counted from 1
    temperature: float | None = None  # fitted on validation
    probe: dict[str, Any] | None = None  # what the head alone reached, before fine-tuning
    run_dir: Path | None = None
    notes: tuple[str, ...] = ()  # what a reader should know: sizes, decisions
    record: dict[str, Any] = field(default_factory=dict, repr=False)  # how the model was trained, for the page

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Every metric by name; see `evaluation.metrics.compute`."""
        return metrics.compute_metrics(self.labels, self.probabilities, self.classes, temperature=self.temperature)

    @property
    def accuracy(self) -> float:
        return self.metrics["accuracy"]

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def worst(self) -> np.ndarray:
        """Indices of the mistakes, the most confident first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")]

    @property
    def suspects(self) -> np.ndarray:
        """Indices of images whose label may be wrong, the likeliest first; see `metrics.suspects`."""
        return metrics.find_suspect_labels(self.labels, self.probabilities)

    def headlines(self) -> list[tuple[str, str, str]]:
        """Rows (metric, value, 95 % interval) for people."""

        def show(key: str, value: float) -> str:
            return f"{value:.4f}" if key in DECIMAL_METRICS else f"{100 * value:.2f} %"

        rows = []
        for key, title in HEADLINE_METRICS.items():
            if self.metrics.get(key) is not None:
                bounds = self.metrics["intervals_95"].get(key, ())
                rows.append((title, show(key, self.metrics[key]), " to ".join(show(key, v) for v in bounds)))
        return rows

    def hardest(self, count: int = 3) -> list[str]:
        scores = self.metrics["per_class"]
        order = sorted(scores, key=lambda name: scores[name]["f1"])[:count]
        return [f"{name} (F1 {scores[name]['f1']:.3f})" for name in order]

    def __str__(self) -> str:
        head = f"{self.model} on {self.data}: {len(self.labels):,} {self.split} images, {len(self.classes)} classes"
        wrong = (
            f"{len(self.worst)} mistakes; lowest F1: {', '.join(self.hardest())}" if len(self.worst) else "no mistakes"
        )
        parts = [head, format_table(["metric", "value", "95 % interval"], self.headlines()), wrong]
        return "\n".join([*parts, *([self.beside] if self.probe else [])])

    @property
    def beside(self) -> str:
        """What the head alone reached, in a sentence."""
        assert self.probe
        kept = f"epoch {self.best_epoch}" if self.best_epoch else "the probe: no epoch was better on validation"
        if self.probe["validation_accuracy"] == 1:
            kept = "the probe: no epoch can be better on validation, so none was trained"
        return (
            f"The linear probe before fine-tuning: {100 * self.probe['accuracy']:.2f} %, and "
            f"{100 * self.probe['validation_accuracy']:.2f} % on validation; kept is {kept}."
        )

    def to_json(self) -> str:
        """What was measured, without times or places: equal runs give equal text."""
        content = {
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "classes": self.classes,
            "best_epoch": self.best_epoch,
            "probe": self.probe,
            "metrics": self.metrics,
            "history": self.history,
            "notes": self.notes,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """One self-contained page."""
        from jinja2 import Environment, PackageLoader

        from cnnzoo.evaluation import figures

        def uri(png: bytes) -> str:
            return "data:image/png;base64," + base64.b64encode(png).decode()

        def shown(indices: np.ndarray, verb: str) -> str | None:
            captions = [
                f"{self.classes[self.labels[i]]}\n{verb} {self.classes[self.predicted[i]]}\n"
                f"{100 * self.probabilities[i].max():.0f} %, {self.names[i]}"
                for i in indices
            ]
            return uri(figures.plot_image_grid(self.images[indices], captions)) if len(indices) else None

        worst, suspects = self.worst[:MAX_PICTURES], self.suspects[:MAX_PICTURES]
        pictures = {
            "curves": uri(figures.plot_learning_curves(self.history, self.best_epoch)) if self.history else None,
            "confusion": uri(figures.plot_confusion_matrix(self.metrics["confusion_matrix"], self.classes)),
            "reliability": uri(figures.plot_reliability(self.metrics["reliability"])),
            "mistakes": shown(worst, "taken for"),
            "suspects": shown(suspects, "perhaps"),
        }
        environment = Environment(loader=PackageLoader("cnnzoo.evaluation", "."), autoescape=True)
        return environment.get_template("report.html").render(report=self, pictures=pictures, shown=len(worst))

    def save(self, folder: Any) -> None:
        """Write report.json, report.html and predictions.csv into `folder`."""
        folder = Path(folder)
        with atomic_write(folder / "predictions.csv") as new, new.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["image", "true", "predicted", *(f"p({name})" for name in self.classes)])
            for name, label, guess, p in zip(self.names, self.labels, self.predicted, self.probabilities, strict=True):
                rows.writerow([name, self.classes[label], self.classes[guess], *(repr(float(v)) for v in p)])
        with atomic_write(folder / "report.html") as new:
            new.write_text(self.to_html(), encoding="utf-8")
        with atomic_write(folder / "report.json") as new:
            new.write_text(self.to_json(), encoding="utf-8")

"""The report of an evaluation: metrics as JSON, a page with pictures, and a table for the terminal."""

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import NamedValues, SuggestsAttributes
from cnnzoo.core.digests import digest_file
from cnnzoo.core.errors import check_integer
from cnnzoo.core.files import atomic_write
from cnnzoo.core.gallery import MAX_TILES, Gallery
from cnnzoo.core.numbers import format_score, format_share, format_share_interval
from cnnzoo.core.paths import check_path
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.fix_list import LABELS_FILE
from cnnzoo.data.photos import Photos
from cnnzoo.evaluation import metrics
from cnnzoo.evaluation.report_tables import is_edited, write_labels_to_check, write_predictions
from cnnzoo.evaluation.summaries import summarize_answers, summarize_calibration

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
DECIMAL_METRICS = ("log_loss", "roc_auc", "average_precision")  # All others are shown in percent.
REPORT_FILES = ("report.html", "report.json", "predictions.csv", LABELS_FILE)  # which `Report.save` writes


@dataclass(frozen=True, repr=False)
class Report(SuggestsAttributes):
    """The predictions of a model on a split, and everything that is computed from them.

    Attributes:
        model: name of the model.
        data: name of the data set.
        split: "train", "validation" or "test".
        classes: class names, in the order of the class indices.
        names: names of the images (N,).
        labels: true class indices (N,).
        probabilities: predicted probabilities (N, classes), as `cnnzoo predict` gives them: with the temperature in
            the model's card.
        images: the images (N, H, W, C), for the pictures of mistakes.
        history: loss and accuracy of each epoch; empty without training.
        best_epoch: the epoch whose weights were kept, counted from 1.
        temperature: the temperature of the model, or one that was fitted on the validation split for comparison, if
            the model has none; see `evaluation.temperature`.
        probe: accuracies of the linear probe, if the model was fine-tuned.
        run_dir: folder of the run.
        notes: sizes and decisions that readers should know.
        remarks: those of the notes that are printed with the figures, such as what was left out.
        training_images: whether the model was trained on each image (N,); None if that is not known.
        record: the recipe of the training, the settings that differ from it, and versions, as shown on the page.
        defaults: the settings that are those of the recipe, or have their default values if it has no name.
        uncalibrated_probabilities: predicted probabilities (N, classes) before the temperature; None if there is no
            temperature in `probabilities`.
        min_probability: the least probability of an answer; None if every image gets one.
        calibration: how `temperature` and `min_probability` were chosen, or why they were not.
        ending: why the training ended before its last epoch, if it did.
        source: path of the images, for a command on the page; empty if it is not known.
        maps: for pairs (index of an image, class), what speaks for the class: (height, width), uint8 from 0 to 255.
        has_fix_list: whether a fix list changed the data of the training; the run's folder holds a copy.
        command: the arguments of `cnnzoo`, or of Python, that started the training; empty if they are not known.
        training_counts: number of training images of each class; empty if it is not known.
        images_digest: SHA-256 of the names and the pixels of the images, whatever their order; empty if not known.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> model = cnnzoo.get("lenet5", classes=data.classes)
        >>> report = cnnzoo.evaluate(model, data)
        >>> report.split, report.probabilities.shape
        ('test', (180, 10))
        >>> 0 <= report.accuracy <= 1
        True
        >>> report.save("report")  # writes report.json, report.html, predictions.csv and labels_to_check.csv
    """

    model: str
    data: str
    split: str
    classes: tuple[str, ...]
    names: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    images: np.ndarray | Photos = field(repr=False)
    history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    best_epoch: int | None = None
    temperature: float | None = None
    probe: dict[str, Any] | None = None
    run_dir: Path | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    training_images: np.ndarray | None = field(default=None, repr=False)
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    defaults: dict[str, Any] = field(default_factory=dict, repr=False)
    uncalibrated_probabilities: np.ndarray | None = field(default=None, repr=False)
    min_probability: float | None = None
    calibration: dict[str, Any] = field(default_factory=dict, repr=False)
    ending: str = ""
    source: str = field(default="", repr=False)
    has_fix_list: bool = field(default=False, repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    training_counts: dict[str, int] = field(default_factory=dict, repr=False)
    images_digest: str = field(default="", repr=False)
    maps: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", NamedValues(self.history))  # so that a wrong name suggests the right one

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """All metrics by name; see `evaluation.metrics.compute_metrics`."""
        return NamedValues(
            metrics.compute_metrics(
                self.labels,
                self.probabilities,
                self.classes,
                temperature=self.temperature,
                uncalibrated=self.uncalibrated_probabilities,
                min_probability=self.min_probability,
            )
        )

    @property
    def accuracy(self) -> float:
        """The share of images that are classified correctly, from 0 to 1."""
        accuracy: float = self.metrics["accuracy"]
        return accuracy

    @property
    def predicted(self) -> np.ndarray:
        """Predicted class indices (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def worst(self) -> np.ndarray:
        """Indices of the misclassified images, the most confident mistake first."""
        mistakes = np.flatnonzero(self.predicted != self.labels)
        return mistakes[np.argsort(-self.probabilities[mistakes].max(axis=1), kind="stable")]

    @property
    def suspects(self) -> np.ndarray:
        """Indices of images whose labels may be wrong; see `evaluation.metrics.find_suspect_labels`."""
        return metrics.find_suspect_labels(self.labels, self.probabilities)

    @property
    def counted_images(self) -> str:
        """The number of images: "180 test images", or "180 images" if the model was trained on some of them."""
        trained_on = self.training_images is not None and self.training_images.any()
        kind = "" if trained_on and self.split == "test" else f"{self.split} "
        return format_count(len(self.labels), f"{kind}image")

    def headlines(self) -> list[tuple[str, str, str]]:
        """Return rows (metric, value, 95 % interval) as text."""

        rows, images = [], len(self.labels)
        for key, title in HEADLINE_METRICS.items():
            value, bounds = self.metrics.get(key), self.metrics["intervals_95"].get(key, ())
            if value is None:
                continue
            if key in DECIMAL_METRICS:
                interval = " to ".join(format_score(bound, images) for bound in bounds)
                rows.append((title, format_score(value, images), interval))
            else:
                interval = format_share_interval(bounds, images) if bounds else ""
                rows.append((title, format_share(value, images), interval))
        return rows

    def hardest_classes(self, count: int = 3) -> list[str]:
        """Return the classes with the lowest F1 among those that have images, with their F1."""
        scores = {name: row for name, row in self.metrics["per_class"].items() if row["images"]}
        order = sorted(scores, key=lambda name: scores[name]["f1"])[:count]
        return [f"{name} (F1 {format_score(scores[name]['f1'], scores[name]['images'])})" for name in order]

    @property
    def probe_summary(self) -> str:
        """Two sentences about the linear probe and the weights that were kept; "" if the model was not fine-tuned."""
        if not self.probe:
            return ""
        on_validation = self.probe.get("validation_accuracy")
        if self.best_epoch:
            kept = f"Epoch {self.best_epoch} was kept{self._compare_with_probe(': it has')}"
        elif on_validation == 1:
            kept = "The probe was kept: it makes no mistake on validation, so no epoch was trained"
        elif "tuned_epoch" in self.probe:
            kept = (
                f"The probe was kept, because {self._why_probe_was_kept()}. Epoch "
                f"{self.probe['tuned_epoch']:.0f}{self._compare_with_probe(' has')}. Tuned weights replace the probe "
                "if their accuracy is at least as high and their log loss lower by more than a standard error "
                f"({format_score(self.probe['standard_error'], self._validation_images)})"
            )
        else:
            kept = "The probe was kept: no epoch was trained"
        return (
            "The linear probe before fine-tuning has an accuracy of "
            f"{format_share(self.probe['accuracy'], len(self.labels))} on {self.split}"
            + (
                ""
                if on_validation is None
                else f" and {format_share(on_validation, self._validation_images)} on validation"
            )
            + f". {kept}."
        )

    def _why_probe_was_kept(self) -> str:
        """Return in which way the tuned weights are not better than the probe on the validation images."""
        assert self.probe
        if self.probe["tuned_validation_accuracy"] < self.probe["validation_accuracy"]:
            return "the tuned weights have a lower accuracy on validation"
        if self.probe["tuned_validation_log_loss"] >= self.probe["validation_log_loss"]:
            return "the tuned weights have no lower log loss on validation"
        return "fine-tuning gained less than its standard error here"

    @property
    def _validation_images(self) -> int | None:
        """The number of validation images of the training, if it is known."""
        count: int | None = self.record.get("images.validation")
        return count or self.calibration.get("temperature", {}).get("images")

    def _compare_with_probe(self, verb: str) -> str:
        """Return the figures by which the tuned weights were compared with the probe; "" in reports without them."""
        if not self.probe or "tuned_epoch" not in self.probe:
            return ""
        images = self._validation_images
        tuned, probe = (
            (
                format_share(self.probe[f"{prefix}validation_accuracy"], images),
                format_score(self.probe[f"{prefix}validation_log_loss"], images),
            )
            for prefix in ("tuned_", "")
        )
        return (
            f"{verb} an accuracy of {tuned[0]} on validation, and a log loss of {tuned[1]} at the best temperature for "
            f"these images; the probe has {probe[0]} and {probe[1]}"
        )

    @property
    def calibration_summary(self) -> str:
        """A sentence about the temperature: what it changes, or why there is none; "" if nothing is known about it."""
        return summarize_calibration(self.metrics, self.calibration.get("temperature", {}))

    @property
    def answers_summary(self) -> str:
        """Sentences about the answers that reach `min_probability`; "" if it was not asked for."""
        return summarize_answers(self.metrics, self.calibration.get("min_probability", {}))

    @property
    def training_images_summary(self) -> str:
        """A sentence about the images that the model was trained on; "" if there are none, or if it is not known."""
        if self.training_images is None or not self.training_images.any():
            return ""
        count, share, on_others = self._measure_training_images().values()
        images, others = len(self.labels), ""
        if on_others is not None:
            others = f" On the others, the accuracy is {format_share(on_others, images - count)}."
        are = "is a training image" if count == 1 else "are training images"
        return (
            f"{count:,} of the {images:,} images ({format_share(share, images)}) {are} of {self.model}, "
            f"so the figures are too good.{others}"
        )

    def _measure_training_images(self) -> dict[str, Any]:
        """Return number and share of the images that the model was trained on, and its accuracy on the others."""
        assert self.training_images is not None
        others = ~self.training_images
        is_right = self.predicted == self.labels
        return {
            "images": int(self.training_images.sum()),
            "share": float(self.training_images.mean()),
            "accuracy_on_others": float(is_right[others].mean()) if others.any() else None,
        }

    @check_arguments()
    def show_mistakes(self, count: int = 24, *, path: str | os.PathLike[str] | None = None) -> Gallery:
        """Show misclassified images, the most confident mistake first: in a notebook, or in a file.

        Args:
            count: number of images; of more than 100, the first are shown.
            path: a .png file to write the images to.

        Returns:
            The images with their labels and the probabilities of the predicted and of the true class, as a `Gallery`,
            which a notebook shows as the result of a cell, and which has `save(path)`.

        Raises:
            InputError: if the file cannot be written.

        Example:
            >>> data = cnnzoo.load_data("digits")
            >>> report = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="mnist"), data)
            >>> report.show_mistakes(count=8, path="mistakes.png")
            <8 of ... mistakes of lenet5 on digits, test: in a notebook they are shown, and ... writes them>
        """
        from cnnzoo.evaluation.notebook import mistake_tiles

        shown = self.worst[: min(check_integer("count", count, 1), MAX_TILES)]
        number = f"{len(shown)} of {len(self.worst):,} mistakes" if len(self.worst) else "No mistakes"
        gallery = Gallery(f"{number} of {self.model} on {self.data}, {self.split}", tuple(mistake_tiles(self, shown)))
        if path is not None:
            gallery.save(path)
        return gallery

    def _repr_html_(self) -> str:
        """Return the headline and the confusion matrix for a notebook."""
        from cnnzoo.evaluation.notebook import summarize_report

        return summarize_report(self)

    def __repr__(self) -> str:
        share = format_share(float((self.predicted == self.labels).mean()), len(self.labels))  # without all metrics
        return escape_controls(f"<Report of {self.model} on {self.data}: {share} of {self.counted_images}>")

    def __str__(self) -> str:
        model, data, *hardest = map(escape_controls, (self.model, self.data, *self.hardest_classes()))
        title = f"{model} on {data}: {self.counted_images}, {len(self.classes)} classes"
        table = format_table(["metric", "value", "95 % interval"], self.headlines())
        mistakes = "no mistakes"
        if len(self.worst):
            mistakes = f"{format_count(len(self.worst), 'mistake')}; lowest F1: {', '.join(hardest)}"
        remarks = map(escape_controls, (self.training_images_summary, *self.remarks))
        summaries = (self.calibration_summary, self.answers_summary, *remarks, self.ending, self.probe_summary)
        return "\n".join(filter(None, [title, table, mistakes, *summaries]))

    def to_json(self) -> str:
        """Return all measurements as JSON, without times and paths, so that equal runs give equal text."""
        content = {
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "classes": self.classes,
            "best_epoch": self.best_epoch,
            "probe": self.probe,
            "metrics": self.metrics,
            **({} if self.training_images is None else {"training_images": self._measure_training_images()}),
            **({"calibration": self.calibration} if self.calibration else {}),
            "history": self.history,
            "notes": self.notes,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @check_arguments()
    def to_html(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return the report as one self-contained HTML page.

        Args:
            folder: where the page will be, so that its links to files inside that folder are relative.
        """
        from cnnzoo.evaluation.page import render_report

        return render_report(self, folder)

    @check_arguments()
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write report.json, report.html, predictions.csv and labels_to_check.csv into `folder`.

        labels_to_check.csv is a fix list for `load_data(..., fix_list=FILE)`: its actions are "keep", which changes
        nothing; "relabel" gives the image the class in the column label, and "exclude" leaves it out. If somebody has
        edited its actions, it is left as it is, with a warning.
        """
        folder = check_path(folder, "the folder of the report")
        with atomic_write(folder / "predictions.csv") as new, new.open("w", newline="", encoding="utf-8") as file:
            write_predictions(
                file,
                self.classes,
                self.names,
                self.labels,
                self.probabilities,
                self.uncalibrated_probabilities,
                self.min_probability,
            )
        if is_edited(folder / LABELS_FILE):
            warn_caller(f"{folder / LABELS_FILE} was edited and is left as it is; delete it to get a new one")
        else:
            with atomic_write(folder / LABELS_FILE) as new, new.open("w", newline="", encoding="utf-8") as file:
                write_labels_to_check(file, self.classes, self.names, self.labels, self.probabilities)
        with atomic_write(folder / "report.html") as new:
            new.write_text(self.to_html(folder), encoding="utf-8")
        # `compare` notices by these whether the predictions were changed, and whether two reports have the same images.
        digests = {"predictions_sha256": digest_file(folder / "predictions.csv")["sha256"]}
        digests |= {"images_sha256": self.images_digest} if self.images_digest else {}
        with atomic_write(folder / "report.json") as new:
            new.write_text(_add_fields(self.to_json(), digests), encoding="utf-8")


def _add_fields(text: str, fields: dict[str, str]) -> str:
    """Return the JSON of a report with more fields at its end."""
    return json.dumps(json.loads(text) | fields, indent=1, ensure_ascii=False) + "\n"

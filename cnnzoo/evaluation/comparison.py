"""The result of a comparison: figures as attributes, JSON, a text for the terminal, and a page."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.numbers import format_score, format_share, share_decimals
from cnnzoo.core.outputs import check_output_file, write_text_file
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.evaluation.differences import format_p, format_point_interval, format_points
from cnnzoo.evaluation.paired_calibration import compare_calibration
from cnnzoo.evaluation.paired_statistics import (
    SIGNIFICANT,
    correct_by_holm,
    difference_interval,
    equivalence_p,
    mcnemar_p,
    noninferiority_p,
)
from cnnzoo.evaluation.prediction_files import Predictions

SAME = 1e-7  # probabilities that differ by less are the same
SUFFIXES = (".html", ".json")
Groups = dict[str, tuple[list[str], np.ndarray]]


@dataclass(frozen=True, repr=False)
class Comparison(SuggestsAttributes):
    """Two models on the same images, as `compare` returns it.

    Attributes:
        a: the predictions of the model that is compared with.
        b: the predictions of the model that may be better, in the same order.
        labels: true classes (N,), as indices of `classes`.
        margin: the difference in accuracy that does not matter; None if it was not given.
        groups: of each slice, the names of its groups and the group (N,) of each image.
        split: the split of the data.
        images: where pictures of the images are.
        notes: what was left out.

    Example:
        >>> data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
        >>> reports = [cnnzoo.evaluate(cnnzoo.get("lenet5", weights=tag), data) for tag in ("mnist", "digits")]
        >>> comparison = cnnzoo.compare(*reports)
        >>> len(comparison.gains) > len(comparison.losses)
        True
        >>> comparison.save("compare.html")
    """

    a: Predictions
    b: Predictions
    labels: np.ndarray
    margin: float | None = None
    groups: Groups = field(default_factory=dict)
    split: str = "test"
    images: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.a.classes

    @cached_property
    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether A, and whether B, is right on each image (N,)."""
        return self.a.predicted == self.labels, self.b.predicted == self.labels

    @property
    def gains(self) -> np.ndarray:
        """Indices of the images on which only B is right, those of which A was most certain first."""
        right_a, right_b = self.right
        return self._sort(np.flatnonzero(right_b & ~right_a), self.a)

    @property
    def losses(self) -> np.ndarray:
        """Indices of the images on which only A is right, those of which B was most certain first."""
        right_a, right_b = self.right
        return self._sort(np.flatnonzero(right_a & ~right_b), self.b)

    def _sort(self, indices: np.ndarray, wrong: Predictions) -> np.ndarray:
        return np.asarray(indices[np.argsort(-wrong.confidence[indices], kind="stable")])

    # ---- Figures

    @property
    def accuracy_a(self) -> float:
        """The accuracy of A, from 0 to 1."""
        return float(self.right[0].mean())

    @property
    def accuracy_b(self) -> float:
        """The accuracy of B, from 0 to 1."""
        return float(self.right[1].mean())

    @property
    def difference(self) -> float:
        """The accuracy of B minus that of A."""
        return self.accuracy_b - self.accuracy_a

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        low, high = difference_interval(len(self.gains), len(self.losses), len(self.labels))
        return float(low), float(high)

    @property
    def p_value(self) -> float:
        """The p-value of McNemar's exact test: small if the difference is hardly due to chance."""
        return float(mcnemar_p(len(self.gains), len(self.losses)))

    @property
    def is_better(self) -> bool:
        """Whether B is better than A, with a p-value below 0.05."""
        return self.difference > 0 and self.p_value < SIGNIFICANT

    @property
    def is_worse(self) -> bool:
        """Whether B is worse than A, with a p-value below 0.05."""
        return self.difference < 0 and self.p_value < SIGNIFICANT

    @property
    def has_same_probabilities(self) -> bool:
        """Whether A and B give every image the same probabilities, as two copies of one model do."""
        has_same_classes = bool((self.a.predicted == self.b.predicted).all())
        a, b = (each.confidence if each.probabilities is None else each.probabilities for each in (self.a, self.b))
        return has_same_classes and a.shape == b.shape and np.allclose(a, b, rtol=0, atol=SAME)

    @property
    def is_noninferior(self) -> bool | None:
        """Whether B is no worse than A by the margin, with a p-value below 0.05; None without a margin."""
        margins = self._margin_p_values
        return None if margins is None else margins["noninferiority_p"] < SIGNIFICANT

    @property
    def is_equivalent(self) -> bool | None:
        """Whether the two differ by less than the margin, with p-values below 0.05; None without a margin."""
        margins = self._margin_p_values
        return None if margins is None else margins["equivalence_p"] < SIGNIFICANT

    @cached_property
    def _margin_p_values(self) -> dict[str, float] | None:
        if self.margin is None:
            return None
        counts = len(self.gains), len(self.losses), len(self.labels)
        return {
            "noninferiority_p": float(noninferiority_p(*counts, self.margin)),
            "equivalence_p": float(equivalence_p(*counts, self.margin)),
        }

    @property
    def fails(self) -> bool:
        """Whether `--fail-if-worse` fails: B is worse or, with a margin, not shown to be no worse than that."""
        return self.is_worse if self.margin is None else not self.is_noninferior

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """The figures of each class that has images, as those of slices."""
        return self._compare_groups(list(self.classes), self.labels)

    @cached_property
    def slices(self) -> dict[str, list[dict[str, Any]]]:
        """The figures of the groups of each slice: name, images, accuracies, gains, losses, interval and p-values.

        "p_holm" accounts for the number of groups of the slice.
        """
        return {name: self._compare_groups(*group) for name, group in self.groups.items()}

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """Calibration error and log loss of both, and the difference in log loss with its 95 % interval."""
        return compare_calibration(self.a, self.b, self.labels)

    def _compare_groups(self, names: list[str], group: np.ndarray) -> list[dict[str, Any]]:
        """Return the figures of groups; those without images are left out."""
        right_a, right_b = self.right
        count = len(names)

        def count_where(mask: np.ndarray) -> np.ndarray:
            return np.bincount(group[mask], minlength=count)

        images = np.bincount(group, minlength=count)
        kept = np.flatnonzero(images)
        columns = (images, count_where(right_a), count_where(right_b))
        images, hits_a, hits_b = (column[kept] for column in columns)
        gains, losses = (count_where(mask)[kept] for mask in (right_b & ~right_a, right_a & ~right_b))
        p, (low, high) = mcnemar_p(gains, losses), difference_interval(gains, losses, images)
        return [
            {
                "name": names[kept[i]],
                "images": int(images[i]),
                "accuracy_a": float(hits_a[i] / images[i]),
                "accuracy_b": float(hits_b[i] / images[i]),
                "difference": float((hits_b[i] - hits_a[i]) / images[i]),
                "interval_95": [float(low[i]), float(high[i])],
                "gains": int(gains[i]),
                "losses": int(losses[i]),
                "p": float(p[i]),
                "p_holm": float(corrected),
            }
            for i, corrected in enumerate(correct_by_holm(p))
        ]

    # ---- Words

    @property
    def verdict(self) -> str:
        """What the comparison shows, in a sentence or two."""
        images = len(self.labels)
        if self.is_better or self.is_worse:
            word = "better" if self.is_better else "worse"
            text = f"B is {word} than A ({format_p(self.p_value)})."
        elif self.has_same_probabilities:
            text = "No difference is shown: A and B give every image the same class and the same probabilities."
        else:
            text = f"No difference is shown ({format_p(self.p_value)})."
            low, high = self.interval
            if low < 0 < high and not self.is_equivalent:
                worse, better = format_points(-low, images)[1:], format_points(high, images)[1:]
                text += f" B may still be up to {worse} worse or {better} better."
        if self._margin_p_values is None:
            return text
        margin = f"{100 * (self.margin or 0):g} points" if self.margin != 0.01 else "1 point"
        p_values = self._margin_p_values
        if self.is_equivalent:
            return f"{text} The two are equivalent within {margin} ({format_p(p_values['equivalence_p'])})."
        if self.is_noninferior:
            return f"{text} B is no worse than A by {margin} ({format_p(p_values['noninferiority_p'])})."
        return f"{text} That B is no worse than A by {margin} is not shown ({format_p(p_values['noninferiority_p'])})."

    def headlines(self) -> list[tuple[str, str, str, str]]:
        """Return rows (metric, A, B, difference with its 95 % interval) as text."""
        images, calibration = len(self.labels), self.calibration
        rows = [
            (
                "accuracy",
                format_share(self.accuracy_a, images),
                format_share(self.accuracy_b, images),
                f"{format_points(self.difference, images)} ({format_point_interval(self.interval, images)})",
            ),
            (
                "calibration error",
                format_share(calibration["a"]["calibration_error"], images),
                format_share(calibration["b"]["calibration_error"], images),
                "",
            ),
        ]
        if "log_loss" in calibration["a"] and "log_loss" in calibration["b"]:
            low, high = calibration["log_loss_interval_95"]
            score_a, score_b = (format_score(calibration[name]["log_loss"], images) for name in ("a", "b"))
            decimals = share_decimals(images) + 2
            difference = f"{calibration['log_loss_difference']:+.{decimals}f}"
            rows.append(("log loss", score_a, score_b, f"{difference} ({low:+.{decimals}f} to {high:+.{decimals}f})"))
        return rows

    def describe(self, which: str) -> str:
        """Return the name of "a" or "b", with that of its model if it is another."""
        each: Predictions = getattr(self, which)
        return each.name if each.model in ("", each.name) else f"{each.name} ({each.model})"

    def counts(self) -> str:
        """Return on how many images each of the two is right."""
        right_a, right_b = self.right
        both, neither = int((right_a & right_b).sum()), int((~right_a & ~right_b).sum())
        return (
            f"Only B is right on {format_count(len(self.gains), 'image')}, only A on {len(self.losses):,}; both on "
            f"{both:,}, neither on {neither:,}."
        )

    def describe_groups(self, title: str, rows: list[dict[str, Any]]) -> str:
        """Return which groups differ, after Holm's correction."""
        if len(rows) == 1:
            return f"By {title}: all images are in one group, {rows[0]['name']}."
        differing = [row for row in rows if row["p_holm"] < SIGNIFICANT]
        if not differing:
            return f"By {title}: none of {len(rows):,} groups differs after Holm's correction."
        parts = [
            f"{row['name']}: {format_points(row['difference'], row['images'])} (+{row['gains']:,} "
            f"-{row['losses']:,} of {row['images']:,}, Holm's {format_p(row['p_holm'])})"
            for row in sorted(differing, key=lambda row: float(row["p_holm"]))[:5]
        ]
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        return f"By {title}: {'; '.join(parts)}{more}."

    def __repr__(self) -> str:
        names = f"{self.describe('a')} and {self.describe('b')}"
        difference = format_points(self.difference, len(self.labels))
        return escape_controls(
            f"<Comparison of {names} on {format_count(len(self.labels), 'image')}: {difference}, "
            f"{format_p(self.p_value)}>"
        )

    def __str__(self) -> str:
        title = f"A: {self.describe('a')}\nB: {self.describe('b')}\n{self.describe_images()}"
        table = format_table(["metric", "A", "B", "B - A (95 % interval)"], self.headlines())
        tables = {"class": self.per_class, **self.slices}
        groups = [self.describe_groups(name, rows) for name, rows in tables.items()]
        lines = [escape_controls(line) for line in (*groups, *self.notes)]
        return "\n".join([escape_controls(title, keep="\n"), table, self.counts(), self.verdict, *lines])

    def describe_images(self) -> str:
        """Return how many images of which split were compared."""
        count = format_count(len(self.labels), f"{self.split} image" if self.a.split or self.b.split else "image")
        return f"{count}, {format_count(len(self.classes), 'class', 'classes')}"

    # ---- Files

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        right_a, right_b = self.right
        margins = self._margin_p_values
        return {
            "a": {"name": self.a.name, "model": self.a.model, "accuracy": self.accuracy_a},
            "b": {"name": self.b.name, "model": self.b.model, "accuracy": self.accuracy_b},
            "split": self.split,
            "images": len(self.labels),
            "classes": list(self.classes),
            "difference": self.difference,
            "interval_95": list(self.interval),
            "p_value": self.p_value,
            "both_right": int((right_a & right_b).sum()),
            "both_wrong": int((~right_a & ~right_b).sum()),
            "margin": None
            if margins is None
            else {
                "margin": self.margin,
                "noninferior": self.is_noninferior,
                "equivalent": self.is_equivalent,
                **margins,
            },
            "verdict": self.verdict,
            "calibration": self.calibration,
            "per_class": self.per_class,
            "slices": self.slices,
            "gains": [self.a.images[i] for i in self.gains],
            "losses": [self.a.images[i] for i in self.losses],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    @check_arguments()
    def to_html(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return the comparison as one self-contained page.

        Args:
            folder: where the page will be, so that its links to files inside that folder are relative.
        """
        from cnnzoo.evaluation.comparison_page import render_comparison

        return render_comparison(self, folder)

    @check_arguments()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison to a file, which is replaced if it exists.

        Args:
            path: a .html file for the page, or a .json file for the figures.

        Raises:
            InputError: if the path has another suffix or cannot be written to.
        """
        file = check_output_path(path)
        text = self.to_json() if file.suffix.lower() == ".json" else self.to_html(file.parent)
        write_text_file(file, text)

    def _repr_html_(self) -> str:
        """Return the headline and the tables for a notebook."""
        from cnnzoo.evaluation.comparison_page import summarize_comparison

        return summarize_comparison(self)


def check_output_path(path: object, name: str = "the comparison") -> Path:
    """Return the path of a page or of figures to write; raise InputError as `check_output_file` does."""
    return check_output_file(path, name, SUFFIXES, "a .html file, for the page, or a .json file")

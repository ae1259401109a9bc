"""The tables of a report as CSV files: the predictions, and the labels to check."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.numbers import format_share
from cnnzoo.core.text import escape_cell
from cnnzoo.data.fix_list import COLUMNS as FIX_COLUMNS
from cnnzoo.data.fix_list import read_fix_list
from cnnzoo.evaluation.metrics import confident_classes, find_suspect_labels


def write_predictions(
    file: TextIO,
    classes: Sequence[str],
    names: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    uncalibrated: np.ndarray | None = None,
    min_probability: float | None = None,
) -> None:
    """Write true class, predicted class and probabilities of every image as CSV.

    The probabilities are those that `cnnzoo predict` gives. The column "uncalibrated_probability" is that of the
    predicted class without the temperature. "unsure" says whether "probability" is below the least one of an answer.

    Args:
        file: the file, opened with newline="".
        classes: the class names.
        names: names of the images (N,).
        labels: true class indices (N,).
        probabilities: predictions (N, classes).
        uncalibrated: predictions (N, classes) without the temperature; None if `probabilities` have none.
        min_probability: the least probability of an answer; None if there is none, so that the column is left out.
    """
    writer = csv.writer(file)
    header = ["image", "true", "predicted", "probability", "uncalibrated_probability"]
    unsure = [] if min_probability is None else ["unsure"]
    writer.writerow([*header, *unsure, *(f"p({name})" for name in classes)])
    predicted = probabilities.argmax(axis=1)
    for i, (name, guess) in enumerate(zip(names, predicted, strict=True)):
        row, raw = probabilities[i], probabilities[i] if uncalibrated is None else uncalibrated[i]
        cells = [*map(escape_cell, (name, classes[labels[i]], classes[guess]))]
        cells += [repr(float(row[guess])), repr(float(raw[guess]))]
        if min_probability is not None:
            cells.append("true" if row[guess] < min_probability else "false")
        writer.writerow([*cells, *(repr(float(p)) for p in row)])


def write_labels_to_check(
    file: TextIO, classes: Sequence[str], names: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> None:
    """Write the images whose labels may be wrong as a fix list that changes nothing until its actions are edited.

    The column "label" holds the class that "relabel" would give. Arguments are those of `write_predictions`.
    """
    writer = csv.writer(file)
    writer.writerow([*FIX_COLUMNS, "true", "predicted", "probability", "label_probability"])
    guesses, predicted = confident_classes(labels, probabilities), probabilities.argmax(axis=1)
    for i in find_suspect_labels(labels, probabilities):
        label, guess = classes[labels[i]], classes[guesses[i]]
        share, label_share = float(probabilities[i, guesses[i]]), float(probabilities[i, labels[i]])
        reason = f"{format_share(share)} {guess}, {format_share(label_share)} {label}"
        texts = (str(names[i]), "keep", guess, "suspect label", reason, label, classes[predicted[i]])
        writer.writerow([*map(escape_cell, texts), f"{share:.6f}", f"{label_share:.6f}"])


def is_edited(file: Path) -> bool:
    """Return whether a table of labels to check was edited: it has another action than "keep", or cannot be read."""
    if not file.exists():
        return False
    try:
        fixes = read_fix_list(file)
    except InputError:
        return True
    return fixes.count("keep") < len(fixes)


def digest_names_and_images(names: np.ndarray, digests: np.ndarray) -> str:
    """Return a SHA-256 of the names (N,) and the digests (N,) of images, whatever their order."""
    rows = sorted(f"{name}\0{digest:016x}" for name, digest in zip(names, digests.tolist(), strict=True))
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()

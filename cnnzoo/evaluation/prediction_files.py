"""Predictions of a model with their labels, read from the folder of a run or from a file, and checked for changes.

Two kinds of files hold predictions: predictions.csv of a report, with the labels and all probabilities, and what
`cnnzoo predict --out` writes, with the likeliest classes only. Both may also be Parquet files.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, shorten_repr, suggest_names
from cnnzoo.core.json_files import read_json_value
from cnnzoo.core.paths import check_path, nearest_path
from cnnzoo.core.text import escape_cell, format_count, unescape_cell
from cnnzoo.evaluation.prediction_tables import AGAIN, read_columns
from cnnzoo.inference.runs import find_data_source

PREDICTIONS_FILE, REPORT_FILE, RECORD_FILE = "predictions.csv", "report.json", "run.json"
SUFFIXES = (".csv", ".jsonl", ".parquet")
DIGEST_FIELD = "predictions_sha256"  # of report.json: the digest of predictions.csv
IMAGES_FIELD = "images_sha256"  # of report.json: the digest of the names and pixels of the images
MAX_SUM_ERROR = 1e-3  # of the probabilities of an image
REPORT_COLUMNS, ANSWER_COLUMNS = ("image", "true", "predicted", "probability"), ("path", "class_1", "probability_1")


@dataclass(frozen=True)
class Predictions:
    """The predictions of one model, with one entry for each image.

    Attributes:
        name: what people call them: a path, or the name of a model.
        model: name of the model; "" if it is not known.
        split: the split of the data; "" if it is not known.
        images: the names of the images, N of them.
        classes: class names.
        labels: true classes (N,) as indices of `classes`; None if the file has none.
        predicted: predicted classes (N,) as indices of `classes`.
        confidence: the probability (N,) of the predicted class.
        probabilities: (N, classes), or None if the file has only those of the likeliest classes.
        pixels: the images, if they are in memory or known as files; indexed as `Report.images`.
        digest: of names and pixels of all images; "" if it is not known.
        fingerprint: of files, labels and classes in order, of runs of earlier versions; "" if it is not known.
        source: what `load_data` reads the images from: a path, or a name such as "digits"; "" if it is not known.
        notes: what was left out.
    """

    name: str
    model: str
    split: str
    images: Sequence[str]
    classes: tuple[str, ...]
    labels: np.ndarray | None
    predicted: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None = None
    pixels: Any = None
    digest: str = ""
    fingerprint: str = ""
    source: str = ""
    notes: tuple[str, ...] = field(default=())

    def take(self, indices: np.ndarray) -> Predictions:
        """Return the predictions for the images at `indices`, in that order; without their pixels."""
        return replace(
            self,
            images=[self.images[i] for i in indices],
            labels=None if self.labels is None else self.labels[indices],
            predicted=self.predicted[indices],
            confidence=self.confidence[indices],
            probabilities=None if self.probabilities is None else self.probabilities[indices],
        )


def predictions_of_report(report: Any) -> Predictions:
    """Return the predictions that a `Report` holds."""
    probabilities, names = np.asarray(report.probabilities), list(map(str, report.names))
    predicted, where = probabilities.argmax(axis=1), f"the report of {report.model}"
    check_probabilities(probabilities, names, where)
    _check_names(names, where)
    return Predictions(
        str(report.run_dir or report.model),
        report.model,
        report.split,
        names,
        tuple(report.classes),
        np.asarray(report.labels),
        predicted,
        probabilities[np.arange(len(predicted)), predicted],
        probabilities,
        report.images,
        report.images_digest,
        source=report.source,
    )


def read_predictions(path: str | os.PathLike[str], argument: str = "a") -> Predictions:
    """Read the predictions of a run, of the folder of a report, or of a file.

    Args:
        path: the folder or the file.
        argument: what messages call it.

    Raises:
        InputError: if there are none, or if they were changed after they had been written.
    """
    place = check_path(path, argument)
    if not place.exists():
        near = nearest_path(place)
        raise InputError(f"There is nothing at {str(place)!r}.{f' Did you mean {near}?' if near else ''}")
    if not place.is_dir() and not place.is_file():  # reading a pipe would wait for ever
        raise InputError(f"{str(place)!r} is not a regular file, so that it holds no predictions")
    file = place
    if place.is_dir() and not list(place.glob("part-*.parquet")):
        file = _find_in_folder(place)
    if file.suffix not in SUFFIXES:
        raise InputError(
            f"{str(place)!r} is not a file of predictions: {', '.join(SUFFIXES)}. Give a run, the folder of a report, "
            "or what `cnnzoo predict --out` has written"
        )
    from cnnzoo.inference.answers import progress_path

    if progress_path(file).exists():
        raise InputError(
            f"{file} is not complete: `cnnzoo predict` was interrupted, or is still writing it. Repeat its command to "
            "complete it"
        )
    columns = read_columns(file)
    if set(REPORT_COLUMNS) <= columns.keys():
        predictions = _from_report_columns(file, columns)
    elif set(ANSWER_COLUMNS) <= columns.keys():
        predictions = _from_answers(file, columns)
    else:
        spreadsheet = any(";" in name or "\t" in name for name in columns)
        hint = "; a spreadsheet seems to have saved it with other separators: give the original" if spreadsheet else ""
        raise InputError(
            f"{file} has no predictions. Its columns must be {', '.join(REPORT_COLUMNS)}, p(CLASS), ... as in "
            f"{PREDICTIONS_FILE}, or {', '.join(ANSWER_COLUMNS)}, ... as `cnnzoo predict` writes them. Received: "
            f"{shorten_repr(', '.join(columns))}{hint}"
        )
    _check_names(predictions.images, file)
    predictions = replace(predictions, name=str(place))
    return _add_report(predictions, file) if file.name == PREDICTIONS_FILE else predictions


def _find_in_folder(folder: Path) -> Path:
    """Return the predictions in the folder of a run or of a report; of a search, those of its winner."""
    file = folder / PREDICTIONS_FILE
    if file.is_file():
        return file
    if (folder / RECORD_FILE).exists():
        from cnnzoo.inference.runs import find_winner

        winner = find_winner(folder)
        if winner and (winner / PREDICTIONS_FILE).exists():
            return winner / PREDICTIONS_FILE
        raise InputError(
            f"The run in {folder} has no {PREDICTIONS_FILE} yet: its training has not ended. Repeat its command to "
            f"complete it, or {AGAIN}"
        )
    if (folder / "cnnzoo.json").exists():
        raise InputError(
            f"{folder} is an export, which has no predictions yet: cnnzoo evaluate {folder} DATA --out DIR"
        )
    inside = [str(each.parent) for each in itertools.islice(sorted(folder.glob(f"*/{PREDICTIONS_FILE}")), 3)]
    hint = f" Did you mean {' or '.join(inside)}?" if inside else ""
    raise InputError(f"{str(folder)!r} is no run and no report: it has no {PREDICTIONS_FILE}.{hint}")


# ---- Predictions of the columns of a file


def _from_report_columns(file: Path, columns: dict[str, Any]) -> Predictions:
    """Return the predictions of a report's table."""
    names = _unescape(columns["image"], file)
    if "p" not in columns:
        raise InputError(f"{file} has no columns of probabilities, p(CLASS); {AGAIN}")
    classes, probabilities = tuple(columns["p names"]), columns["p"]
    check_probabilities(probabilities, names, str(file))
    labels = _find_classes(columns["true"], classes, names, file)
    predicted = _find_classes(columns["predicted"], classes, names, file)
    confidence = _to_floats(columns["probability"], names, file)
    own = probabilities[np.arange(len(names)), predicted]
    wrong = np.flatnonzero((own < probabilities.max(axis=1) - 1e-9) | (np.abs(own - confidence) > 1e-6))
    if len(wrong):
        i = wrong[0]
        raise InputError(
            f"{file} was changed: {names[i]!r:.200} is predicted as {classes[predicted[i]]!r} with a probability of "
            f"{confidence[i]:.4g}, but its likeliest class is {classes[probabilities[i].argmax()]!r} with "
            f"{probabilities[i].max():.4g} ({format_count(len(wrong), 'such row')}); {AGAIN}"
        )
    return Predictions("", "", "", names, classes, labels, predicted, confidence, probabilities)


def _from_answers(file: Path, columns: dict[str, Any]) -> Predictions:
    """Return the predictions that `cnnzoo predict` has written; images that could not be read are left out."""
    errors = columns.get("error") or [None] * len(columns["path"])
    read = [i for i, error in enumerate(errors) if not error]
    names = _unescape([columns["path"][i] for i in read], file)
    answers = _unescape([columns["class_1"][i] for i in read], file)
    classes = tuple(dict.fromkeys(answers))
    index = {name: i for i, name in enumerate(classes)}
    confidence = _to_floats([columns["probability_1"][i] for i in read], names, file)
    left_out = len(errors) - len(read)
    notes = [f"{file} has no answer for {format_count(left_out, 'image')} that could not be read."] if left_out else []
    predicted = np.array([index[answer] for answer in answers], "int64")
    return Predictions("", "", "", names, classes, None, predicted, confidence, notes=tuple(notes))


def _unescape(cells: Sequence[Any], file: Path) -> list[str]:
    if not cells:
        raise InputError(f"{file} has no predictions: it has no rows")
    check_texts(cells, file)
    if file.suffix != ".csv":
        return list(cells)
    return [unescape_cell(cell) if cell.startswith("'") else cell for cell in cells]


def check_texts(cells: Sequence[Any], file: Path) -> None:
    """Raise InputError for the first name of an image or of a class that is not a text, such as null."""
    for cell in cells:
        if not isinstance(cell, str):
            raise InputError(f"{file} was changed: {shorten_repr(cell, 80)} is not a text; {AGAIN}")


def _find_classes(cells: Sequence[Any], classes: Sequence[str], names: Sequence[str], file: Path) -> np.ndarray:
    """Return the indices of class names; raise InputError for one that no column is for."""
    check_texts(cells, file)
    index = {escape_cell(name) if file.suffix == ".csv" else name: i for i, name in enumerate(classes)}
    codes = np.array([index.get(cell, -1) for cell in cells], "int64")
    if (codes < 0).any():
        i = int(np.flatnonzero(codes < 0)[0])
        nearest = suggest_names(str(cells[i]), list(classes))
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise InputError(
            f"{file} was changed: the class {cells[i]!r:.200} of {names[i]!r:.200} is none of the "
            f"{format_count(len(classes), 'class', 'classes')} with a column p(CLASS).{hint}"
        )
    return codes


def _to_floats(cells: Sequence[Any], names: Sequence[str], file: Path) -> np.ndarray:
    """Return probabilities (N,) as numbers from 0 to 1; raise InputError for anything else."""
    try:
        numbers = np.array(cells, "float64")
    except (ValueError, TypeError, OverflowError):
        numbers = np.array([_try_float(cell) for cell in cells])
    bad = np.flatnonzero(~((numbers >= 0) & (numbers <= 1 + MAX_SUM_ERROR)))  # also NaN
    if len(bad):
        cell = cells[bad[0]]
        shown = cell[:40] if isinstance(cell, str) else shorten_repr(cell, 40)
        raise InputError(
            f"{file}: the probability of {names[bad[0]]!r:.200} is {shown}; probabilities are from 0 "
            f"to 1 ({format_count(len(bad), 'such row')}). The file was changed, or the weights of the model are broken"
        )
    return numbers


def _try_float(cell: Any) -> float:
    try:
        return float(cell)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def check_probabilities(probabilities: np.ndarray, names: Sequence[str], where: str) -> None:
    """Raise InputError unless each row holds probabilities that add up to 1."""
    if not len(names):
        raise InputError(f"{where} has no predictions: it has no rows")
    unreal = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(unreal):
        raise InputError(
            f"{where} holds NaN or infinite probabilities for {format_count(len(unreal), 'image')}, such as "
            f"{names[unreal[0]]!r:.200}. The weights of the model may be broken, or the file was changed"
        )
    # Numbers of which one is beyond 0 and 1 may add up to 1, or to more than a float can hold
    outside = np.flatnonzero((probabilities < 0).any(axis=1) | (probabilities > 1 + MAX_SUM_ERROR).any(axis=1))
    if len(outside):
        i, row = outside[0], probabilities[outside[0]]
        raise InputError(
            f"{where} was changed: {names[i]!r:.200} has probabilities from {row.min():.4g} to {row.max():.4g}, not "
            f"from 0 to 1 ({format_count(len(outside), 'such row')}); {AGAIN}"
        )
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > MAX_SUM_ERROR)
    if len(wrong):
        raise InputError(
            f"{where} was changed: the probabilities of {names[wrong[0]]!r:.200} add up to {sums[wrong[0]]:.4g}, not 1 "
            f"({format_count(len(wrong), 'such row')}); {AGAIN}"
        )


def _check_names(names: Sequence[str], file: str | Path) -> None:
    """Raise InputError if an image is there twice."""
    if len(set(names)) < len(names):
        seen = set[str]()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"{file} has the image {twice!r:.200} twice, so it was changed; {AGAIN}")


# ---- The report beside the predictions


def _add_report(predictions: Predictions, file: Path) -> Predictions:
    """Return the predictions with what report.json and run.json beside them say; check that they agree.

    Raises:
        InputError: if predictions.csv is not the file that was written together with report.json.
    """
    report_file, record_file = file.with_name(REPORT_FILE), file.with_name(RECORD_FILE)
    source = ""
    if record_file.exists():
        record = read_json_value(record_file)
        if isinstance(record, dict):
            source = find_data_source(record)
            predictions = replace(predictions, fingerprint=_find_fingerprint(record))
    if not report_file.exists():
        return replace(predictions, source=source)
    report = read_json_value(report_file)
    report = report if isinstance(report, dict) else {}
    _check_unchanged(predictions, file, report)
    texts = {name: str(report.get(name) or "") for name in ("model", "split", IMAGES_FIELD)}
    return replace(predictions, model=texts["model"], split=texts["split"], digest=texts[IMAGES_FIELD], source=source)


def _find_fingerprint(record: dict[str, Any]) -> str:
    """Return the fingerprint of the test images of a run; that of arrays depends on the network, and is left out."""
    try:
        data = record["plan"]["data"]
        return str(data["fingerprints"]["test"]) if data["size"].startswith("Photos") else ""
    except (LookupError, TypeError, AttributeError):
        return ""


def _check_unchanged(predictions: Predictions, file: Path, report: dict[str, Any]) -> None:
    """Check the digest of predictions.csv; of reports of earlier versions, the confusion matrix."""
    changed = InputError(f"{file} is not the file that was written with {REPORT_FILE}: it was changed; {AGAIN}")
    if DIGEST_FIELD in report:
        from cnnzoo.core.digests import digest_file

        if digest_file(file)["sha256"] != report[DIGEST_FIELD]:
            raise changed
        return
    metrics = report.get("metrics")
    matrix = metrics.get("confusion_matrix") if isinstance(metrics, dict) else None
    if matrix is None or predictions.labels is None:
        return
    count = len(predictions.classes)
    cells = np.bincount(predictions.labels * count + predictions.predicted, minlength=count**2)
    if cells.reshape(count, count).tolist() != matrix:
        raise changed

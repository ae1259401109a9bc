"""compare: which of two models is better, on the same images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.compared_images import ComparedImages
from cnnzoo.evaluation.comparison import Comparison
from cnnzoo.evaluation.prediction_files import Predictions, predictions_of_report, read_predictions
from cnnzoo.evaluation.slices import CLASS, check_slices, group_images

if TYPE_CHECKING:
    from cnnzoo.data.images import ImageData
    from cnnzoo.evaluation.report import Report

SPLITS = ("test", "validation", "train")
MAX_LISTED = 3  # images in a message


@check_arguments()
def compare(
    a: str | os.PathLike[str] | Report,
    b: str | os.PathLike[str] | Report,
    *,
    on: str = "test",
    margin: float | None = None,
    slices: str | Sequence[str] | None = None,
    data: str | os.PathLike[str] | ImageData | Any | None = None,
) -> Comparison:
    """Compare two models on the same images: whether B is better than A, by how much, and on which images.

    Both models saw the same images, so only those on which exactly one of the two is right count: McNemar's exact test,
    and the interval of the difference in accuracy that belongs to it (Tango 1998). Classes and slices are tested
    with Holm's correction for their number. Nothing is predicted again, so neither Keras nor TensorFlow is imported.

    Args:
        a: the model to compare with: a run, the folder of a report, predictions.csv, what `cnnzoo predict --out` has
            written (.csv, .jsonl or .parquet), or a `Report`.
        b: the model that may be better, in the same forms.
        on: the split of the data whose predictions are compared: "test", "validation" or "train". A run holds those of
            the test split; with `data` from `load_data`, runs are evaluated on another one.
        margin: the difference in accuracy that does not matter, such as 0.01 for one point: tests whether B is no worse
            than A by that much, and whether the two are equivalent.
        slices: groups of images to compare besides the classes: "folder", "size", "brightness", or a column of the
            table of the images; a list for several. Numbers are grouped by quarters.
        data: the images: their folder, their table, a data frame, or what `load_data` returned; for pictures, slices,
            and the true classes of files that have none. By default where the run of `a` or `b` found them.

    Returns:
        A `Comparison`. `print(comparison)` shows it in short; `comparison.save("compare.html")` writes a page.

    Raises:
        InputError: if the two have different images, labels or classes, or were changed after they had been written; or
            if an argument is wrong.

    Example:
        >>> data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
        >>> a = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="mnist"), data)
        >>> b = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="digits"), data)
        >>> comparison = cnnzoo.compare(a, b, margin=0.01)
        >>> comparison.is_better, comparison.is_noninferior, comparison.p_value < 0.001
        (True, True, True)
        >>> low, high = comparison.interval
        >>> low < comparison.difference < high
        True
    """
    # Check the request before anything slow
    if on not in SPLITS:
        raise unknown_name("split in on", on, SPLITS)
    if margin is not None:
        margin = check_margin(margin)
    names = check_slices(slices)

    # Read both, and bring them into the same order
    first, second = (_open(model, name, on, data) for model, name in ((a, "a"), (b, "b")))
    second = _match_images(first, second)
    pixels = first.pixels if first.pixels is not None else second.pixels
    if first.pixels is None and pixels is not None and list(first.images) != list(second.images):
        pixels = None
    images = ComparedImages(first.images, data, pixels, first.source or second.source, first.digest)
    notes = [*first.notes, *second.notes, *_note_same_file(a, b), *images.describe_problem()]
    first, second, labels = _match_classes(first, second, images)

    # Compare
    classes = first.classes
    true_classes = [classes[label] for label in labels]
    groups = {name: group_images(name, images, true_classes) for name in names if name != CLASS}
    return Comparison(first, second, labels, margin, groups, on, images, tuple(notes))


def _note_same_file(a: Any, b: Any) -> list[str]:
    """Return a note if the two are one and the same."""
    are_paths = isinstance(a, str | os.PathLike) and isinstance(b, str | os.PathLike)
    if not (a is b or (are_paths and os.path.realpath(a) == os.path.realpath(b))):
        return []
    return ["A and B are the same, so that they cannot differ; name two models."]


def check_margin(margin: object) -> float:
    """Return a difference in accuracy as a share above 0 and below 1; raise InputError for anything else."""
    is_number = isinstance(margin, int | float | np.number) and not isinstance(margin, bool)
    if not is_number or not 0 < margin < 1:  # type: ignore[operator]  # also refuses NaN
        hint = ""
        if is_number and 1 <= margin <= 100:  # type: ignore[operator]
            hint = f"; for {margin:g} point{'' if margin == 1 else 's'}, write {margin / 100:g}"  # type: ignore[operator]
        raise InputError(
            "margin must be a share above 0 and below 1, such as 0.01 for one point of accuracy. Received: "
            f"{margin!r:.80}{hint}"
        )
    return float(margin)  # type: ignore[arg-type]


def _open(model: Any, name: str, on: str, data: Any) -> Predictions:
    """Return the predictions of one of the two on a split."""
    if isinstance(model, str | os.PathLike):
        predictions = read_predictions(model, name)
    elif hasattr(model, "probabilities") and hasattr(model, "labels") and hasattr(model, "images_digest"):
        predictions = predictions_of_report(model)
    else:
        hint = "; evaluate it first: cnnzoo.evaluate(model, data)" if hasattr(model, "predict") else ""
        raise InputError(
            f"{name} must be a run, the folder of a report, a file of predictions or a Report. Received: "
            f"{type(model).__name__}{hint}"
        )
    if predictions.split in ("", on):
        return predictions
    if isinstance(model, str | os.PathLike) and hasattr(data, "splits") and (predictions.source or predictions.model):
        from cnnzoo.evaluation.evaluate import evaluate

        return replace(predictions_of_report(evaluate(model, data, split=on)), name=predictions.name)
    raise InputError(
        f"{predictions.name} holds predictions on the {predictions.split} split, and on={on!r} (--on {on}) is asked "
        f"for. Compare on={predictions.split!r} (--on {predictions.split}), or evaluate both on the other split first: "
        f"cnnzoo evaluate RUN DATA --split {on} --out FOLDER"
    )


# ---- The same images


def _match_images(first: Predictions, second: Predictions) -> Predictions:
    """Return the second predictions in the order of the first.

    Raises:
        InputError: if the two do not have the same images; it names some that differ.
    """
    if first.images != second.images:
        place = {name: i for i, name in enumerate(second.images)}
        only_first = [name for name in first.images if name not in place]
        if only_first or len(place) > len(first.images):
            own = set(first.images)
            only_second = [name for name in second.images if name not in own]
            raise InputError(
                f"{first.name} and {second.name} have different images, so they cannot be compared in pairs: "
                f"{_list(only_first, first.name)}; {_list(only_second, second.name)}; "
                f"{len(first.images) - len(only_first):,} are in both. Train or evaluate both with the same data, "
                "splits and seed (cnnzoo evaluate RUN DATA --out FOLDER)"
            )
        second = second.take(np.array([place[name] for name in first.images]))
    is_older = not (first.digest and second.digest)
    has_same_order = first.classes == second.classes and first.images == second.images
    differs = first.digest != second.digest if not is_older else False
    if is_older and has_same_order and first.fingerprint and second.fingerprint:
        differs = first.fingerprint != second.fingerprint
    if differs:
        raise InputError(
            f"{first.name} and {second.name} have images of the same names, but not the same ones: their fingerprints "
            "differ, so some files or labels were changed in between. Evaluate both again on the same data (cnnzoo "
            "evaluate RUN DATA --out FOLDER)"
        )
    return second


def _list(names: Sequence[str], where: str) -> str:
    shown = ", ".join(f"{name!r:.100}" for name in names[:MAX_LISTED])
    more = ", ..." if len(names) > MAX_LISTED else ""
    return f"{format_count(len(names), 'image')} only in {where}{f' ({shown}{more})' if names else ''}"


# ---- The same classes


def _match_classes(
    first: Predictions, second: Predictions, images: ComparedImages
) -> tuple[Predictions, Predictions, np.ndarray]:
    """Return both predictions with the same class indices, and the true classes (N,).

    Raises:
        InputError: if classes or labels differ, or the labels are not known.
    """
    are_complete = first.probabilities is not None and second.probabilities is not None
    if are_complete and set(first.classes) != set(second.classes):
        differences = (
            f"only in {each.name}: {', '.join(sorted(set(each.classes) - set(other.classes))[:10]) or 'none'}"
            for each, other in ((first, second), (second, first))
        )
        raise InputError(
            f"{first.name} and {second.name} have different classes ({'; '.join(differences)}), so they cannot be "
            "compared. Evaluate both with the same class names: --classes"
        )
    classes = tuple(dict.fromkeys((*first.classes, *second.classes)))
    labels = _find_labels(first, second, classes, images)
    if unknown := set(labels) - set(classes):
        if are_complete:
            raise InputError(f"The data has classes that the models do not know: {', '.join(sorted(unknown)[:10])}")
        classes = (*classes, *sorted(unknown))
    index = {name: i for i, name in enumerate(classes)}
    codes = np.array([index[label] for label in labels], "int64")
    return _recode(first, classes), _recode(second, classes), codes


def _find_labels(
    first: Predictions, second: Predictions, classes: Sequence[str], images: ComparedImages
) -> Sequence[str]:
    """Return the true class (N,) of each image; both must say the same."""
    known = [[each.classes[i] for i in each.labels] for each in (first, second) if each.labels is not None]
    if len(known) == 2 and known[0] != known[1]:
        differing = [i for i, (x, y) in enumerate(zip(*known, strict=True)) if x != y]
        i = differing[0]
        raise InputError(
            f"{first.name} and {second.name} have different labels for {format_count(len(differing), 'image')}, such "
            f"as {first.images[i]!r:.200}: {known[0][i]!r:.100} and {known[1][i]!r:.100}. Evaluate both again with the "
            "same labels, and the same fix list if there is one"
        )
    if known:
        return known[0]
    labels = [images.find_label(name, classes) for name in first.images]
    if None in labels:
        name = first.images[labels.index(None)]
        raise InputError(
            f"The true class of {name!r:.200} is not known ({labels.count(None):,} of {len(labels):,} images): neither "
            f"{first.name} nor {second.name} has it. data (--data) names the folder or the table of the images with "
            "their classes"
        )
    return [label for label in labels if label is not None]


def _recode(predictions: Predictions, classes: tuple[str, ...]) -> Predictions:
    """Return predictions whose indices are those of `classes`."""
    if predictions.classes == classes:
        return predictions
    index = {name: i for i, name in enumerate(classes)}
    new = np.array([index[name] for name in predictions.classes], "int64")
    probabilities = None
    if predictions.probabilities is not None and len(classes) == len(new):
        probabilities = predictions.probabilities[:, np.argsort(new)]
    return replace(predictions, classes=classes, predicted=new[predictions.predicted], probabilities=probabilities)

"""Divide images into splits: stratified, seeded, with copies and groups of images kept together."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import format_count
from cnnzoo.data.splits import Indices, Shares

WIDER_SHARES: tuple[Shares, ...] = ((0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.5, 0.25, 0.25), (0.4, 0.3, 0.3))  # proposed
NOTHING: Indices = np.arange(0)


class InseparableImages:
    """The images that have to stay on the same side of a split: copies of each other, and images of one group.

    Args:
        keys: one for each image, equal for copies.
        groups: one for each image, equal for images that belong together for another reason; None without groups.
    """

    def __init__(self, keys: Sequence[str] | np.ndarray, groups: Sequence[str] | None = None) -> None:
        self.has_groups = groups is not None
        self.numbers = _ids_by_first_appearance(keys)  # (N,), equal for images that stay together
        if groups is not None:
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            # Copies and groups overlap: a unit is a connected component of the graph of keys and groups
            group_numbers = _ids_by_first_appearance(groups)
            first_group = self.numbers.max() + 1
            nodes = first_group + group_numbers.max() + 1
            edges = (np.ones(len(group_numbers)), (self.numbers, first_group + group_numbers))
            _, components = connected_components(coo_array(edges, (nodes, nodes)), directed=False)
            self.numbers = _ids_by_first_appearance(components[self.numbers])

    def take(self, indices: Indices) -> "InseparableImages":
        """Return the units of the images at `indices`."""
        taken = object.__new__(InseparableImages)
        taken.has_groups, taken.numbers = self.has_groups, _ids_by_first_appearance(self.numbers[indices])
        return taken


def assign_splits(
    given: list[str], labels: np.ndarray, shares: Shares, seed: int, classes: Sequence[str], units: InseparableImages
) -> tuple[tuple[Indices, Indices, Indices], tuple[str, ...]]:
    """Return the indices of train, validation and test, and notes on splits that the source does not define.

    `given` is the split that the source gives each image; empty if it gives none.
    """
    # The source has no splits
    if not any(given):
        return split_three_ways(labels, shares, seed, classes, units), ()

    parts = {split: np.flatnonzero(np.array(given) == split) for split in ("train", "validation", "test")}
    train, validation, test = parts.values()
    for name, part in parts.items():
        if len(part):
            check_every_class(labels[part], classes, name)

    # All three, or a training part only
    if len(validation) and len(test):
        if shares[1]:
            return (train, validation, test), ()
        images = format_count(len(validation), "image")
        note = f"The validation part ({images}) is used for training, as the share of validation is 0."
        return (np.sort(np.concatenate([train, validation])), NOTHING, test), (note,)
    if not len(test) and not len(validation):
        first, second, third = split_three_ways(labels[train], shares, seed, classes, units.take(train))
        return (train[first], train[second], train[third]), ()

    # A training and one other part, which is the test split: validation is taken from training
    test_part, other = ("test", test) if len(test) else ("validation", validation)
    if not shares[1]:
        images = format_count(len(train), "image")
        note = f"The {test_part} part is used as the test split, and the training part ({images}) for training alone."
        return (train, NOTHING, other), (note,)

    def take_validation(shares: Shares) -> tuple[Indices, Indices]:
        return stratified_split(labels[train], shares[1], seed, classes, "validation", units.take(train))

    with _proposed_shares(take_validation):
        rest, part = take_validation(shares)
    images = format_count(len(part), "image")
    note = f"The {test_part} part is used as the test split, and {images} of the training part for validation."
    return (train[rest], train[part], other), (note,)


def take_all_for_test(images: int) -> tuple[Indices, Indices, Indices]:
    """Return the indices of train, validation and test if all images are for evaluation."""
    return NOTHING, NOTHING, np.arange(images)


def split_three_ways(
    labels: np.ndarray, shares: Shares, seed: int, classes: Sequence[str], units: InseparableImages
) -> tuple[Indices, Indices, Indices]:
    """Return the indices of train, validation and test; see `stratified_split`.

    Raises:
        InputError: if a split would lack a class; the message proposes shares with which none would. Or if the share of
            test is 0.
    """
    if not shares[2]:
        example = "0.8, 0.1, 0.1" if shares[1] else "0.9, 0, 0.1"
        raise InputError(
            f"splits=({', '.join(f'{share:g}' for share in shares)}) leaves no image for the test split, so the source "
            "needs a test part: a folder test or val beside train, arrays (x, y), (x_test, y_test), or a column of "
            f"splits. It has none. Otherwise give a share for it: splits=({example}) (--splits "
            f"{example.replace(' ', '')})"
        )
    with _proposed_shares(lambda others: _draw_three_splits(labels, others, seed, classes, units), bool(shares[1])):
        return _draw_three_splits(labels, shares, seed, classes, units)


@contextlib.contextmanager
def _proposed_shares(draw: Callable[[Shares], object], with_validation: bool = True) -> Iterator[None]:
    """Add shares with which `draw` works to the message of an InputError in the block."""
    try:
        yield
    except InputError as error:
        for shares in WIDER_SHARES:
            shares = shares if with_validation else (1 - shares[2], 0, shares[2])
            try:
                draw(shares)
            except InputError:
                continue
            text = ", ".join(map(str, shares))
            raise InputError(
                f"{error}. These shares work: splits=({text}) (--splits {text.replace(' ', '')})"
            ) from None
        raise


def _draw_three_splits(
    labels: np.ndarray, shares: Shares, seed: int, classes: Sequence[str], units: InseparableImages
) -> tuple[Indices, Indices, Indices]:
    rest, test = stratified_split(labels, shares[2], seed, classes, "test", units)
    if not shares[1]:
        return rest, NOTHING, test
    share = shares[1] / (shares[0] + shares[1])
    train, validation = stratified_split(labels[rest], share, seed, classes, "validation", units.take(rest))
    return rest[train], rest[validation], test


def stratified_split(
    labels: np.ndarray, share: float, seed: int, classes: Sequence[str], name: str, units: InseparableImages
) -> tuple[Indices, Indices]:
    """Take a `share` of each class for the split `name`, and never separate the images of a unit.

    Args:
        labels: (N,), class indices.
        share: above 0 and below 1.
        seed: seed of the draw.
        classes: the class names.
        name: name of the split that is taken, for messages.
        units: the images that stay together.

    Returns:
        The indices of the rest and of the split.

    Raises:
        InputError: if one of the two would lack a class, or groups make a split of another size than asked for.
    """
    # Copies count once
    unit_labels = _majority_labels(units.numbers, labels, len(classes))
    counts = np.bincount(labels if units.has_groups else unit_labels, minlength=len(classes))
    size = math.ceil(share * (len(labels) if units.has_groups else len(unit_labels)))

    # Refuse what cannot be split
    images = np.bincount(labels, minlength=len(classes))
    rare = [
        f"{label} ({count}{', as its images are copies of images of other classes' if count < own else ''})"
        for label, count, own in zip(classes, counts, images, strict=True)
        if count < 2
    ]
    if rare or size < len(classes):
        more = f" and {len(rare) - 20:,} more" if len(rare) > 20 else ""
        sizes = f"{format_count(size, 'image')} for {len(classes)} classes"
        why = f"too few images of {', '.join(rare[:20])}{more}" if rare else sizes
        raise InputError(f"The {name} split would lack a class: {why}. Give more images or other shares")

    # Draw
    try:
        draw = _draw_whole_groups if units.has_groups else _draw_units
        rest, part = draw(labels, share, seed, units, unit_labels)
    except ValueError as error:  # one side has fewer images than classes
        raise InputError(f"The {name} split cannot be taken: {error}") from None

    # Check the result
    check_every_class(labels[part], classes, name)
    check_every_class(labels[rest], classes, "training")
    if units.has_groups and not share / 2 <= len(part) / len(labels) <= share * 2:
        raise InputError(
            f"The {name} split would have {len(part)} of {len(labels)} images, but {share:.1%} were asked for: there "
            "are too few groups, or they are too large. Choose other shares, or another seed"
        )
    return rest, part


def _draw_units(
    labels: np.ndarray, share: float, seed: int, units: InseparableImages, unit_labels: np.ndarray
) -> tuple[Indices, Indices]:
    """Draw a stratified share of the units; return the indices of the images of the rest and of the share."""
    from sklearn.model_selection import train_test_split

    size = math.ceil(share * len(unit_labels))
    sides = train_test_split(np.arange(len(unit_labels)), test_size=size, stratify=unit_labels, random_state=seed)
    rest, part = (np.flatnonzero(np.isin(units.numbers, side)) for side in sides)
    return rest, part


def _draw_whole_groups(
    labels: np.ndarray, share: float, seed: int, units: InseparableImages, unit_labels: np.ndarray
) -> tuple[Indices, Indices]:
    """Draw whole groups so that the split has about a share of the images of each class.

    Groups differ in size and in labels: the folds are balanced over images, not over groups, and the split consists of
    as many folds as come closest to the share.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    ratio = max(Fraction(share), Fraction(1, 20)).limit_denominator(min(20, len(unit_labels)))
    folds = StratifiedGroupKFold(max(ratio.denominator, 2), shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # about rare classes, which `check_every_class` checks afterwards
        warnings.simplefilter("ignore", UserWarning)
        drawn = list(folds.split(labels, labels, units.numbers))[: max(ratio.numerator, 1)]
    part = np.sort(np.concatenate([fold for _, fold in drawn]))
    return np.setdiff1d(np.arange(len(labels)), part), part


def check_every_class(labels: np.ndarray, classes: Sequence[str], name: str) -> None:
    """Raise InputError if a class has no image in the split `name`."""
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        empty = ", ".join(label for label, count in zip(classes, counts, strict=True) if not count)
        raise InputError(f"The {name} split has no image of: {empty}. Give more images, other classes or other shares")


def _ids_by_first_appearance(keys: Sequence[str] | np.ndarray) -> np.ndarray:
    """Number the keys, equal numbers for equal keys, in the order in which they first appear."""
    _, first, inverse = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _majority_labels(units: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the most frequent label of each unit, the lowest if several are."""
    pairs, counts = np.unique(units * classes + labels, return_counts=True)
    pairs = pairs[np.lexsort((pairs, -counts, pairs // classes))]
    return pairs[np.unique(pairs // classes, return_index=True)[1]] % classes

"""Stratified, seeded splits that keep copies and groups together."""

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from cnnzoo.core.errors import InputError


def check_shares(split: Sequence[float]) -> tuple[float, float, float]:
    """Three positive shares (train, validation, test) that add up to one."""
    shares = list(split) if isinstance(split, list | tuple) else []
    numbers = all(isinstance(share, int | float) and share > 0 for share in shares)
    if len(shares) != 3 or not numbers or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"splits is three positive shares that add up to 1 (train, validation, test). Received: {split}"
        )
    train, validation, test = map(float, shares)
    return train, validation, test


def split_three_ways(
    labels: np.ndarray, shares: tuple[float, float, float], seed: int, classes: Sequence[str], ties: "SplitUnits"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of train, validation and test."""
    rest, test = stratified_split(labels, shares[2], seed, classes, "test", ties)
    share = shares[1] / (shares[0] + shares[1])
    train, validation = stratified_split(labels[rest], share, seed, classes, "validation", ties.of(rest))
    return rest[train], rest[validation], test


def stratified_split(
    labels: np.ndarray, share: float, seed: int, classes: Sequence[str], what: str, ties: "SplitUnits"
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rest and of a `share` of each class; both sides hold every class, or InputError says which not."""
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    units = ties.units
    label = _majority_labels(units, labels, len(classes))  # what has copies counts once
    counts = np.bincount(labels if ties.groups else label, minlength=len(classes))
    size = math.ceil(share * (len(labels) if ties.groups else len(label)))
    rare = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if rare or size < len(classes):
        more = f" and {len(rare) - 20:,} more" if len(rare) > 20 else ""
        why = f"too few images of {', '.join(rare[:20])}{more}" if rare else f"{size} images for {len(classes)} classes"
        raise InputError(f"The {what} split would lack a class: {why}. Give more images or another split")
    try:
        if ties.groups:  # of many sizes and labels: the folds are balanced over images, not over groups
            ratio = max(Fraction(share), Fraction(1, 20)).limit_denominator(min(20, len(label)))
            folds = StratifiedGroupKFold(max(ratio.denominator, 2), shuffle=True, random_state=seed)
            with warnings.catch_warnings():  # of rare classes, which `complete` looks after
                warnings.simplefilter("ignore", UserWarning)
                chosen = list(folds.split(labels, labels, units))[: max(ratio.numerator, 1)]
            part = np.sort(np.concatenate([fold for _, fold in chosen]))
            rest = np.setdiff1d(np.arange(len(labels)), part)
        else:
            taken = train_test_split(np.arange(len(label)), test_size=size, stratify=label, random_state=seed)
            rest, part = (np.flatnonzero(np.isin(units, side)) for side in taken)
    except ValueError as error:  # a side with fewer images than classes
        raise InputError(f"The {what} split cannot be taken: {error}") from None
    check_every_class(labels[part], classes, what)
    check_every_class(labels[rest], classes, "training")
    if ties.groups and not share / 2 <= len(part) / len(labels) <= share * 2:
        raise InputError(
            f"The {what} split would have {len(part)} of {len(labels)} images, where {share:.1%} were asked for: the "
            "groups are too few or too large. Choose another split, or another seed"
        )
    return rest, part


class SplitUnits:
    """Which images go to the same side: those that are copies of each other, and those of one group."""

    def __init__(self, keys: Sequence[str] | np.ndarray, groups: Sequence[str] | None = None) -> None:
        """`keys` are equal for copies, `groups` for what else belongs together."""
        self.groups = groups is not None
        self.units = _number_keys(keys)
        if groups is not None:
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            theirs = _number_keys(groups)
            images, n = self.units.max() + 1, self.units.max() + theirs.max() + 2
            graph = coo_array((np.ones(len(theirs)), (self.units, images + theirs)), (n, n))
            self.units = _number_keys(connected_components(graph, directed=False)[1][self.units])

    def of(self, indices: np.ndarray) -> "SplitUnits":
        """The ties among some of the images."""
        part = object.__new__(SplitUnits)
        part.groups, part.units = self.groups, _number_keys(self.units[indices])
        return part


def _number_keys(keys: Sequence[str] | np.ndarray) -> np.ndarray:
    """Numbers for keys, equal for equal ones, in the order in which they first appear."""
    _, first, inverse = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _majority_labels(units: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The commonest label of each unit, the lowest among equals."""
    pairs, counts = np.unique(units * classes + labels, return_counts=True)
    pairs = pairs[np.lexsort((pairs, -counts, pairs // classes))]
    return pairs[np.unique(pairs // classes, return_index=True)[1]] % classes


def check_every_class(labels: np.ndarray, classes: Sequence[str], what: str) -> None:
    """Raise InputError where a class has no image in a split."""
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        empty = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise InputError(f"The {what} split has no image of: {empty}. Give more images, other classes or another split")

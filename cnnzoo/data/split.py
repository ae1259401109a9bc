"""Stratified, seeded splits."""

import math
from collections.abc import Sequence

import numpy as np

from cnnzoo.errors import InputError


def fractions(split: Sequence[float]) -> tuple[float, float, float]:
    """Three positive shares (train, validation, test) that add up to one."""
    shares = list(split) if isinstance(split, list | tuple) else []
    numbers = all(isinstance(share, int | float) and share > 0 for share in shares)
    if len(shares) != 3 or not numbers or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"split is three positive shares that add up to 1 (train, validation, test). Received: {split}"
        )
    train, validation, test = map(float, shares)
    return train, validation, test


def stratified(
    labels: np.ndarray, share: float, seed: int, classes: Sequence[str], what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rest and of a `share` of each class; both sides hold every class, or InputError says which not."""
    from sklearn.model_selection import train_test_split

    counts = np.bincount(labels, minlength=len(classes))
    size = math.ceil(share * len(labels))
    rare = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if rare or size < len(classes):
        why = f"too few images of {', '.join(rare)}" if rare else f"{size} images for {len(classes)} classes"
        raise InputError(f"The {what} split would lack a class: {why}. Give more images or another split")
    try:
        rest, part = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)
    except ValueError as error:  # a side with fewer images than classes
        raise InputError(f"The {what} split cannot be taken: {error}") from None
    rest, part = np.sort(rest), np.sort(part)
    complete(labels[part], classes, what)
    complete(labels[rest], classes, "training")
    return rest, part


def complete(labels: np.ndarray, classes: Sequence[str], what: str) -> None:
    """Raise InputError where a class has no image in a split."""
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        empty = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise InputError(f"The {what} split has no image of: {empty}. Give more images, other classes or another split")

"""The classes that are explained."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.cards import Card
from cnnzoo.core.errors import InputError, shorten_repr, unknown_name

PREDICTED = -1  # stands for the likeliest class
MAX_DIGITS = 9  # of the number of a class
NO_CLASS = -2  # no other class to compare with


@dataclass(frozen=True)
class Target:
    """What one map explains: a class, or one class against another.

    Attributes:
        index: the class, or `PREDICTED`.
        other: the class that it is compared with, or `NO_CLASS`.
    """

    index: int = PREDICTED
    other: int = NO_CLASS

    def resolve(self, probabilities: np.ndarray) -> Target:
        """Return the target with the likeliest class in the place of `PREDICTED`."""
        return Target(int(probabilities.argmax()), self.other) if self.index == PREDICTED else self

    def score(self, probabilities: np.ndarray) -> float:
        """Return the probability of the class; in a contrast, that of the first class if there were only the two."""
        first = float(probabilities[self.index])
        if self.other == NO_CLASS:
            return first
        both = first + float(probabilities[self.other])
        return first / both if both else 0.5

    def log_odds(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the logarithm of how much likelier the class is than all others, or than the other one, (N,)."""
        values = probabilities.astype("float64")
        others = np.delete(values, self.index, axis=1).sum(axis=1) if self.other < 0 else values[:, self.other]
        smallest = np.finfo("float32").tiny
        return np.asarray(np.log(np.maximum(values[:, self.index], smallest)) - np.log(np.maximum(others, smallest)))

    def name(self, classes: Sequence[str]) -> str | tuple[str, str]:
        """Return the name of the class, or the names of both."""
        return classes[self.index] if self.other == NO_CLASS else (classes[self.index], classes[self.other])


def parse_targets(target: Any, card: Card) -> Target | list[Target]:
    """Return the target of all images, or a list with that of each.

    Args:
        target: a class name, its id or its index; a tuple of two of these for a contrast; None for the likeliest
            class; or a list of these.
        card: names the classes.

    Raises:
        InputError: if there is no such class, or a contrast has one class only.
    """
    if isinstance(target, np.ndarray):
        target = target.tolist()
    return [_parse_target(item, card) for item in target] if isinstance(target, list) else _parse_target(target, card)


def _parse_target(target: Any, card: Card) -> Target:
    if target is None:
        return Target()
    if not isinstance(target, tuple):
        return Target(_find_class(target, card))
    if len(target) != 2:
        raise InputError(
            "A contrast compares two classes, such as target=('ant', 'bee'); a list has one target for each image. "
            f"Received: {shorten_repr(target)}"
        )
    first, other = (_find_class(name, card) for name in target)
    if first == other:
        raise InputError(f"A contrast needs two different classes. Received: {shorten_repr(target)}")
    return Target(first, other)


def _find_class(name: Any, card: Card) -> int:
    """Return the index of a class, given by its name, its id or its index."""
    classes = card.classes
    if not isinstance(name, str):
        try:
            index = operator.index(name)
        except TypeError:
            index = -1
        if isinstance(name, bool) or not 0 <= index < len(classes):
            raise InputError(
                f"target must be a class of {card.name}, by its name or by its number from 0 to {len(classes) - 1}. "
                f"Received: {shorten_repr(name)}"
            )
        return index
    for names in (classes, card.ids):
        matches = [i for i, known in enumerate(names) if known == name]
        if len(matches) > 1:
            raise InputError(
                f"{card.name} has {len(matches)} classes named {name!r}; give the number of one: "
                f"{', '.join(map(str, matches))}"
            )
        if matches:
            return matches[0]
    if name.isdecimal() and len(name) <= MAX_DIGITS:  # as on the command line
        return _find_class(int(name), card)
    raise unknown_name("class", name, classes)

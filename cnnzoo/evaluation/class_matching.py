"""Bring data for evaluation to the classes of a model: by names, identifiers or indices; classes may be missing."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cnnzoo.cards import Card, default_class_names
from cnnzoo.core.errors import InputError
from cnnzoo.data.images import ImageData

MAX_SHOWN = 10  # class names in a note


def use_classes_of_model(card: Card, data: ImageData) -> tuple[ImageData, list[str]]:
    """Return data for evaluation with the classes of the model, and notes on what was decided.

    The data's classes are matched by name, then by identifier (such as WordNet's of ImageNet), then by a name that
    differs only in case and spaces; numbers are indices of the model's classes. Images of other classes are left out.

    Args:
        card: the model's card.
        data: data that `load_data(..., split="test")` returned.

    Raises:
        InputError: if no class of the data is one of the model's, or the model's classes have no names.
    """
    names = card.classes
    if data.classes == names:
        return data, _describe_absent(data)
    if names == default_class_names(len(names)) and not set(data.classes) <= set(names):
        if len(data.classes) == len(names):
            return data, _describe_absent(data)  # the model's classes have no names, so they take the data's
        raise InputError(
            f"The model has {len(names)} classes without names, and the data has {len(data.classes)}: "
            f"{_list(data.classes)}. Pass load_data(..., classes=[...]) (--classes) with all names of the model's "
            "classes, in its order"
        )

    # Find the model's class of each class
    index_of, notes = _match_names(card, data.classes)
    unknown = [name for name in data.classes if name not in index_of]
    if not index_of:
        raise InputError(
            f"The model's classes are {_list(names)}; the data's are {_list(data.classes)}. Name them alike, or pass "
            "load_data(..., classes=...) (--classes) with the names in the model's order if labels are indices; "
            "cnnzoo.fine_tune gives the model a new head"
        )

    # Leave out the images of other classes
    test, left_out = data.test, []
    counts = np.bincount(test.labels, minlength=len(data.classes))
    if unknown:
        left_out = [f"{name} ({counts[data.classes.index(name)]:,})" for name in unknown]
        is_known = np.isin(test.labels, [data.classes.index(name) for name in index_of])
        test = test.take(np.flatnonzero(is_known))
        notes.append(f"Left out, as the model does not have their class: images of {_list(left_out)}.")
    new_labels = np.array([index_of.get(name, 0) for name in data.classes], "int64")
    data = replace(data, test=replace(test, labels=new_labels[test.labels]), classes=names)
    return data, [*notes, *_describe_absent(data)]


def _match_names(card: Card, names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return the index of the model's class for each name, and notes on matches that are not by name."""
    exact = {name: i for i, name in enumerate(card.classes)}
    ids = {name: i for i, name in enumerate(card.ids)}
    simple = _index_unique([_simplify(name) for name in card.classes])
    indices = {str(i): i for i in range(len(card.classes))}

    found = {name: exact[name] for name in names if name in exact}
    if not found and all(name in indices for name in names):
        pairs = [f"{name} is {card.classes[int(name)]}" for name in names]
        return {name: indices[name] for name in names}, [f"Labels are indices of the model's classes: {_list(pairs)}."]
    by_id = {name: ids[name] for name in names if name not in found and name in ids}
    rest = [name for name in names if name not in found and name not in by_id]
    simple_names = _index_unique([_simplify(name) for name in rest])
    others = {rest[i]: simple[name] for name, i in simple_names.items() if name in simple}
    taken = {*found.values(), *by_id.values()}
    others = {name: i for name, i in others.items() if i not in taken}
    notes = [f"Classes are matched by their identifiers ({_list(by_id, 3)})."] if by_id else []
    if others:
        pairs = [f"{name} is {card.classes[i]}" for name, i in others.items()]
        notes.append(f"Classes with slightly different names are taken as the model's: {_list(pairs)}.")
    return found | by_id | others, notes


def _index_unique(names: Sequence[str]) -> dict[str, int]:
    """Return the index of each name that occurs once."""
    return {name: i for i, name in enumerate(names) if names.count(name) == 1}


def _simplify(name: str) -> str:
    """Return a name without case, accents' forms, and differences between spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _describe_absent(data: ImageData) -> list[str]:
    """Return a note on the classes that have no image."""
    counts = np.bincount(data.test.labels, minlength=len(data.classes))
    absent = [name for name, count in zip(data.classes, counts, strict=True) if not count]
    if not absent:
        return []
    return [f"{len(absent):,} of the {len(data.classes):,} classes have no image: {_list(absent)}."]


def _list(names: Iterable[str], count: int = MAX_SHOWN) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count:,} more" if len(names) > count else "")

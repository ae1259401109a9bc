"""Errors for attributes and items that an object does not have: they suggest the right name."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from cnnzoo.core.errors import ArgumentError, suggest_names

Kind = TypeVar("Kind", bound=type)

# What other libraries call the same thing, and our name for it.
OTHER_ATTRIBUTES = {
    "acc": "accuracy",
    "data": "images",
    "c": "classes",
    "class_name": "label",
    "class_names": "classes",
    "confidence": "probabilities",
    "f1": 'metrics["macro_f1"]',
    "inference": "predict",
    "input_shape": "row.input_shape",
    "labels": "classes",
    "n_classes": "classes",
    "num_classes": "classes",
    "num_params": "row.params",
    "parameters": "row.params",
    "params": "row.params",
    "plot_top_losses": "show_mistakes",
    "predict_proba": "probabilities",
    "probability": "probabilities",
    "show_batch": "show",
    "show_results": "show_mistakes",
    "targets": "labels",
    "test_ds": "test",
    "top_losses": "show_mistakes",
    "train_ds": "train",
    "val": "validation",
    "valid": "validation",
    "val_ds": "validation",
    "vocab": "classes",
    "x": "images",
    "x_test": "test.images",
    "x_train": "train.images",
    "x_val": "validation.images",
    "y": "labels",
    "y_test": "test.labels",
    "y_train": "train.labels",
    "y_val": "validation.labels",
}


class SuggestsAttributes:
    """A base class of objects that users explore: a missing attribute suggests the nearest one.

    Python suggests names too, but only in its own tracebacks, which notebooks do not use. Such an object has no items:
    whoever asks for one reads what to write instead.

    Example:
        >>> cnnzoo.load_data("digits").class_names
        Traceback (most recent call last):
        ...
        AttributeError: ImageData has no attribute 'class_names'. Did you mean .classes?
        >>> cnnzoo.load_data("digits")["train"]
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.ArgumentError: ImageData has no items. Write .train instead of ['train']
    """

    _instead_of_items = ""  # what to write instead of [0], or in place of a loop

    if not TYPE_CHECKING:  # otherwise mypy would take every attribute and every item for one that exists

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, which names the nearest attribute; Python calls this for missing ones only."""
            if hasattr(type(self), name):  # a property raised an AttributeError: raise it again
                return object.__getattribute__(self, name)
            problem = f"{type(self).__name__} has no attribute {name!r}"
            if name.startswith("_"):  # asked for by Python and by notebooks, to see what an object can do
                raise AttributeError(problem)
            nearest = _nearest_attribute(name, _public_names(self))
            raise AttributeError(f"{problem}. Did you mean .{nearest}?" if nearest else problem)

        def __getitem__(self, key: Any) -> Any:
            """Raise ArgumentError, which says what to write instead."""
            problem = f"{type(self).__name__} has no items"
            if isinstance(key, str):
                names = _public_names(self)
                nearest = key if key in names else _nearest_attribute(key, names)
                if nearest:
                    raise ArgumentError(f"{problem}. Write .{nearest} instead of [{key!r}]")
            instead = self._instead_of_items or f"Its attributes: {', '.join(_public_names(self))}"
            raise ArgumentError(f"{problem}. {instead}")


def _public_names(value: object) -> list[str]:
    return [name for name in dir(value) if not name.startswith("_")]


def _nearest_attribute(name: str, names: Iterable[str]) -> str:
    """Return the attribute that is probably meant, such as "train.images"; "" if none is near."""
    other = OTHER_ATTRIBUTES.get(name, "")
    return other if re.split(r"[.\[]", other)[0] in names else next(iter(suggest_names(name, names, 1)), "")


class NamedValues(dict[str, Any]):
    """Values by name; a name that is not among them suggests the nearest one.

    Example:
        >>> from cnnzoo.core.attributes import NamedValues
        >>> NamedValues(accuracy=0.9)["acc"]
        Traceback (most recent call last):
        ...
        KeyError: "There is no 'acc'. Did you mean 'accuracy'? The names: accuracy"
    """

    def __missing__(self, name: str) -> Any:
        nearest = _nearest_attribute(str(name), self)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise KeyError(f"There is no {name!r}.{hint} The names: {', '.join(self)}")


def explain_immutable(remedy: str) -> Callable[[Kind], Kind]:
    """Return a decorator for a frozen dataclass, whose errors about assignments say how to change an object.

    Args:
        remedy: a sentence such as "cnnzoo.recipe(recipe, {name}=...) returns a changed one"; {name} is the field.
    """

    def decorate(kind: Kind) -> Kind:
        def refuse(self: object, name: str, value: object) -> None:
            raise dataclasses.FrozenInstanceError(f"A {kind.__name__} cannot be changed. {remedy.format(name=name)}")

        kind.__setattr__ = refuse  # type: ignore[assignment]  # every instance is frozen anyway
        return kind

    return decorate

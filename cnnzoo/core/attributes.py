"""Errors for attributes that an object does not have: they suggest the right name."""

from typing import TYPE_CHECKING, Any

from cnnzoo.core.errors import suggest_names

# What other libraries call the same thing, and our name for it.
OTHER_ATTRIBUTES = {
    "acc": "accuracy",
    "c": "classes",
    "class_name": "label",
    "class_names": "classes",
    "confidence": "probabilities",
    "inference": "predict",
    "n_classes": "classes",
    "num_classes": "classes",
    "plot_top_losses": "show_mistakes",
    "predict_proba": "probabilities",
    "probability": "probabilities",
    "show_batch": "show",
    "show_results": "show_mistakes",
    "top_losses": "show_mistakes",
    "train_ds": "train",
    "val": "validation",
    "valid": "validation",
    "vocab": "classes",
    "x_test": "test.images",
    "x_train": "train.images",
    "x_val": "validation.images",
    "y_test": "test.labels",
    "y_train": "train.labels",
    "y_val": "validation.labels",
}


class SuggestsAttributes:
    """A base class of objects that users explore: a missing attribute suggests the nearest one.

    Python suggests names too, but only in its own tracebacks, which notebooks do not use.

    Example:
        >>> cnnzoo.load_data("digits").class_names
        Traceback (most recent call last):
        ...
        AttributeError: ImageData has no attribute 'class_names'. Did you mean .classes?
    """

    if not TYPE_CHECKING:  # otherwise mypy would take every attribute for one that exists

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, which names the nearest attribute; Python calls this for missing ones only."""
            if hasattr(type(self), name):  # a property raised an AttributeError: raise it again
                return object.__getattribute__(self, name)
            problem = f"{type(self).__name__} has no attribute {name!r}"
            if name.startswith("_"):  # asked for by Python and by notebooks, to see what an object can do
                raise AttributeError(problem)
            names = [other for other in dir(self) if not other.startswith("_")]
            other = OTHER_ATTRIBUTES.get(name, "")
            nearest = other if other.partition(".")[0] in names else next(iter(suggest_names(name, names, 1)), "")
            raise AttributeError(f"{problem}. Did you mean .{nearest}?" if nearest else problem)

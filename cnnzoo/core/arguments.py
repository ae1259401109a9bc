"""Errors for calls with wrong arguments: they suggest the right name, and say what to do.

Python's own message for a misspelled argument names the argument and nothing else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from cnnzoo.core.errors import ArgumentError, shorten_repr, suggest_names
from cnnzoo.core.progress import show_progress

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=type)

MAX_SHOWN_VALUE = 40  # characters of a value in a message

# What to write instead of arguments that belong elsewhere, or that other libraries have.
OWN_SPLITS = dict.fromkeys(
    ("validation_split", "val_split", "valid_pct", "test_size", "validation_data"),
    "cnnzoo.load_data(..., splits=(0.8, 0.1, 0.1)) sets the shares of training, validation and test",
)
DATA_ARGUMENTS = (
    "cache",
    "classes",
    "image_dir",
    "image_size",
    "levels",
    "split_folders",
    "splits",
    "strict",
    "workers",
)
OF_DATA = OWN_SPLITS | {name: f"cnnzoo.load_data(..., {name}={{value}}) takes it" for name in DATA_ARGUMENTS}
OF_DATA["num_workers"] = "cnnzoo.load_data(..., workers={value}) sets the number of processes that load images"
OF_BATCHES = OWN_SPLITS | {
    "batch_size": 'Batches are made later: recipe=cnnzoo.recipe("sgd", batch_size={value}) for a training, or '
    'data.batches("train", batch_size={value})',
    "augment": 'Images are augmented later: recipe=cnnzoo.recipe("sgd", augment={value}) for a training, or '
    "data.show(augment={value})",
    "shuffle": "Every training shuffles its images, and the seed sets their order",
}
OF_WEIGHTS = {"pretrained": 'weights="imagenet" loads pretrained weights; cnnzoo.info({model}) lists those there are'}


def check_arguments(
    remedies: Mapping[str, str] | None = None,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator for a function that users call, whose errors for wrong arguments name the right ones.

    The signature and the docstring of the function stay visible to editors and `inspect`.

    Args:
        remedies: what to write for arguments that belong elsewhere, by name. In these texts, {value} stands for what
            was received, and {NAME} for another argument of the call.

    Example:
        >>> from cnnzoo.core.arguments import check_arguments
        >>> @check_arguments()
        ... def load(path, *, image_size=None):
        ...     return path
        >>> load("photos", img_size=224)
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.ArgumentError: load has no argument 'img_size'. Did you mean image_size=224?
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature, name = inspect.signature(function), function.__qualname__

        @functools.wraps(function)
        def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            __tracebackhide__ = True  # notebooks and pytest leave this function out of tracebacks
            _check_call(name, signature, args, kwargs, remedies or {})
            if kwargs.get("verbose") is False:  # also while Keras is imported
                with show_progress(name, verbose=False):
                    return function(*args, **kwargs)
            return function(*args, **kwargs)

        return checked

    return decorate


def check_fields(hint: str = "") -> Callable[[Kind], Kind]:
    """Return a decorator for a class, whose constructor's errors for wrong arguments name the right ones.

    Args:
        hint: a sentence that ends every message, such as one on another way to make the object.
    """

    def decorate(kind: Kind) -> Kind:
        construct = kind.__init__  # type: ignore[misc]  # of this very class
        signature, name = inspect.signature(construct), kind.__name__

        @functools.wraps(construct)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            _check_call(name, signature, (self, *args), kwargs, {}, hint)
            construct(self, *args, **kwargs)

        kind.__init__ = checked  # type: ignore[misc]
        return kind

    return decorate


def _check_call(
    name: str,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    remedies: Mapping[str, str],
    hint: str = "",
) -> None:
    """Raise ArgumentError unless a call fits the signature."""
    __tracebackhide__ = True
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [p for key, p in signature.parameters.items() if key not in ("self", "cls")]
        args = args[len(signature.parameters) - len(parameters) :]
        by_position = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        given = dict(zip(by_position, args, strict=False)) | dict(kwargs)
        problem = (
            _explain_unknown(parameters, given, remedies)
            or _explain_positions(parameters, by_position, args, given)
            or _explain_missing(parameters, given)
            or f": {error}"
        )
        end = "" if not hint else f" {hint}" if problem.endswith("?") else f". {hint}"
        raise ArgumentError(f"{name.rpartition('<locals>.')[2]}{problem}{end}") from None


def _explain_unknown(parameters: list[inspect.Parameter], given: Mapping[str, Any], remedies: Mapping[str, str]) -> str:
    """Return what is wrong with the first argument that the function does not have; "" if it has them all."""
    names = [p.name for p in parameters]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return ""
    argument = next((argument for argument in given if argument not in names), None)
    if argument is None:
        return ""
    problem, value = f" has no argument {argument!r}", shorten_repr(given[argument], MAX_SHOWN_VALUE)
    nearest = next(iter(suggest_names(argument, [*names, *remedies], count=1)), None)
    if nearest is not None and nearest in remedies:
        others = {p.name: _show_argument(p, given) for p in parameters}
        return f"{problem}. {remedies[nearest].format_map(others | {'value': value})}"
    if nearest:
        return f"{problem}. Did you mean {nearest}={value}?"
    return f"{problem}. Allowed: {', '.join(names)}"


def _show_argument(parameter: inspect.Parameter, given: Mapping[str, Any]) -> str:
    """Return an argument of a call, or its default, if it is a short text; else its name in capitals."""
    value = given.get(parameter.name, parameter.default)
    return f'"{value}"' if isinstance(value, str) and len(value) <= MAX_SHOWN_VALUE else parameter.name.upper()


def _explain_positions(
    parameters: list[inspect.Parameter], by_position: list[str], args: tuple[Any, ...], given: Mapping[str, Any]
) -> str:
    """Return what to do about arguments that have to be named; "" if all are."""
    if len(args) <= len(by_position):
        return ""
    value = shorten_repr(args[len(by_position)], MAX_SHOWN_VALUE)
    others = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given]
    named = f"; name the others, such as {others[0]}={value}" if others else ""
    taken = f"only {', '.join(by_position)}" if by_position else "no arguments"
    return f" takes {taken} by position{named}. Received: {len(args)} by position"


def _explain_missing(parameters: list[inspect.Parameter], given: Mapping[str, Any]) -> str:
    """Return which arguments a call lacks; "" if it lacks none."""
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [argument for argument in needed if argument not in given]
    return f" needs {' and '.join(missing)}. Received: {', '.join(given) or 'no arguments'}" if missing else ""

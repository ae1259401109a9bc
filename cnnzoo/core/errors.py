"""Errors that users see: what was received, what is allowed, and the nearest valid thing."""

import difflib
import operator
from collections.abc import Iterable


class InputError(ValueError):
    """Something that was given is wrong; the message fits on a line, and the command line exits with 2."""


class BusyError(InputError):
    """Another process is at work there; later it may not be."""


class TrainingError(RuntimeError):
    """Training could not go on; what was reached is kept."""


def check_integer(name: str, value: object, low: int, high: int = 2**32 - 1) -> int:
    """`value` where it is a whole number from `low` to `high`; else an InputError that names it."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # ints and numpy's, no floats
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise InputError(f"{name} is a whole number from {low} to {high}. Received: {value!r}")
    return number


def check_image_size(image_size: object) -> tuple[int, int]:
    """Return the (height, width) of one number or a pair of numbers of pixels; else raise an InputError."""
    sides = image_size if isinstance(image_size, list | tuple) else (image_size, image_size)
    if len(sides) != 2:
        raise InputError(f"image_size is one number or (height, width), in pixels. Received: {image_size!r}")
    height, width = (check_integer("a side of image_size", side, 1, 65_535) for side in sides)
    return height, width


def check_class_names(names: Iterable[object]) -> tuple[str, ...]:
    """Names of classes, distinct and writable; else an InputError."""
    found = tuple(map(str, names))
    if not found or len(set(found)) < len(found):
        raise InputError(f"classes is a list of distinct names. Received: {names!r}")
    if any(name.encode(errors="replace").decode() != name for name in found):
        raise InputError(f"Names of classes are valid text. Received: {names!r}")
    return found


def unknown_name(kind: str, received: object, allowed: Iterable[str]) -> InputError:
    """An InputError for a name that is not among `allowed`, with the nearest ones."""
    names = sorted(allowed)
    text = str(received)
    near = difflib.get_close_matches(text, names, n=3) or [name for name in names if text and name.startswith(text)][:3]
    shown = names if len(names) <= 20 else [*names[:20], "..."]
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(f"Unknown {kind}. {hint}Allowed: {', '.join(shown) or 'none yet'}. Received: {received!r:.200}")


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside, between two steps; the message says how to go on."""

"""Errors for users, and the checks that raise them.

A message says what was received, what is allowed, the nearest valid thing, and what to do next.
"""

import difflib
import operator
from collections.abc import Iterable

MIN_ABBREVIATION = 3  # letters that are taken for the start of a name, even if another name is similar
MAX_SHOWN_NAMES = 30  # of the allowed names in a message

# What other libraries call the same thing, and our name for it.
SYNONYMS = {
    "augmentation": "augment",
    "backend": "runtime",
    "bs": "batch_size",
    "checkpoint": "weights",
    "checkpoint_path": "weights",
    "class_names": "classes",
    "data_augmentation": "augment",
    "img_size": "image_size",
    "in_shape": "input_shape",
    "input_size": "image_size",
    "item_tfms": "image_size",
    "k": "top",
    "labels": "classes",
    "lr": "learning_rate",
    "max_trials": "trials",
    "momentums": "momentum",
    "n_classes": "classes",
    "n_epoch": "epochs",
    "n_epochs": "epochs",
    "n_trials": "trials",
    "nb_classes": "classes",
    "num_classes": "classes",
    "num_epochs": "epochs",
    "opt": "optimizer",
    "out_dir": "run_dir",
    "output_dir": "run_dir",
    "quiet": "verbose",
    "random_state": "seed",
    "save_dir": "run_dir",
    "scheduler": "schedule",
    "size": "image_size",
    "target_size": "image_size",
    "top_k": "top",
    "topk": "top",
    "val": "validation",
    "valid": "validation",
    "wd": "weight_decay",
}


class InputError(ValueError):
    """An argument, an option or a file is wrong. The command line prints the message and exits with status 2."""


class ArgumentError(InputError, TypeError):
    """A function was called with an argument that it does not have, or without one that it needs."""


class BusyError(InputError):
    """Another process is using the same folder; a later attempt may succeed."""


class TrainingError(RuntimeError):
    """Training could not continue, for example because the loss became NaN; the best weights so far are kept."""


class ConnectionLostError(TrainingError):
    """One of several processes that train together cannot reach the others any more, or one of them has failed."""


class Interrupted(KeyboardInterrupt):
    """Training was interrupted between two steps; the message says how to continue."""


def shorten_repr(value: object, length: int = 200) -> str:
    """Return `repr(value)`, cut to `length` characters, for a message; of whatever value, also one without a repr."""
    try:
        text = repr(value)
    except Exception as error:  # integers of more than 4,300 digits, deep nesting, objects of others
        text = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    return text if len(text) <= length else f"{text[:length]}..."


def check_integer(name: str, value: object, low: int, high: int = 2**32 - 1) -> int:
    """Return `value` as an int; raise InputError unless it is a whole number from `low` to `high`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # takes NumPy's integers too, but no floats
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}. Received: {shorten_repr(value)}")
    return number


def check_image_size(image_size: object) -> tuple[int, int]:
    """Return (height, width) of one number or of a pair, in pixels; raise InputError for anything else."""
    sides = image_size if isinstance(image_size, list | tuple) else (image_size, image_size)
    if len(sides) != 2:
        raise InputError(
            f"image_size must be one number or (height, width), in pixels. Received: {shorten_repr(image_size)}"
        )
    height, width = (check_integer("a side of image_size", side, 1, 65_535) for side in sides)
    return height, width


def check_levels(levels: object) -> tuple[float, float] | None:
    """Return (low, high), the levels that become black and white, of one number or of a pair; None stays None.

    One number is the high level; the low one is 0. Raise InputError for anything else.
    """
    if levels is None:
        return None
    pair = tuple(levels) if isinstance(levels, list | tuple) else (0, levels)
    is_number = all(isinstance(level, int | float) and not isinstance(level, bool) for level in pair)
    if len(pair) != 2 or not is_number or not -1e12 < pair[0] < pair[1] < 1e12:  # also refuses NaN
        raise InputError(
            "levels must be the level that becomes white, such as 4095 for 12 bits, or the levels (low, high) that "
            f"become black and white, low first. Received: {levels!r:.100}"
        )
    low, high = (int(level) if level == int(level) else float(level) for level in pair)
    return low, high


def check_class_names(names: Iterable[object]) -> tuple[str, ...]:
    """Return the class names as text; raise InputError unless they are distinct and can be written to a file."""
    class_names = tuple(map(str, names))
    if not class_names or len(set(class_names)) < len(class_names):
        raise InputError(f"classes must be a list of distinct names. Received: {shorten_repr(names, 2000)}")
    if any(name.encode(errors="replace").decode() != name for name in class_names):
        raise InputError(f"Class names must be valid Unicode text. Received: {shorten_repr(names, 2000)}")
    return class_names


def unknown_name(kind: str, received: object, allowed: Iterable[str], list_command: str = "") -> InputError:
    """Return an InputError for a name that is not among `allowed`; it suggests the nearest ones.

    Of a long list, the message shows only the nearest names, and `list_command`, which prints all of them.
    """
    names = sorted(allowed)
    text = received if isinstance(received, str) else shorten_repr(received)
    nearest = suggest_names(text, names)
    hint = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
    shown = ", ".join(names) or "none yet"
    if len(names) > MAX_SHOWN_NAMES:
        examples = difflib.get_close_matches(text, names, n=6, cutoff=0.3) or names[:6]
        all_of_them = f"; `{list_command}` shows all" if list_command else ""
        shown = f"{len(names)} names, such as {', '.join(examples)}{all_of_them}"
    return InputError(f"Unknown {kind}. {hint}Allowed: {shown}. Received: {shorten_repr(received)}")


def suggest_names(received: str, allowed: Iterable[str], count: int = 3) -> list[str]:
    """Return the allowed names that are nearest to what was received, at most `count`.

    Example:
        >>> from cnnzoo.core.errors import suggest_names
        >>> suggest_names("lr", ["learning_rate", "epochs"]), suggest_names("epoch", ["learning_rate", "epochs"])
        (['learning_rate'], ['epochs'])
        >>> suggest_names("val", ["all", "train", "validation"])
        ['validation']
        >>> suggest_names("GradCAM", ["gradcam", "hirescam"])
        ['gradcam']
    """
    names, text = list(allowed), received[:200]
    if SYNONYMS.get(text) in names:
        return [SYNONYMS[text]]
    longer = [name for name in names if text and name.startswith(text)]
    nearest = difflib.get_close_matches(text, names, n=count)
    if not nearest:  # upper and lower case may differ
        by_lower_case = {name.casefold(): name for name in reversed(names)}
        nearest = [by_lower_case[name] for name in difflib.get_close_matches(text.casefold(), by_lower_case, n=count)]
    if len(longer) == 1 and len(text) >= MIN_ABBREVIATION:
        return longer
    return nearest or longer[:count]

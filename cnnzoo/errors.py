"""Errors that users see: what was received, what is allowed, and the nearest valid thing."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that was given is wrong; the message fits on a line, and the command line exits with 2."""


class TrainingError(RuntimeError):
    """Training could not go on; what was reached is kept."""


def unknown(kind: str, received: object, allowed: Iterable[str]) -> InputError:
    """An InputError for a name that is not among `allowed`, with the nearest ones."""
    names = sorted(allowed)
    text = str(received)
    near = difflib.get_close_matches(text, names, n=3) or [name for name in names if text and name.startswith(text)][:3]
    shown = names if len(names) <= 12 else [*names[:12], "..."]
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(f"Unknown {kind}. {hint}Allowed: {', '.join(shown) or 'none yet'}. Received: {received!r}")


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside, between two steps; the message says how to go on."""

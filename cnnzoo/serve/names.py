"""The names of models, which are part of addresses."""

import re

from cnnzoo.core.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: object) -> str:
    """Return the name of a model; raise InputError if it cannot be part of an address."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(
            "The name of a model is part of addresses: at most 64 letters, digits, '.', '_' and '-', the first a "
            f"letter or digit. Received: {name!r:.200}"
        )
    return name


def make_name(text: str) -> str:
    """Return a name that resembles any text.

    Example:
        >>> from cnnzoo.serve.names import make_name
        >>> make_name("my model/2")
        'my-model-2'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64] or "model"

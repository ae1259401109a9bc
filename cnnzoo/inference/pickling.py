"""Pickle classifiers: by the path that they were loaded from, or else by the bytes of their model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.core.forks import check_not_forked

if TYPE_CHECKING:
    import keras


def load_again(load: Callable[..., Any], arguments: tuple[Any, ...], identity: str) -> Any:
    """Return the classifier that was pickled by its path.

    Args:
        load: `cnnzoo.load`.
        arguments: its arguments.
        identity: what `Classifier.content_identity` was.

    Raises:
        InputError: if there is another model at the path, or none.
    """
    path = arguments[0]
    try:
        classifier = load(*arguments)
    except InputError as error:
        raise InputError(
            f"The classifier was pickled by the path {path!r}, which must exist here too: {error}. "
            "Classifier.of(model) is pickled with its weights"
        ) from None
    if classifier.content_identity() != identity:
        raise InputError(
            f"The classifier was pickled by the path {path!r}, which holds another model now, or whose weights were "
            "changed in memory before. Classifier.of(classifier.model) is pickled with its weights"
        )
    return classifier


def restore_classifier(make: Callable[..., Any], content: bytes, card: str, runtime: str, precision: str | None) -> Any:
    """Return the classifier that was pickled with its model; `make` is `Classifier.of`."""
    return make(model_from_bytes(content, card), runtime, precision)


def model_to_bytes(model: keras.Model) -> bytes:
    """Return the content of a .keras file of the model, which does not hold its card."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        return file.read_bytes()


def model_from_bytes(content: bytes, card: str) -> keras.Model:
    """Return the model in the content of a .keras file, with a card in JSON. Pickles are trusted, so this is too."""
    check_not_forked()
    import keras

    import cnnzoo.layers  # noqa: F401  # registers the layers that the file may name

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        file.write_bytes(content)
        model = keras.saving.load_model(file, compile=False)
    return cards.attach_card(model, cards.Card.from_json(card))

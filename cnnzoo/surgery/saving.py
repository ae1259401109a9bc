"""Save a model to a file of Keras, after checking that it can be used from there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo import card_storage, cards
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path
from cnnzoo.surgery.outputs import check_output, has_one_classifying_output

if TYPE_CHECKING:
    import keras


@check_arguments()
def save(model: keras.Model, path: str | Path) -> Path:
    """Write a model, with its card inside, to a .keras file.

    An existing file stays intact until the new one is complete. `cnnzoo.load` reads both back; a model made of stock
    Keras layers can also be loaded with `keras.saving.load_model`, without cnnzoo. A copy of the card, for people and
    for older versions, is written beside the file (.card.json).

    Args:
        model: a Keras model with a graph of layers: functional, or `Sequential` and built.
        path: the file to write; its suffix must be .keras.

    Returns:
        The path of the model file.

    Raises:
        InputError: if the suffix is another one, if the folder cannot be written to, or if `cnnzoo.load` could never
            use the model: because it is subclassed or not built, or ends in a sigmoid or a single number.

    Example:
        >>> path = cnnzoo.save(cnnzoo.get("lenet5"), "lenet5.keras")
        >>> cnnzoo.load(path).model.name
        'lenet5'
    """
    path = check_path(path)
    if path.suffix != ".keras":
        raise InputError(f"The file name of a saved model must end in .keras. Received: {str(path)!r}")
    card_storage.check_has_graph(model)
    if has_one_classifying_output(model):  # feature maps at several strides can be saved too
        check_output(model)
    return cards.write_model_file(model, path)

"""The inputs and outputs of a model, with the names that they have in an exported SavedModel.

A client may thus ask this server or TensorFlow Serving with the export, without a change. The protocols differ only in
how they write tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnzoo.core.errors import suggest_names
from cnnzoo.data.decode import FILE_CHANNELS
from cnnzoo.inference.scores import find_best_classes
from cnnzoo.runtimes.saved_model import TOP_CLASSES
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import show_value
from cnnzoo.serve.served_model import ServedModel

FILES, PIXELS = "image_bytes", "images"  # the inputs, of which a request has one
OUTPUTS = ("class_names", "probabilities", "scores", "errors")
STRINGS = ("class_names", "errors")  # the outputs that are no float32


def takes_files(model: ServedModel) -> bool:
    """Return whether the model classifies image files, which have 1 or 3 channels."""
    return model.classifier.shape[2] in FILE_CHANNELS


def default_input(model: ServedModel) -> str:
    """Return the name of the input that clients are told of."""
    return FILES if takes_files(model) else PIXELS


def check_input(name: Any, model: ServedModel) -> None:
    """Raise RequestError 400 unless `name` is an input: encoded images or pixels, which both may call by either."""
    if name not in (FILES, PIXELS):
        raise RequestError(
            400, f"The input is {default_input(model)!r}, or {PIXELS!r} for pixels. Received: {show_value(name)}"
        )


def check_output(name: Any) -> str:
    """Return the name of an output; raise RequestError 400 if it is none."""
    if name not in OUTPUTS:
        nearest = suggest_names(name, OUTPUTS) if isinstance(name, str) else ()
        hint = f". Did you mean {nearest[0]}?" if nearest else ""
        raise RequestError(400, f"The outputs are {', '.join(OUTPUTS)}. Received: {show_value(name)}{hint}")
    return str(name)


def output_shapes(model: ServedModel) -> dict[str, list[int]]:
    """Return the shape of each output, with -1 for the number of images."""
    top = min(TOP_CLASSES, len(model.classes))
    return {"class_names": [-1, top], "probabilities": [-1, top], "scores": [-1, len(model.classes)], "errors": [-1]}


def make_outputs(model: ServedModel, answers: list[np.ndarray | str]) -> dict[str, np.ndarray]:
    """Return the outputs by their names; strings are an array of objects.

    An image without an answer has its reason in `errors`, no class names, and 0 for every score.
    """
    scores = np.zeros((len(answers), len(model.classes)), "float32")
    errors = np.full(len(answers), "", "object")
    for i, answer in enumerate(answers):
        if isinstance(answer, str):
            errors[i] = answer
        else:
            scores[i] = answer
    best = find_best_classes(scores, min(TOP_CLASSES, len(model.classes)))
    class_names = np.array(model.classes, "object")[best]
    class_names[errors != ""] = ""
    return {
        "class_names": class_names,
        "probabilities": np.take_along_axis(scores, best, axis=1),
        "scores": scores,
        "errors": errors,
    }


def text_size(tensors: dict[str, np.ndarray]) -> int:
    """Return about how many bytes the outputs are as JSON, where a score has some 20 digits."""
    return 20 * tensors["scores"].size

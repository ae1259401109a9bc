"""export: a trained model to a folder that runs elsewhere, compared with the model before it is called done."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.errors import InputError, unknown
from cnnzoo.evaluation.predict import probabilities
from cnnzoo.export import saved_model
from cnnzoo.export.classifier import Classifier, load
from cnnzoo.files import atomic
from cnnzoo.preprocessing import fit

FORMATS = {"saved_model": saved_model.write}
TOLERANCE = 1e-5  # of a probability; float32 graphs differ by rounding only


class Export(NamedTuple):
    """What was written, and how far its probabilities are from the model's at most."""

    path: Path
    format: str
    difference: float


def export(model: Any, path: Any, format: str = "saved_model", *, overwrite: bool = False) -> Export:
    """Write `model` to the folder `path`, and compare the two on seeded images before it is called done.

    Args:
        model: a Keras classifier, or the path of a run or of a .keras file.
        path: a folder that is not there yet, or an earlier one under `overwrite`.
        format: "saved_model": signature `pixels`, uint8 (N, H, W, C) of any size to class names and probabilities.

    Raises:
        InputError: for an unknown format, a path that is taken, a model that is no classifier, or an export that
            does not give the model's probabilities; nothing is written then.
    """
    path = Path(path)
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if path.exists() and not (overwrite and saved_model.is_export(path)):
        how = "choose another path" if overwrite else "overwrite=True (--overwrite) replaces an export and nothing else"
        raise InputError(f"{path} is there already; {how}")
    original = Classifier.of(model) if hasattr(model, "layers") else load(model)
    if original.model is None:
        raise InputError(f"An export is not exported again. Received: {str(model)!r}")
    with atomic(path) as new:
        FORMATS[format](original.model, new)
        difference = compare(original, load(new))
        if not difference <= TOLERANCE:
            raise InputError(f"The export's probabilities differ from the model's by {difference:.2g}; it was not kept")
    return Export(path, format, difference)


def compare(one: Classifier, other: Classifier, count: int = 8) -> float:
    """The largest difference of a probability, over seeded images of the model's own and of another size."""
    draw = np.random.default_rng(0)
    height, width, channels = one.shape
    sizes = [(height, width), (height * 3 // 2 + 1, width + 7)]
    batches = [draw.integers(0, 256, (count, *size, channels), "uint8") for size in sizes]

    def expected(images: np.ndarray) -> np.ndarray:  # resized as in a graph, where pixels may be a level off Pillow's
        return probabilities(one.model, fit(images, one.shape, one.card.pad, **one.card.evaluation))

    return max(float(np.abs(expected(b) - other.probabilities(b)).max()) for b in batches)

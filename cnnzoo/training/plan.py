"""What a run is to do, as plain facts: a run whose plan is another is another run."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.data.images import ImageData
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS, Recipe


def make_plan(
    how: str, model: Any, data: ImageData, recipe: Recipe, seed: int, weights: np.ndarray | None
) -> dict[str, Any]:
    """The plan of a training, ready for JSON; images, labels and weights by their fingerprints."""
    card = cards.card(model)
    return {
        "how": how,
        "model": model.name,
        "variables": _fingerprint_variables(model),
        "preprocessing": card.preprocessing,
        "weights": card.weights,
        "recipe": {
            field: value for field, value in dataclasses.asdict(recipe).items() if field not in DESCRIPTIVE_FIELDS
        },
        "seed": seed,
        "data": {
            "source": data.source,
            "fingerprints": data.fingerprints,
            "classes": list(data.classes),
            "images": {name: len(split) for name, split in data.splits.items()},
            "size": data.account(),
            "cropped from": "resized images" if data.photos and data.cache in ("memory", "disk") else "originals",
            "sample_weight": None if weights is None else hashlib.sha256(weights.data).hexdigest(),
        },
    }


def check_sample_weight(sample_weight: Any, images: int) -> np.ndarray | None:
    """How much each training image counts, checked."""
    if sample_weight is None:
        return None
    try:
        weights = np.ascontiguousarray(sample_weight, "float32")
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight is an array of numbers: {error}") from None
    if weights.shape != (images,) or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise InputError(
            f"sample_weight is one number of 0 at least for each of the {images} training images, not all 0. "
            f"Received: shape {weights.shape}"
        )
    return weights


def _fingerprint_variables(model: Any) -> str:
    """What the model's variables are called and shaped, hashed."""
    # not by the names of layers, which Keras counts on within a process where they are not given
    rows = [(type(layer).__name__, v.name, tuple(v.shape)) for layer in model.layers for v in layer.weights]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]

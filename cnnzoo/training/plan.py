"""The plan of a run: everything that its numbers depend on, as plain values. Another plan makes another run."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.data.augmentation import Augmentation
from cnnzoo.data.checks import check_weights
from cnnzoo.data.images import ImageData
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS, LATER_FIELDS, Recipe

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike


def make_plan(
    task: str, model: keras.Model, data: ImageData, recipe: Recipe, seed: int, sample_weight: np.ndarray | None
) -> dict[str, Any]:
    """Return the plan of a training, ready for JSON; images, labels and weights are given by their fingerprints."""
    card = cards.card(model)
    return {
        "how": task,
        "model": model.name,
        "variables": _fingerprint_variables(model),
        "preprocessing": card.preprocessing,
        "weights": card.weights,
        "recipe": _describe_recipe(recipe),
        "seed": seed,
        "data": {
            "source": data.source,
            "fingerprints": data.fingerprints,
            "classes": list(data.classes),
            "images": {name: len(split) for name, split in data.splits.items()},
            # In the words of earlier versions, so that their runs resume
            "size": data.describe_transform().replace("resized while loading", "resized by the pipeline"),
            "cropped from": _name_crop_source(data, recipe),
            # Only where one is used, so that runs of earlier versions resume
            **({"fix_list": data.fix_list.to_dict()} if data.fix_list else {}),
            "sample_weight": None if sample_weight is None else hashlib.sha256(sample_weight.data).hexdigest(),
        },
    }


def _describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the fields that change a training; those that earlier versions lack only if they are not the default."""
    changed = recipe.changed_fields()
    return {
        name: value
        for name, value in dataclasses.asdict(recipe).items()
        if name not in DESCRIPTIVE_FIELDS and (name in changed or name not in LATER_FIELDS)
    }


def _name_crop_source(data: ImageData, recipe: Recipe) -> str:
    """Return what random crops are taken from, as far as their pixels depend on it."""
    if data.sizing.cache == "device" and Augmentation(recipe.augment, data.train.images.shape[1:3]).area:
        return "images on the device"
    return "resized images" if data.crops_resized_images else "originals"


def resolve_sample_weight(sample_weight: ArrayLike | None, data: ImageData) -> np.ndarray | None:
    """Return the weights of the training images as float32 (N,): those given, or those of the data.

    Returns None for equal weights.

    Raises:
        InputError: if they are not one finite, nonnegative number per image, or all 0; or if both are given.
    """
    if sample_weight is None:
        weights = data.train.weights
        return None if weights is None else check_weights(weights, len(data.train), "training images")
    if data.train.weights is not None:
        raise InputError(
            "The data has sample weights already, and sample_weight gives others. Leave one of them out: the third "
            "component of the data, or the argument"
        )
    return check_weights(sample_weight, len(data.train), "training images")


def _fingerprint_variables(model: keras.Model) -> str:
    """Return a hash of the names and shapes of the model's variables."""
    # Names of layers are left out: where none is given, Keras numbers the layers of a process.
    rows = [(type(layer).__name__, v.name, tuple(v.shape)) for layer in model.layers for v in layer.weights]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]

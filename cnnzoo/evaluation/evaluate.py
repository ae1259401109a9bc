"""What a model is worth on a split of the data, and whether the two go together."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation import calibration
from cnnzoo.evaluation.report import Report
from cnnzoo.surgery.outputs import as_functional, logits_output, predict_probabilities

EVALUATION_BATCH_SIZE = 256


def evaluate(model: Any, data: ImageData, *, split: str = "test", batch_size: int = EVALUATION_BATCH_SIZE) -> Report:
    """The report of one prediction pass over a split of `data`: "train", "validation" or "test".

    Its calibrated figures are by the temperature that training left in the model's card; a model without one takes a
    pass over validation more.
    """
    if split not in data.splits:
        raise unknown_name("split", split, data.splits)
    model = as_functional(model)
    card = cards.card(model)
    data = check_and_bind(model, data)
    classes = match_class_names(card.classes, data.classes)
    before = card.training.get("data", {})
    known = before.get("fingerprints", {}).get(split)
    if before.get("source") == data.source and known != data.fingerprints[split]:
        warnings.warn(
            f"The model was trained on another split of {data.source}: images that it learned from may be among these. "
            "Load the data with the split and seed of its run",
            stacklevel=2,
        )
    part = data.splits[split]
    check_not_empty(data, split)
    guesses = _predict_split(model, data, split, batch_size)
    temperature = card.temperature
    if temperature is None and split == "test" and len(data.validation):
        temperature = fit_validation_temperature(model, data, batch_size)
    notes = (data.account(), *data.notes)
    return Report(
        model.name,
        data.source,
        split,
        classes,
        part.names,
        part.labels,
        guesses,
        part.images,
        temperature=temperature,
        notes=notes,
    )


def fit_validation_temperature(model: Any, data: ImageData, batch_size: int = EVALUATION_BATCH_SIZE) -> float:
    """The temperature that suits the validation split best; see `evaluation.calibration`."""
    return calibration.fit_temperature(data.validation.labels, _predict_split(model, data, "validation", batch_size))


def _predict_split(model: Any, data: ImageData, split: str, batch_size: int) -> np.ndarray:
    part = data.splits[split]
    guesses = predict_probabilities(model, Batches(part, len(data.classes), batch_size))
    if bad := int((~np.isfinite(guesses).all(axis=1)).sum()):
        raise InputError(f"{model.name} gives no numbers for {bad} of {len(part)} images; its weights may be broken")
    return guesses


def check_not_empty(data: ImageData, *splits: str) -> None:
    """Raise InputError where one of the splits has no image."""
    for name in splits:
        if not len(data.splits[name]):
            sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
            raise InputError(f"The {name} split of {data.source} is empty. Received: {sizes} images")


def check_and_bind(model: Any, data: ImageData) -> ImageData:
    """The data at the model's size; raises InputError where the model tells another number of classes."""
    outputs = tuple(logits_output(model).shape)
    if len(outputs) != 2 or outputs[1] != len(data.classes):
        raise InputError(
            f"{model.name} gives outputs of shape {outputs}, the data has {len(data.classes)} classes "
            f"({', '.join(data.classes[:10])}). A model for this data is built with classes={len(data.classes)}; "
            "cnnzoo.fine_tune gives a trained one a new head"
        )
    return bind_to_model(model, data)


def bind_to_model(model: Any, data: ImageData) -> ImageData:
    """The data at the model's size, whatever its classes."""
    shape = model.input_shape[1:]
    if None in shape[:2]:
        shape = (*data.train.images.shape[1:3], shape[2])
    if None in shape:
        raise InputError(f"{model.name} takes images of any size, so load_data(..., image_size=...) must choose one")
    card = cards.card(model)
    return data.bind(shape, card.pad, card.transform)


def match_class_names(model: Sequence[str], data: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, which are the same in model and data, or mere numbers in one of them."""
    if not same_class_names(model, data):
        raise InputError(
            f"The model's classes are {', '.join(model[:20])}, the data's {', '.join(data[:20])}; "
            "load_data(..., classes=...) takes the names in the model's order, and cnnzoo.fine_tune gives the model "
            "a new head"
        )
    return tuple(data) if tuple(model) == default_class_names(data) else tuple(model)


def same_class_names(model: Sequence[str], data: Sequence[str]) -> bool:
    """Whether the names are the same, or as many, and mere numbers on one side."""
    return tuple(model) == tuple(data) or (
        len(model) == len(data) and default_class_names(data) in (tuple(model), tuple(data))
    )


def default_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Numbers in the place of the names."""
    return tuple(map(str, range(len(names))))

"""What a model is worth on a split of the data, and whether the two go together."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.errors import InputError, unknown
from cnnzoo.evaluation import calibration
from cnnzoo.evaluation.predict import functional, logits, probabilities
from cnnzoo.evaluation.report import Report

BATCH = 256


def evaluate(model: Any, data: ImageData, *, split: str = "test", batch_size: int = BATCH) -> Report:
    """The report of one prediction pass over a split of `data`: "train", "validation" or "test".

    Its calibrated figures are by the temperature that training left in the model's card; a model without one takes a
    pass over validation more.
    """
    if split not in data.splits:
        raise unknown("split", split, data.splits)
    model = functional(model)
    card = cards.card(model)
    data = meet(model, data)
    classes = agreed(card.classes, data.classes)
    before = card.training.get("data", {})
    known = before.get("fingerprints", {}).get(split)
    if before.get("source") == data.source and known != data.fingerprints[split]:
        warnings.warn(
            f"The model was trained on another split of {data.source}: images that it learned from may be among these. "
            "Load the data with the split and seed of its run",
            stacklevel=2,
        )
    part = data.splits[split]
    filled(data, split)
    guesses = _guesses(model, data, split, batch_size)
    temperature = card.temperature
    if temperature is None and split == "test" and len(data.validation):
        temperature = temperature_of(model, data, batch_size)
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


def temperature_of(model: Any, data: ImageData, batch_size: int = BATCH) -> float:
    """The temperature that suits the validation split best; see `evaluation.calibration`."""
    return calibration.temperature(data.validation.labels, _guesses(model, data, "validation", batch_size))


def _guesses(model: Any, data: ImageData, split: str, batch_size: int) -> np.ndarray:
    part = data.splits[split]
    guesses = probabilities(model, Batches(part, len(data.classes), batch_size))
    if bad := int((~np.isfinite(guesses).all(axis=1)).sum()):
        raise InputError(f"{model.name} gives no numbers for {bad} of {len(part)} images; its weights may be broken")
    return guesses


def filled(data: ImageData, *splits: str) -> None:
    """Raise InputError where one of the splits has no image."""
    for name in splits:
        if not len(data.splits[name]):
            sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
            raise InputError(f"The {name} split of {data.source} is empty. Received: {sizes} images")


def meet(model: Any, data: ImageData) -> ImageData:
    """The data at the model's size; raises InputError where the model tells another number of classes."""
    outputs = tuple(logits(model).shape)
    if len(outputs) != 2 or outputs[1] != len(data.classes):
        raise InputError(
            f"{model.name} gives outputs of shape {outputs}, the data has {len(data.classes)} classes "
            f"({', '.join(data.classes[:10])}). A model for this data is built with classes={len(data.classes)}; "
            "cnnzoo.fine_tune gives a trained one a new head"
        )
    return sized(model, data)


def sized(model: Any, data: ImageData) -> ImageData:
    """The data at the model's size, whatever its classes."""
    shape = model.input_shape[1:]
    if None in shape[:2]:
        shape = (*data.train.images.shape[1:3], shape[2])
    if None in shape:
        raise InputError(f"{model.name} takes images of any size, so load_data(..., image_size=...) must choose one")
    card = cards.card(model)
    return data.bind(shape, card.pad, card.transform)


def agreed(model: Sequence[str], data: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, which are the same in model and data, or mere numbers in one of them."""
    if not same(model, data):
        raise InputError(
            f"The model's classes are {', '.join(model[:20])}, the data's {', '.join(data[:20])}; "
            "load_data(..., classes=...) takes the names in the model's order, and cnnzoo.fine_tune gives the model "
            "a new head"
        )
    return tuple(data) if tuple(model) == numbers(data) else tuple(model)


def same(model: Sequence[str], data: Sequence[str]) -> bool:
    """Whether the names are the same, or as many, and mere numbers on one side."""
    return tuple(model) == tuple(data) or (len(model) == len(data) and numbers(data) in (tuple(model), tuple(data)))


def numbers(names: Sequence[str]) -> tuple[str, ...]:
    """Numbers in the place of the names."""
    return tuple(map(str, range(len(names))))

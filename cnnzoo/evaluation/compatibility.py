"""Checks that a model and a data set fit each other: sizes, number of classes and class names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnzoo import cards
from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.data.images import ImageData
from cnnzoo.surgery.outputs import logits_output

if TYPE_CHECKING:
    import keras

    from cnnzoo.inference.classifier import Classifier


def check_image_data(data: object) -> ImageData:
    """Return `data`, or raise `InputError` if it does not come from `load_data`."""
    if not isinstance(data, ImageData):
        problem = f"data must come from cnnzoo.load_data. Received: {type(data).__name__}"
        if isinstance(data, str | os.PathLike):
            problem += f"; write cnnzoo.load_data({shorten_repr(os.fspath(data))})"
        elif hasattr(data, "layers"):
            problem += "; the model comes first, then the data"
        raise InputError(problem)
    return data


def check_not_empty(data: ImageData, *splits: str) -> None:
    """Raise `InputError` if one of the named splits has no images."""
    for name in splits:
        if not len(data.splits[name]):
            sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
            hint = "; it was loaded for evaluation alone, with split or splits" if data.is_for_evaluation else ""
            if name == "validation" and not hint:
                hint = ". Load it with a share for validation, such as splits=(0.8, 0.1, 0.1) (--splits 0.8,0.1,0.1)"
            raise InputError(f"The {name} split of {data.source} is empty. Received: {sizes} images{hint}")


def check_output_matches(model: keras.Model, class_names: Sequence[str]) -> None:
    """Raise `InputError` unless `model` has one output per class: logits or probabilities of shape (B, classes)."""
    shape = tuple(logits_output(model).shape)
    if len(shape) != 2 or shape[1] != len(class_names):
        raise InputError(
            f"{model.name} has outputs of shape {shape}, but the data has {len(class_names)} classes "
            f"({', '.join(class_names[:10])}). Build the model with classes={len(class_names)}, or use "
            "cnnzoo.fine_tune, which gives a trained model a new head"
        )


def bind_to_model(
    model: keras.Model,
    data: ImageData,
    *,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
) -> ImageData:
    """Return `data` with every image resized to the input size of `model`, by the transform in the model's card.

    `crop`, `interpolation` and `pad` replace what the card says. The number of classes is not checked. A model that
    accepts any size takes the size that the data already has.

    Raises:
        InputError: if neither the model nor the data determines the size, or if the data was loaded with another
            transform than the one that is asked for.
    """
    card = cards.change_card(cards.card(model), None, crop, interpolation, pad)
    _check_transform_agrees(data, crop, interpolation, pad)
    shape = model.input_shape[1:]
    if None in shape[:2]:
        shape = (*data.train.images.shape[1:3], shape[2])
    if None in shape:
        raise InputError(f"{model.name} accepts images of any size, so choose one: load_data(..., image_size=...)")
    return data.resize_to(shape, card.pad, card.transform)


def bind_to_classifier(
    classifier: Classifier,
    data: ImageData,
    *,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
) -> ImageData:
    """Return `data` with every image resized to the input size of `classifier`, by its transform.

    `crop`, `interpolation` and `pad` replace what the card says, as in `bind_to_model`.

    Raises:
        InputError: if the data was loaded with another transform than the one that is asked for, or if an export adds
            another border than `pad`.
    """
    if classifier.model is None and pad not in (None, classifier.card.pad):
        raise InputError(
            f"The export adds its border of {classifier.card.pad} pixels itself. Received: pad={pad}. Export the model "
            "again: cnnzoo.export(..., pad=...)"
        )
    card = cards.change_card(classifier.card, None, crop, interpolation, pad)
    _check_transform_agrees(data, crop, interpolation, pad)
    return data.resize_to(classifier.shape, card.pad, card.transform)


def _check_transform_agrees(data: ImageData, crop: float | str | None, interpolation: str, pad: int | None) -> None:
    """Raise InputError if the data was loaded with another transform than the one that is asked for."""
    asked = {
        name: value
        for name, value, unset in (("crop", crop, "auto"), ("interpolation", interpolation, "auto"), ("pad", pad, None))
        if value != unset
    }
    if asked and data.transform is not None and not data.has_photos:
        raise InputError(
            f"The images of {data.source} were resized when they were loaded, so {' and '.join(asked)} cannot change "
            "that now. Pass it to load_data, or leave out load_data's image_size"
        )
    loaded = {"crop": (data.sizing.crop, "auto"), "pad": (data.sizing.pad, None)}
    for name, (value, unset) in loaded.items():
        if name in asked and value not in (unset, asked[name]):
            raise InputError(
                f"load_data was given {name}={value!r}, and now {name}={asked[name]!r} is asked for. Give {name} once"
            )


def match_class_names(model_classes: Sequence[str], data_classes: Sequence[str]) -> tuple[str, ...]:
    """Return the class names that model and data share.

    Default names ("0", "1", ...) on one side match any names on the other, which are then returned.

    Raises:
        InputError: if the names differ, or have a different order.
    """
    if not same_class_names(model_classes, data_classes):
        raise InputError(
            f"The model's classes are {', '.join(model_classes[:20])}; the data's are {', '.join(data_classes[:20])}. "
            "Pass load_data(..., classes=...) (--classes) with the names in the model's order, or use cnnzoo.fine_tune "
            "(cnnzoo fine-tune), which "
            "gives the model a new head"
        )
    has_default_names = tuple(model_classes) == cards.default_class_names(len(data_classes))
    return tuple(data_classes) if has_default_names else tuple(model_classes)


def same_class_names(model_classes: Sequence[str], data_classes: Sequence[str]) -> bool:
    """Return whether the names are equal, or equally many with default names on one side."""
    model_classes, data_classes = tuple(model_classes), tuple(data_classes)
    if len(model_classes) != len(data_classes):
        return False
    default_names = cards.default_class_names(len(data_classes))
    return model_classes == data_classes or default_names in (model_classes, data_classes)

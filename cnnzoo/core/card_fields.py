"""Checks of the values in a model card, which anybody may have edited or written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnzoo.core.errors import InputError, check_class_names, check_integer, check_levels, unknown_name

INTERPOLATION_NAMES = ("nearest", "bilinear", "bicubic", "lanczos3")
PREPROCESSING_NAMES = ("torch", "tf", "caffe", "bvlc", "unit", "none")
MAX_TEMPERATURE, LARGEST_NUMBER = 1000, 1e15


def check_card_fields(values: Mapping[str, Any]) -> None:
    """Raise InputError for a field of a card that has a wrong type or an impossible value."""
    if not isinstance(values["name"], str):
        raise InputError(f"name must be text. Received: {values['name']!r:.100}")
    check_names("classes", values.get("classes", ()))
    check_names("ids", values.get("ids", ()))
    if values.get("classes"):
        check_class_names(values["classes"])
    _check_preprocessing(values.get("preprocessing"))
    check_integer("pad", values.get("pad", 0), 0, 10_000)
    temperature = values.get("temperature")
    if temperature is not None and not (_is_number(temperature) and 0 < temperature < MAX_TEMPERATURE):
        raise InputError(f"temperature must be a positive number or null. Received: {temperature!r:.100}")
    check_min_probability(values.get("min_probability"))
    if not isinstance(values.get("calibration", {}), dict):
        raise InputError(f"calibration must be an object. Received: {values['calibration']!r:.100}")
    _check_transform(values.get("transform"))
    _check_weights(values.get("weights"))
    _check_training(values.get("training", {}))


def check_names(field: str, names: object) -> None:
    """Raise InputError unless `names` is a list of texts or whole numbers; one text is not a list of its letters."""
    is_list = isinstance(names, list | tuple)
    if not is_list or not all(isinstance(name, str | int) and not isinstance(name, bool) for name in names):  # type: ignore[attr-defined]
        raise InputError(f'{field} must be a list of names, such as ["cat", "dog"]. Received: {names!r:.100}')


def check_crop(crop: object, *, allow_auto: bool = False) -> None:
    """Raise InputError unless `crop` is None or a share of the side."""
    if crop is None or (allow_auto and isinstance(crop, str) and crop == "auto"):
        return
    if not _is_number(crop) or not 0 < crop <= 1:  # type: ignore[operator]
        allowed = "'auto', None" if allow_auto else "None"
        raise InputError(f"crop must be {allowed}, or a share of the side, above 0 and at most 1. Received: {crop!r}")


def check_min_probability(value: object) -> None:
    """Raise InputError unless `value` is None or a number from 0 to 1."""
    if value is not None and not (_is_number(value) and 0 <= value <= 1):  # type: ignore[operator]
        raise InputError(f"min_probability must be a number from 0 to 1, such as 0.8. Received: {value!r:.100}")


def check_target_accuracy(value: object) -> None:
    """Raise InputError unless `value` is a share above 0 and below 1."""
    if not _is_number(value) or not 0 < value < 1:  # type: ignore[operator]
        raise InputError(
            "target_accuracy must be a share above 0 and below 1, such as 0.95 for 95 % right answers. "
            f"Received: {value!r:.100}"
        )


def check_interpolation(interpolation: object) -> None:
    """Raise InputError unless `interpolation` is the name of a filter."""
    if not isinstance(interpolation, str) or interpolation not in INTERPOLATION_NAMES:
        raise unknown_name("interpolation", interpolation, INTERPOLATION_NAMES)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST_NUMBER < value < LARGEST_NUMBER


def _check_transform(transform: object) -> None:
    if transform is None:
        return
    if not isinstance(transform, dict) or not set(transform) <= {"crop", "interpolation", "levels"}:
        raise InputError(
            f"transform must be an object with crop, interpolation and perhaps levels. Received: {transform!r:.100}"
        )
    check_crop(transform.get("crop"))
    check_interpolation(transform.get("interpolation", "bilinear"))
    levels = transform.get("levels")
    if levels is not None:
        if not isinstance(levels, list | tuple):
            raise InputError(f"levels must be a pair of numbers. Received: {levels!r:.100}")
        check_levels(levels)


def _check_preprocessing(preprocessing: object) -> None:
    if isinstance(preprocessing, str) and preprocessing not in PREPROCESSING_NAMES:
        raise unknown_name("preprocessing", preprocessing, PREPROCESSING_NAMES)
    if preprocessing is None or isinstance(preprocessing, str):
        return
    is_pair = isinstance(preprocessing, list | tuple) and len(preprocessing) == 2
    if not is_pair or not all(_are_numbers(numbers) for numbers in preprocessing):  # type: ignore[attr-defined]
        raise InputError(
            f"preprocessing must be a name ({', '.join(PREPROCESSING_NAMES)}) or a pair of lists of numbers. "
            f"Received: {preprocessing!r:.100}"
        )


def _are_numbers(values: object) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(map(_is_number, values))


def _check_weights(weights: object) -> None:
    """Check the origin of the weights: texts, but for two numbers."""
    if not isinstance(weights, dict | None):
        raise InputError(f"weights must be an object or null. Received: {weights!r:.100}")
    for key in ("top1", "top5"):
        value = (weights or {}).get(key)
        if value is not None and not _is_number(value):
            raise InputError(f"weights.{key} must be a number. Received: {value!r:.100}")
    for key in ("tag", "file", "license", "source", "data"):
        value = (weights or {}).get(key)
        if not isinstance(value, str | None):
            raise InputError(f"weights.{key} must be text. Received: {value!r:.100}")


def _check_training(training: object) -> None:
    """Check the parts of the training's record that are read again."""
    if not isinstance(training, dict):
        raise InputError(f"training must be an object. Received: {training!r:.100}")
    data = training.get("data")
    objects = {"training.data": data, "training.recipe": training.get("recipe")}
    if isinstance(data, dict):
        objects |= {f"training.data.{key}": data.get(key) for key in ("fingerprints", "images")}
    for name, value in objects.items():
        if not isinstance(value, dict | None):
            raise InputError(f"{name} must be an object. Received: {value!r:.100}")
    for name, kind in (("fingerprints", str), ("images", int)):
        values = (objects.get(f"training.data.{name}") or {}).values()
        if not all(isinstance(value, kind) for value in values):
            raise InputError(f"training.data.{name} has a wrong value. Received: {list(values)!r:.100}")

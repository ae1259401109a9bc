"""The data of evaluate and export: in the splits of the model's training, if it is what the model was trained on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cnnzoo.cli.checks import find_model_folder, read_card
from cnnzoo.cli.output import echo
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json_value
from cnnzoo.core.paths import path_exists
from cnnzoo.core.text import format_count
from cnnzoo.inference.runs import RECORD_FILE, find_data_source

if TYPE_CHECKING:
    from cnnzoo.cards import Card
    from cnnzoo.cli.options import DataOptions
    from cnnzoo.data.images import ImageData


def load_evaluation_data(
    card: Card, source: str, split: str | None, data_options: DataOptions
) -> tuple[ImageData, str]:
    """Return the data of `source` and the name of its split on which a model is evaluated.

    Args:
        card: the card of the model; a run's model, and its exports, know their own data.
        source: a source for `cnnzoo.load_data`.
        split: the option --split; None chooses all of the data, or the test split of a run's own data.
        data_options: the options for loading.
    """
    context = click.get_current_context()
    if _is_divided_as_asked(context) and split != "all":
        return data_options.load(source), split or "test"
    data = _load_with_known_classes(card, source, "test" if split in (None, "test") else "all", data_options)
    own_data = None if split in ("test", "all") else _load_own_data(card, source, data, data_options)
    if own_data:
        echo(
            f"{source} holds the data that {card.name} was trained on, so the {split or 'test'} split of its training "
            "is evaluated; --split all evaluates everything",
            err=context.params.get("as_json", False),
        )
        return own_data, split or "test"
    return (data_options.load(source), split) if split in ("validation", "train") else (data, "test")


def load_export_data(model: str, source: str, data_options: DataOptions) -> tuple[ImageData, list[str]]:
    """Return the data of `source` for an export of `model`, and the fix lists that tell the splits of the training.

    Of a run's own data, it is in the splits of the run, so that int8 is calibrated on training images and measured on
    validation images, and the test images stay unseen.
    """
    data, lists, _ = _load_in_own_splits(model, source, data_options, "validation")
    return data, lists


def load_benchmark_data(
    model: str, source: str | None, split: str, data_options: DataOptions
) -> tuple[ImageData | None, str]:
    """Return the data for a benchmark, and why there is none.

    Without a source, it is that of the run, in the splits of its training; if these images are not there any more,
    there is none.
    """
    if source:
        return _load_in_own_splits(model, source, data_options, split)[0], ""
    folder = find_model_folder(model)
    own_source = find_own_source(model)
    if not own_source:
        return None, f"{model} does not say where its images are" if folder else f"{model} is not a run"
    if own_source.startswith("tfds:"):
        return None, f"The data of {model} is {own_source}, which is read only if it is given"
    if Path(own_source).is_absolute() and not path_exists(own_source):
        return None, f"The data of {model} is no longer at {own_source}"
    try:
        data, _, is_own = _load_in_own_splits(model, own_source, data_options, split)
    except InputError as error:
        return None, f"The data of {model} cannot be read: {error}"
    if not is_own:
        return None, f"{own_source} no longer holds the images that {model} was trained on, in the same splits"
    return data, ""


def find_own_source(model: str) -> str:
    """Return by what `load_data` finds the data of a run again, a path or a name; "" if that is not known."""
    folder = find_model_folder(model)
    try:
        record = read_json_value(folder / RECORD_FILE) if folder else None
    except (InputError, OSError):
        return ""
    return find_data_source(record) if isinstance(record, dict) else ""


def _load_in_own_splits(
    model: str, source: str, data_options: DataOptions, measured: str
) -> tuple[ImageData, list[str], bool]:
    """Return the data of `source`, the fix lists that tell its splits, and whether they are those of the training.

    `measured` is the split that the command measures accuracy on.
    """
    from cnnzoo.data.fix_list import FIX_LIST_FILE
    from cnnzoo.data.training_images import TRAINING_IMAGES_FILE, remember_training_images

    lists = list(map(str, data_options.fix_list or ()))
    data, card = data_options.load(source), read_card(model)
    if card is None or _is_divided_as_asked(click.get_current_context()):
        return data, lists, False
    folder = find_model_folder(model)
    if folder and path_exists(digests := folder / TRAINING_IMAGES_FILE):
        remember_training_images(card, digests)
    own_data = _load_own_data(card, source, data, data_options)
    if own_data is None:
        return data, lists, False
    kind = {"train": "training"}.get(measured, measured)
    echo(
        f"{source} holds the data that {card.name} was trained on, so the splits of its training are used: "
        f"{format_count(len(own_data.train), 'training image')} for the calibration of int8, "
        f"{format_count(len(own_data.splits[measured]), f'{kind} image')} to compare on",
        err=click.get_current_context().params.get("as_json", False),
    )
    has_own_list = not lists and own_data.fix_list is not None and folder is not None
    own_lists = [str(folder / FIX_LIST_FILE)] if has_own_list and folder else lists
    return own_data, own_lists, True


def _is_divided_as_asked(context: click.Context) -> bool:
    """Return whether the command says how the data is divided into splits."""
    return any(context.get_parameter_source(name) == ParameterSource.COMMANDLINE for name in ("splits", "seed"))


def _load_with_known_classes(card: Card, source: str, split: str, data_options: DataOptions) -> ImageData:
    """Return the data for evaluation; the classes of the model decide where a folder can be read in two ways."""
    names = list(card.classes)

    def load_with_names() -> ImageData | None:
        try:
            return data_options.load(source, split=split, classes=names)
        except InputError:
            return None

    try:
        data = data_options.load(source, split=split)
    except InputError:
        if not data_options.classes and (known := load_with_names()):
            return known
        raise
    is_known = {*data.classes} & {*names} or all(name.isdecimal() for name in data.classes)
    return data if data_options.classes or is_known else load_with_names() or data


def _load_own_data(card: Card, source: str, data: ImageData, data_options: DataOptions) -> ImageData | None:
    """Return the data of `source` in the splits of the model's training, or None if it is not what it was trained on.

    `data` is the same source, loaded for evaluation. The images are divided with the fix list of the training, of which
    the folder of a run holds a copy. Another list of the user's is applied after that, so that corrected labels are
    measured on the images of the test split.
    """
    from cnnzoo.data.corrections import correct_splits
    from cnnzoo.data.fix_list import FIX_LIST_FILE, read_fix_list
    from cnnzoo.data.training_images import find_training_images

    training_images, options = find_training_images(card), card.training.get("split_options")
    if training_images is None or not options:
        return None
    if not any(set(split.image_digests()) & set(training_images) for split in data.splits.values()):
        return None
    names = list(card.classes) if set(card.classes) >= set(data.classes) else None
    changes = options | ({"classes": names} if names else {})
    was_fixed, lists = card.training["data"].get("fix_list"), data_options.fix_list
    folder = find_model_folder(click.get_current_context().params["model"])
    copy = folder / FIX_LIST_FILE if folder else None
    own_lists = [copy] if copy and was_fixed and path_exists(copy) else None

    def load_divided(fix_list: Any) -> ImageData | None:
        """Return the data, divided after these fixes, if its splits are those of the training."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the same as for `data`
            try:
                divided = data_options.load(source, **changes | {"fix_list": fix_list})
            except InputError:
                return None
        if divided.fingerprints == card.training["data"]["fingerprints"]:
            return divided
        # The fingerprints are of images at the size of the network, so those of other arrays never equal them.
        counts = {name: len(split) for name, split in divided.splits.items()}
        has_same_images = set(divided.train.image_digests()) <= set(training_images)
        is_same = has_same_images and counts == card.training["data"]["images"]
        return divided if is_same and bool(fix_list) == bool(was_fixed) else None

    if own_data := load_divided(lists):
        return own_data
    if own_lists is None and was_fixed:
        echo(
            f"{card.name} was trained with a fix list, so its splits of {source} cannot be told without it: add "
            f"--fix-list with the file, of which the folder of the run holds a copy, {FIX_LIST_FILE}",
            err=True,
        )
        return None
    own_data = load_divided(own_lists) if lists or own_lists else None
    if own_data is None:
        return None
    if own_lists:
        echo(f"The images are divided with the fix list of the training, {copy}", err=True)
    return correct_splits(own_data, read_fix_list(list(lists))) if lists else own_data

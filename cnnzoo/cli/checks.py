"""Check what a command received, before anything slow: nothing here imports Keras or TensorFlow."""

from __future__ import annotations

import json
import os
import shlex
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import click

import cnnzoo
from cnnzoo.cards import Card, find_card, find_networks
from cnnzoo.core.archives import check_keras_archive
from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.paths import check_path, expand_home, nearest_path, path_exists, path_is_file
from cnnzoo.inference.runs import MODEL_FILE, RECORD_FILE, find_run_model, find_winner

EXPORT_FILE = "cnnzoo.json"
PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


# Models by name


def check_new_model(model: str, data: str, weights: str | None, image_size: tuple[int, int] | None) -> None:
    """Check the model of a training, given by its name, with its weights and its image size.

    Raises:
        InputError: if there is no such model or weights, or the images are too small; if model and data are swapped,
            or `model` is a trained one.
    """
    name, colon, tag = model.partition(":")
    if model and not is_model_name(model):
        _check_order(model, data)
        command = click.get_current_context().info_name
        if colon and is_model_name(name) and not path_exists(model):
            check_weights(name, tag)
            raise InputError(
                f"cnnzoo {command} takes the name of a model without weights. To start from these weights: cnnzoo "
                f"fine-tune {model} {data}, or cnnzoo {command} {name} {data} --weights {tag}"
            )
        if _is_trained_model(model):
            raise InputError(
                f"cnnzoo {command} takes the name of a model, such as resnet18, and {model!r} is a trained one. To "
                f"train it further: cnnzoo fine-tune {model} {data}"
            )
    check_model_options(model, weights, image_size)


def check_model_options(name: str, weights: str | None, image_size: tuple[int, int] | None) -> None:
    """Check the name of a model, and the weights and the image size that it is to be built with."""
    row = cnnzoo.info(name).row
    if weights:
        check_weights(name, weights)
    if image_size and min(image_size) < row.min_size:
        height, width = image_size
        raise InputError(
            f"{name} takes images of at least {row.min_size}x{row.min_size}. Received: --image-size {height}x{width}"
        )


def check_weights(name: str, weights: str) -> None:
    """Check that there are weights of a tag, which are not downloaded, or that a file has weights of the model."""
    from cnnzoo.checkpoints.source import check_weights_exist, is_weights_path, resolve_weights
    from cnnzoo.checkpoints.variant_check import check_variant

    check_weights_exist(name, weights)
    if is_weights_path(weights, name):
        source = resolve_weights(name, weights)
        check_variant(
            source, name, cnnzoo.info(name).row, lambda: {m: cnnzoo.info(m).row for m in cnnzoo.list_models()}
        )


def download_weights(name: str, weights: str | None) -> None:
    """Download the published weights of a tag into the cache, unless they are there; before the data is read.

    Raises:
        InputError: if they cannot be downloaded.
    """
    from cnnzoo.checkpoints import manifest
    from cnnzoo.checkpoints.download import fetch
    from cnnzoo.checkpoints.source import is_weights_path

    if not weights or is_weights_path(weights, name):
        return
    row = manifest.find_weights(name, weights)
    if row.url:
        fetch(row.url, row.file, row.hash, row.bytes)


def is_model_name(model: str) -> bool:
    """Return whether there is a model of this name."""
    try:
        cnnzoo.info(model)
    except InputError:
        return False
    return True


def _check_order(model: str, data: str) -> None:
    """Raise InputError if the words for model and data are swapped."""
    is_model_second = is_model_name(data.partition(":")[0]) or _is_trained_model(data)
    is_data_first = path_exists(model) or model == "digits" or model.startswith("tfds:")
    if is_model_second and is_data_first and not _is_trained_model(model):
        command = click.get_current_context().info_name
        raise InputError(f"The model comes first: cnnzoo {command} {data} {model}")


def describe_missing_model(context: click.Context) -> str:
    """Return that MODEL is missing, if the only word of a command that takes MODEL first is data; "" otherwise."""
    arguments = [param for param in context.command.params if isinstance(param, click.Argument)]
    # Click has parsed the words before it complains of the argument that lacks one.
    words = context.params.get(arguments[0].name or "") if arguments else None
    if not isinstance(words, str) or len(arguments) < 2 or arguments[0].name != "model":
        return ""
    is_data = path_exists(words) or words == "digits" or words.startswith("tfds:")
    if not is_data or is_model_name(words) or _is_trained_model(words):
        return ""
    takes_names = context.info_name in ("train", "lr-find", "tune")
    example = "resnet18" if takes_names else "resnet50:imagenet or runs/tuned"
    return f"Missing argument 'MODEL'. It comes first, such as {example}; {words!r:.200} is not a model"


# Trained models


def check_trained_model(model: str, other: str = "", allow_failed: bool = False, takes_exports: bool = True) -> None:
    """Check a run directory, a .keras file, an export, NAME:TAG or NAME:FILE.

    Args:
        model: the word on the command line.
        other: the word after it, which may be the model if the two are swapped.
        allow_failed: whether the model of a run that failed may be used.
        takes_exports: whether the model may be an export.

    Raises:
        InputError: if it is none of these; the message says what it is, or suggests the nearest one.
    """
    path = check_path(model, "the model")
    if not path_exists(path):
        _check_published_model(model, other)
        return
    if other and not _is_trained_model(model):
        _check_order(model, other)
    if (path / EXPORT_FILE).exists():
        if not takes_exports:
            command = click.get_current_context().info_name
            if other and _is_trained_model(other):
                raise InputError(f"The model comes first: cnnzoo {command} {other} {model}")
            raise InputError(
                f"cnnzoo {command} takes a run, a .keras file, NAME:TAG or NAME:FILE. Received the export {model!r}"
            )
        return
    if (path / RECORD_FILE).exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loading gives the same warnings
            find_run_model(path, allow_failed)
        return
    if path.is_dir() and (path / MODEL_FILE).exists():
        return
    if path.is_dir():
        inside = [
            str(folder.parent) for name in (RECORD_FILE, EXPORT_FILE) for folder in sorted(path.glob(f"*/{name}"))
        ]
        hint = f". Did you mean {' or '.join(inside[:3])}?" if inside else ""
        raise InputError(
            "MODEL must be a run directory, a .keras file, an export, NAME:TAG or NAME:FILE; there is none at "
            f"{model!r}, which is a folder of other files{hint}"
        )
    if path.suffix != ".keras":
        _explain_file(path, model)


def check_has_min_probability(model: str) -> None:
    """Check that the card of a run, a .keras file, an export or NAME:TAG has a `min_probability`, without Keras.

    A file that cannot be read passes: loading it tells more.

    Raises:
        InputError: if the card has none; the message says how to get one.
    """
    from cnnzoo.inference.scores import resolve_min_probability

    if card := read_card(model):
        resolve_min_probability("auto", card)


def read_card(model: str) -> Card | None:
    """Return the card of a run, a .keras file, an export or NAME:TAG, without Keras; None if it cannot be read.

    The card of published weights has their name and classes alone, and that of a checkpoint of the user's own is None.
    """
    from cnnzoo.checkpoints.manifest import find_weights
    from cnnzoo.checkpoints.source import is_weights_path
    from cnnzoo.inference.exported import read_export

    path = Path(model)
    if not path_exists(path):
        name, _, tag = model.partition(":")
        if is_weights_path(tag, name):
            return None
        row = find_weights(name, tag)
        classes = row.class_names if row.include_top else ()
        return Card(f"{name}:{tag}", classes=classes, ids=row.class_ids if row.include_top else ())
    if info := read_export(path):
        return info.card
    folder = find_model_folder(model)
    return _read_only_card(path if folder is None or not path.is_dir() else folder / MODEL_FILE)


def find_model_folder(model: str) -> Path | None:
    """Return the folder that holds a model and what its training has left beside it; None for NAME:TAG.

    That of a search is the run of its best recipe.
    """
    path = Path(model)
    if not path_exists(path):
        return None
    if not path.is_dir():
        return path.parent
    has_winner = (path / RECORD_FILE).exists() and not (path / MODEL_FILE).exists()
    return (find_winner(path) if has_winner else None) or path


def _read_only_card(path: Path) -> Card | None:
    """Return the card in a .keras file; None if it holds none or several, or cannot be read."""
    try:
        check_keras_archive(path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        names = find_networks(config)
        return find_card(config, names[0]) if len(names) == 1 else None
    except (OSError, InputError, KeyError, ValueError, RecursionError, zipfile.BadZipFile):
        return None


def _explain_file(path: Path, model: str) -> None:
    """Raise InputError for a file that is no model, and say what to do with it."""
    from cnnzoo.checkpoints.source import CHECKPOINT_SUFFIXES

    if (path.parent / EXPORT_FILE).exists():
        raise InputError(f"{model!r} is a file of an export; give its folder: {path.parent}")
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        raise InputError(
            f"{model!r} holds weights, but does not say of which network. Name it: resnet50:{model}, for a ResNet-50"
        )
    raise InputError(
        "MODEL must be a run directory, a .keras file, an export, NAME:TAG or NAME:FILE; there is none at "
        f"{model!r}, which is a {path.suffix or 'file without a suffix'}"
    )


def _check_published_model(model: str, other: str) -> None:
    """Check NAME:TAG or NAME:FILE, for a word that is no path."""
    name, colon, tag = model.partition(":")
    if colon and not _is_path(name):
        cnnzoo.info(name)
        check_weights(name, tag)
        return
    if is_model_name(model):
        tags = list(dict.fromkeys(row.tag.partition(".")[0] for row in cnnzoo.info(model).weights if row.include_top))
        examples = [f"{model}:{tag}" for tag in tags] or [f"{model}:FILE, with a checkpoint of your own"]
        raise InputError(
            f"{model} is the name of a model without weights. Write {' or '.join(examples)}, or a run directory, a "
            ".keras file or an export"
        )
    if other and _is_trained_model(other):
        command = click.get_current_context().info_name
        raise InputError(f"There is nothing at {model!r}. The model comes first: cnnzoo {command} {other} {model}")
    near = nearest_path(model)
    if not near and not _is_path(model):
        cnnzoo.info(model)  # names the nearest models
    hint = f" Did you mean {near}?" if near else " `cnnzoo list --weights` shows the models with published weights."
    raise InputError(
        f"MODEL must be a run directory, a .keras file, an export, NAME:TAG or NAME:FILE; there is none at {model!r}."
        f"{hint}"
    )


def _is_trained_model(word: str) -> bool:
    """Return whether a word looks like a run, an export, a .keras file or NAME:TAG."""
    if path_exists(word):
        return Path(word).suffix == ".keras" or any(
            path_exists(os.path.join(word, file))  # noqa: PTH118  # takes any text
            for file in (RECORD_FILE, EXPORT_FILE, MODEL_FILE)
        )
    name, colon, _ = word.partition(":")
    return bool(colon) and is_model_name(name)


def _is_path(word: str) -> bool:
    """Return whether a word looks like a path rather than a name."""
    return "/" in word or os.sep in word or Path(word).suffix.lower() in (".keras", *PICTURE_SUFFIXES)


# Data and files


def check_source(data: str) -> None:
    """Check that there is data of this name, and that a folder is not one of images without classes."""
    from cnnzoo.data.sources import check_source_exists, list_source

    check_source_exists(data)
    if _holds_only_pictures(Path(data)):
        list_source(data)  # raises an error, which would come only after the model was loaded


def _holds_only_pictures(path: Path) -> bool:
    """Return whether a path is a folder in which there is nothing but pictures and files of the operating system."""
    from cnnzoo.data.litter import is_litter

    if not path.is_dir():
        return False
    try:
        with os.scandir(path) as entries:
            shown = (entry for entry in entries if not is_litter(entry.name, entry.is_dir()))
            return all(entry.name.casefold().endswith(PICTURE_SUFFIXES) and entry.is_file() for entry in shown)
    except OSError:
        return False  # the one that reads the folder says why


def check_images(images: Sequence[str]) -> list[str]:
    """Return which of the images do not exist.

    Raises:
        InputError: if none exists, or a pattern or folder has no files.
    """
    from cnnzoo.inference.inputs import iter_images

    missing = [image for image in images if describe_missing(image)]
    if len(missing) < len(images):
        for image in images:
            if image not in missing:
                next(iter_images(image), None)  # raises an error for a folder or a pattern without files
        return missing
    others = f"; the other {len(missing) - 1} do not exist either" if len(missing) > 1 else ""
    raise InputError(f"{describe_missing(missing[0])}{others}")


def describe_missing(image: str) -> str:
    """Return why there is nothing at a path, or "" if there is something, or if it is a pattern."""
    from cnnzoo.data.checks import ARRAY_NAMES, holds_arrays
    from cnnzoo.inference.inputs import find_path_fault
    from cnnzoo.inference.patterns import is_pattern

    reason = find_path_fault(image)
    if not reason and holds_arrays(image) and not Path(image).is_dir() and (path_exists(image) or image in ARRAY_NAMES):
        reason = (
            "it names arrays, and this command takes image files. In Python, pass "
            f"cnnzoo.load_data({shorten_repr(image)}).test.images"
        )
    if not reason:
        path = str(expand_home(image)) if image.startswith("~") and not path_exists(image) else image
        if path_exists(path) or is_pattern(path):
            return ""
        near = nearest_path(path)
        reason = f"there is no such file or folder. Did you mean {near}?" if near else "there is no such file or folder"
    return f"Cannot read {shorten_repr(image)} as an image: {reason}"


def check_png(out: Path) -> None:
    """Raise InputError unless a picture can be written to this path."""
    if out.suffix.lower() != ".png" or out.is_dir() or not check_path(out.parent).is_dir():
        raise InputError(f"--out must be a .png file in an existing folder. Received: {str(out)!r}")


def check_out_folder(out: Path | None) -> None:
    """Raise InputError if the folder for a report is a file, or is named like one, or holds a run."""
    if out is None:
        return
    check_folder_name(out)
    if (out / RECORD_FILE).exists():
        raise InputError(f"{out} holds a run, whose report is not replaced; choose another folder")


def check_not_input(out: Path, *inputs: str | None) -> None:
    """Raise InputError if a file to write is one of the inputs of the command, which would be lost."""
    for path in filter(None, inputs):
        if path_is_file(path) and path_is_file(out) and out.samefile(path):
            raise InputError(f"--out cannot be {str(out)!r}: the command reads that file. Give another name")


def check_folder_name(out: Path) -> None:
    """Raise InputError if a folder to write into is a file, or a new one that is named like a page or a table."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out must be a folder; {str(out)!r} is a file")
    if not out.exists() and out.suffix.lower() in (".html", ".csv", ".json"):
        raise InputError(
            f"--out must be a folder, into which the page and tables are written, and {str(out)!r} is named like a "
            f"file. For example: --out {shlex.quote(str(out.with_suffix('')))}"
        )

"""load_data: one way in for every source of images."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.cards import DEFAULT_CROP
from cnnzoo.core.errors import InputError, check_class_names, check_image_size, check_integer, unknown_name
from cnnzoo.data import listing, streams
from cnnzoo.data.arrays import NAMED_ARRAYS, build_from_arrays, check_path, load_named_arrays
from cnnzoo.data.cache import CACHE_MODES
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.images import ImageData, Split
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.photos import Photo, Photos
from cnnzoo.data.scan import ImageFacts, scan_images
from cnnzoo.data.splits import SplitUnits, check_every_class, check_shares, split_three_ways, stratified_split

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")


def load_data(
    source: Any,
    *,
    image_size: int | Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    pad: int | None = None,
    crop: float | str | None = "auto",
    cache: str = "auto",
    doctor: bool = True,
    strict: bool = False,
    label_column: str | None = None,
    group_column: str | None = None,
) -> ImageData:
    """Images and labels from anywhere, checked and in three splits that are stratified and seeded.

    Copies of an image stay on one side of every split; one in training of what a given test part has is left out.

    Args:
        source: a folder with a sub-folder a class, or with train, val (valid, validation) and test folders of such; a
            CSV or Parquet file with a path, relative to it, a label and perhaps a split for each image; "tfds:NAME", or
            a folder that TensorFlow Datasets prepared; a tf.data.Dataset or keras.utils.PyDataset of pairs (image,
            label), or a dict of such by split; "digits" (scikit-learn's handwritten digits); an .npz file with x_train,
            y_train, x_test, y_test, or with x and y; arrays (x, y), or ((x_train, y_train), (x_test, y_test)) as
            keras.datasets gives them. Arrays of images are (N, H, W) or (N, H, W, C) of 0 to 255, labels (N,) class
            indices or names.
        image_size: one number or (height, width), in pixels; the model's by default, when the two meet.
        classes: names, in the order of the label indices; by default the labels' own, class_2 before class_10.
        splits: shares of train, validation and test. A source with a test part of its own keeps it whole;
            the validation share then comes from its training part, where it has none of its own. Where it has
            training and validation parts only, the latter is the test part.
        seed: of the split.
        pad: black pixels to leave around the resized image (MNIST's 28x28 in LeNet's 32x32: 2); the model's by default.
        crop: how much of the resized image's sides the model sees, from 0 to 1, or None for the whole image, squashed.
            "auto" is what the model's weights were evaluated with; without such, 0.875 for files of photos.
        cache: where resized image files are kept for the next epoch: "memory", "disk", "none", or "auto", which is
            memory up to 2 GiB. With "memory" and "disk" training takes its random crops from the resized images.
        doctor: look at every pixel of image files before anything else, and set aside what cannot be used; without,
            only at their headers.
        strict: what would be set aside is an error.
        label_column, group_column: of a table; images of one group stay on one side of every split.

    Raises:
        InputError: for sources, shapes, values or labels that do not do.
    """
    shares, seed = check_shares(splits), check_integer("seed", seed, 0)
    if pad is not None:
        check_integer("pad", pad, 0, 65_535)
    share = isinstance(crop, int | float) and 0 < crop <= 1
    if not (share or crop is None or (isinstance(crop, str) and crop == "auto")):
        raise InputError(f"crop is 'auto', None, or a share of the side, above 0 and at most 1. Received: {crop!r}")
    if cache not in CACHE_MODES:
        raise unknown_name("cache", cache, CACHE_MODES)
    arrays = isinstance(source, str | os.PathLike) and (str(source) in NAMED_ARRAYS or Path(source).suffix == ".npz")
    if isinstance(source, str | os.PathLike) and not arrays:
        found = list_source(source, label_column, group_column)
        data = replace(build_from_files(*found, classes, shares, seed, doctor, strict), crop=DEFAULT_CROP)
    elif (label_column, group_column) != (None, None):
        raise InputError(
            f"label_column and group_column are of tables ({', '.join(TABLE_SUFFIXES)}), which this source is not"
        )
    elif arrays:
        data = build_from_arrays(load_named_arrays(source), Path(source).name, classes, shares, seed)
    elif (stream := streams.read_streams(source)) is not None:
        data = build_from_files("stream", *stream, classes, shares, seed, doctor, strict)
    else:
        data = build_from_arrays(source, "arrays", classes, shares, seed)
    data = replace(data, pad=pad, cache=cache, chosen={} if isinstance(crop, str) else {"crop": crop})
    if image_size is None:
        return data
    return data.bind((*check_image_size(image_size), data.train.images.shape[3]), pad or 0)


NamedListing = tuple[str, list[ListedImage], list[tuple[str, str]]]


def list_source(source: Any, label_column: str | None = None, group_column: str | None = None) -> NamedListing:
    """The name of a source of image files, its images, and what of it is left out; see `load_data`."""
    path, suffix = Path(source), Path(source).suffix.casefold()
    if suffix not in TABLE_SUFFIXES and (label_column, group_column) != (None, None):
        raise InputError(
            f"label_column and group_column are of tables ({', '.join(TABLE_SUFFIXES)}). Received: {str(source)!r}"
        )
    if str(source) in NAMED_ARRAYS or suffix == ".npz":
        raise InputError(f"Image files are looked at, in a folder or a table; {str(source)!r} holds arrays")
    if str(source).startswith("tfds:"):
        return str(source), *streams.read_tfds(str(source).removeprefix("tfds:"))
    if not check_path(path):
        raise unknown_name(
            "data source, and no such file or folder",
            str(source),
            [*NAMED_ARRAYS, "tfds:NAME", "a path to a folder, a table or an .npz file"],
        )
    if path.is_dir():
        name = listing.printable_name(path.resolve().name)  # a report goes places where a path means nothing
        return name, *(streams.read_tfds(str(path)) if streams.is_tfds_folder(path) else listing.list_folder(path))
    if suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"Data is a folder of images, a table ({', '.join(TABLE_SUFFIXES)}), an .npz file, arrays, or one of "
            f"{', '.join(NAMED_ARRAYS)}, tfds:NAME. Received: {str(path)!r}"
        )
    return path.name, listing.list_table(path, label_column, group_column), []


def scan_with_progress(items: Sequence[ListedImage], doctor: bool = True) -> list[ImageFacts]:
    """The facts of every image, with progress."""
    from rich.console import Console
    from rich.progress import track

    console, sources = Console(stderr=True), [item.source for item in items]
    found = scan_images(sources, doctor)
    quiet = not console.is_terminal
    return list(track(found, "Looking at the images", len(items), console=console, transient=True, disable=quiet))


def build_from_files(
    name: str,
    items: list[ListedImage],
    strays: list[tuple[str, str]],
    classes: Sequence[str] | None,
    shares: tuple[float, float, float],
    seed: int,
    doctor: bool,
    strict: bool,
) -> ImageData:
    """The data of image files, looked at, set aside where need be, and split."""
    if isinstance(classes, list | tuple) and not {item.label for item in items} & set(map(str, classes)):
        indices = {str(i): str(label) for i, label in enumerate(classes)}  # labels that are numbers
        items = [replace(item, label=indices.get(item.label, item.label)) for item in items]
    known = _resolve_classes(items, classes)
    facts = scan_with_progress(items, doctor)
    diagnosis, keep = diagnose_images(name, items, facts, strays)
    if diagnosis.aside:
        first = [f"{f.images[0]!r} ({f.reason})" for f in diagnosis.aside[:5]]
        what = f"{name}: {diagnosis.account()}: {', '.join(first)}{', ...' if len(diagnosis.aside) > 5 else ''}"
        if strict or not keep.any():
            raise InputError(what)
        warnings.warn(what, stacklevel=3)
    kept = [(item, fact) for item, fact, good in zip(items, facts, keep, strict=True) if good]
    index = {label: i for i, label in enumerate(known)}
    labels = np.array([index[item.label] for item, _ in kept], "int64")
    photos = [Photo(item.source, item.name, fact.digest, (fact.height, fact.width)) for item, fact in kept]
    everything = Split(Photos(photos), labels, np.array([photo.name for photo in photos]))
    groups = None
    if any(item.group for item in items):  # an image without one is a group of its own
        groups = [item.group or f"\0{i}" for i, (item, _) in enumerate(kept)]
        _check_groups([item for item, _ in kept])
    ties = SplitUnits([photo.digest for photo in photos], groups)
    parts, notes = _assign_splits([item.split for item, _ in kept], labels, shares, seed, known, ties)
    notes = (f"{diagnosis.images:,} files, {diagnosis.account()}.", *notes)
    train, validation, test = map(everything.take, parts)
    return ImageData(train, validation, test, known, name, notes=notes, diagnosis=diagnosis)


def _check_groups(items: Sequence[ListedImage]) -> None:
    """Raise InputError where a group is in several of the splits that the source gives."""
    homes: dict[str, str] = {}
    for item in items:
        if item.group and homes.setdefault(item.group, item.split) != item.split:
            raise InputError(f"The group {item.group!r} is in the splits {homes[item.group]} and {item.split}")


def _resolve_classes(items: Sequence[ListedImage], asked: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, in order; raises InputError where labels are outside them."""
    labels = sorted({item.label for item in items}, key=listing.natural_sort_key)
    trained = {item.label for item in items if item.split in ("", "train")}
    if not trained:
        raise InputError("There is no training part: no train folder, or no line of a table with that split")
    if asked is not None and not isinstance(asked, list | tuple):
        raise InputError(f"classes is a list of two names at least. Received: {asked!r}")
    known = check_class_names(labels if asked is None else asked)
    if strangers := [label for label in labels if label not in known]:
        raise InputError(
            f"Labels outside the {len(known)} classes {', '.join(known[:10])}: {', '.join(strangers[:10])}"
        )
    if untrained := [label for label in known if label not in trained]:
        raise InputError(f"No training image is of the class {', '.join(untrained[:10])}")
    if len(known) < 2:
        raise InputError(f"A classifier needs two classes at least. Received: only {known[0]}")
    return known


def _assign_splits(
    given: list[str],
    labels: np.ndarray,
    shares: tuple[float, float, float],
    seed: int,
    classes: Sequence[str],
    ties: SplitUnits,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[str, ...]]:
    """Indices of train, validation and test, and what was decided where the source does not say all of it."""
    if not any(given):
        return split_three_ways(labels, shares, seed, classes, ties), ()
    parts = {split: np.flatnonzero(np.array(given) == split) for split in ("train", "validation", "test")}
    train, validation, test = parts.values()
    for name, part in parts.items():
        if len(part):
            check_every_class(labels[part], classes, name)
    if len(validation) and len(test):
        return (train, validation, test), ()
    given_test = "test" if len(test) else "validation"
    if not len(test) and not len(validation):
        first, second, third = split_three_ways(labels[train], shares, seed, classes, ties.of(train))
        return (train[first], train[second], train[third]), ()
    rest, part = stratified_split(labels[train], shares[1], seed, classes, "validation", ties.of(train))
    note = f"The {given_test} part is the test split; {len(part):,} images of the training part are for validation."
    return (train[rest], train[part], test if len(test) else validation), (note,)

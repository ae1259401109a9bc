"""load_data: one function for every source of images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.cards import DEFAULT_CROP
from cnnzoo.core.arguments import OF_BATCHES, check_arguments
from cnnzoo.core.errors import (
    InputError,
    check_class_names,
    check_image_size,
    check_integer,
    check_levels,
    unknown_name,
)
from cnnzoo.core.paths import check_path, resolve_path
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import printable_name
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.arrays import NAMED_ARRAYS, build_from_arrays, find_array_parts, load_named_arrays
from cnnzoo.data.bit_depth import Levels, scale_source
from cnnzoo.data.cache import CACHE_MODES
from cnnzoo.data.checks import check_weights, is_file_or_folder
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.evaluation_data import resolve_evaluation_split, select_images
from cnnzoo.data.fix_list import FixList, read_fix_list
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.folders import list_folder
from cnnzoo.data.images import ImageData, Sizing
from cnnzoo.data.labels import describe_like_labels, examine_labels, match_labels
from cnnzoo.data.listing import ListedImage, Listing, natural_sort_key
from cnnzoo.data.metadata import find_metadata, list_metadata
from cnnzoo.data.photos import Photo, Photos
from cnnzoo.data.python_sources import find_tables, is_list_of_pairs, is_stream, split_parts
from cnnzoo.data.scan import scan_with_progress
from cnnzoo.data.splits import InseparableImages, Shares, Split, assign_splits, check_shares, take_all_for_test
from cnnzoo.data.streams import read_streams
from cnnzoo.data.table_files import TABLE_SUFFIXES, check_file_kind, has_table_suffix, read_table_file
from cnnzoo.data.tables import NO_OPTIONS, TableOptions, list_tables
from cnnzoo.data.tfds import is_tfds_folder, read_tfds

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

DEFAULT_SHARES: Shares = (0.8, 0.1, 0.1)


@check_arguments(OF_BATCHES)
def load_data(
    source: "str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any] | tf.data.Dataset | keras.utils.PyDataset",
    *,
    image_size: int | Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    splits: Sequence[float] = DEFAULT_SHARES,
    split: str | None = None,
    seed: int = 0,
    pad: int | None = None,
    crop: float | str | None = "auto",
    cache: str = "auto",
    doctor: bool = True,
    strict: bool = False,
    levels: float | Sequence[float] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    class_folders: str = "auto",
    split_folders: Mapping[str, str] | None = None,
    fix_list: "str | os.PathLike[str] | FixList | Any | None" = None,
    verbose: bool = True,
) -> ImageData:
    """Load images and labels from any source, check them, and split them into training, validation and test data.

    Splits are stratified and seeded. Copies of an image always stay in one split; training images that also occur in a
    test part of the source are removed from training.

    Args:
        source: the source of the images. One of

            * a folder with one sub-folder per class, or with train, validation and test folders that contain these,
              also within another folder; names such as seg_train, Test_Images and dev are understood;
            * a CSV, JSON lines or Parquet file, or a data frame, with a path (relative to the file), a label and
              perhaps a split for each image; or a folder of images with a metadata.jsonl or metadata.csv;
            * (paths, labels), or a list of pairs (path, label);
            * "tfds:NAME", or a folder that TensorFlow Datasets prepared;
            * a tf.data.Dataset, keras.utils.PyDataset, data loader or generator that ends, of (image, label) or
              (image, label, weight);
            * "digits", scikit-learn's handwritten digits;
            * an .npz file with x_train, y_train, x_test, y_test, or with x and y;
            * arrays (x, y) or (x, y, weights). Images are (N, H, W) or (N, H, W, C) of 0 to 255; labels are (N,), class
              indices or names, or one-hot (N, classes);
            * parts of one of these kinds by split: a pair (train, test) as keras.datasets returns it, a triple (train,
              validation, test), or a dict with these keys.
        image_size: side in pixels, or (height, width), of all images. By default, images keep their sizes until they
            are used with a model, and then get the model's.
        classes: class names, in the order of the label indices. By default the labels' own, class_2 before class_10.
        splits: shares of train, validation and test. If the source has a test part, it becomes the test split; if it
            has no validation part, the validation share is taken from its training part. If it has a training and a
            validation part only, the latter becomes the test split.
        split: "test" for data that is for evaluation alone: all images are in the test split, and classes may be
            missing. If the source has several parts, only its test part is used (or validation, if it has none), and
            `notes` say so; "all" uses everything.
        seed: seed of the split.
        pad: black pixels around the resized image, such as 2 for MNIST's 28x28 in LeNet's 32x32. By default the
            model's.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is the crop that the model's weights were evaluated
            with; if they specify none, 0.875 for image files and None for arrays.
        cache: the cache for resized image files: "memory", "disk", "none", or "auto", which is memory
            up to 2 GiB. With "memory" and "disk", training takes its random crops from the resized images.
        doctor: decode every image file first and set aside those that cannot be used. Otherwise only headers are read.
        strict: raise an error instead of setting images aside.
        levels: for images of more than 8 bits, the level that becomes white, such as 4095 for 12 bits in a 16-bit file,
            or the levels (low, high) that become black and white. By default those of the model, or else 0 and 65,535.
            The model keeps them for prediction and export. Images of 8 bits stay as they are.
        path_column: the column of a table with the paths of the images. By default one with a usual name, such as path,
            file_name, image or id.
        label_column: the column of a table with the labels; by default label, class, category, breed, ...
        split_column: the column of a table with the splits; by default split, subset, phase, ...; "" reads none.
        group_column: the column of a table with groups, such as patients, whose images stay in one split.
        image_dir: the folder of a table's images. By default that of the table, or a folder in it.
        class_folders: "outer" if the folders in the source are the classes, "inner" if the folders inside these are.
            "auto" decides by names and structure, says so in `notes`, and raises an error if both are possible.
        split_folders: the split of each folder in the source that is one, such as {"fold1": "train", "fold2": "test"}.
            By default, the names of the folders tell.
        fix_list: a table of images to exclude or to relabel, with the columns path, action (keep, exclude or relabel)
            and label: a CSV file, as `cnnzoo doctor DATA --fix-list FILE` writes it, a data frame, or what
            `data.diagnosis.fix_list()` returns. No file is changed. Only for image files.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        The data in three splits. Printing it shows a table of the classes.

    Raises:
        InputError: if the source, a shape, a value or a label is not usable. The message names it.

    Example:
        >>> data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
        >>> data
        <ImageData digits: 10 classes, 1,257 train, 180 validation, 360 test>
        >>> images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), "uint8")
        >>> data = cnnzoo.load_data((images, ["cat", "dog", "owl"] * 10), image_size=32, splits=(0.4, 0.3, 0.3))
        >>> data.classes, data.train.images.shape
        (('cat', 'dog', 'owl'), (12, 32, 32, 1))
    """
    # Check the options
    shares, seed = check_shares(splits), check_integer("seed", seed, 0)
    evaluation = resolve_evaluation_split(split, shares, DEFAULT_SHARES)
    size = None if image_size is None else check_image_size(image_size)
    _check_crop(crop)
    if pad is not None:
        check_integer("pad", pad, 0, 65_535)
    if cache not in CACHE_MODES:
        raise unknown_name("cache", cache, CACHE_MODES)
    limits = check_levels(levels)
    fixes = None if fix_list is None else read_fix_list(fix_list)

    # Load the source
    sizing = Sizing(crop=crop, pad=pad, cache=cache, levels=limits)
    options = TableOptions(path_column, label_column, split_column, group_column, image_dir)
    with show_progress("Loading the data", verbose=verbose):
        if isinstance(source, str | os.PathLike) and not _holds_arrays(source):
            layout = FolderOptions(classes, class_folders, split_folders)
            name, listing = list_source(source, options, classes, layout, check_labels=True)
            data = build_from_files(name, listing, classes, shares, seed, doctor, strict, limits, evaluation, fixes)
            sizing = replace(sizing, default_crop=DEFAULT_CROP)
        elif (class_folders, split_folders) != ("auto", None):
            raise InputError("class_folders and split_folders apply only to folders; this is none")
        elif isinstance(source, str | os.PathLike):
            _check_no_columns(options, source)
            arrays, notes = load_named_arrays(source)
            data = build_from_arrays(
                scale_source(arrays, limits), Path(source).name, classes, shares, seed, notes, evaluation
            )
        elif arrays := find_array_parts(source):
            _check_no_columns(options, "arrays")
            data = build_from_arrays(scale_source(arrays, limits), "arrays", classes, shares, seed, (), evaluation)
        elif tables := find_tables(parts := split_parts(source)):
            name = " and ".join(dict.fromkeys(table.name for table in tables.values()))
            listing = examine_labels(list_tables(tables, options), classes)
            data = build_from_files(name, listing, classes, shares, seed, doctor, strict, limits, evaluation, fixes)
            sizing = replace(sizing, default_crop=DEFAULT_CROP)
        elif all(is_stream(part) or is_list_of_pairs(part) for part in parts.values()):
            _check_no_columns(options, "a stream")
            if limits is not None:
                raise InputError(
                    "levels applies to image files and arrays. Scale the images of a stream to 0 to 255 before, for "
                    "example with dataset.map"
                )
            listing = examine_labels(read_streams(parts), classes)
            data = build_from_files("stream", listing, classes, shares, seed, doctor, strict, evaluation=evaluation)
        else:
            _check_no_columns(options, "arrays")
            data = build_from_arrays(scale_source(parts, limits), "arrays", classes, shares, seed, (), evaluation)

    if fixes is not None and data.fix_list is None:
        raise InputError("fix_list applies to image files, in a folder or a table; this source has none")

    # Bring the images to a size
    data = replace(data, sizing=sizing, split_options=None if evaluation else (shares, seed))
    if size is None:
        return data
    with show_progress("Resizing the images", verbose=verbose):
        return data.resize_to((*size, data.train.images.shape[3]), pad or 0)


def _check_crop(crop: float | str | None) -> None:
    is_share = isinstance(crop, int | float) and 0 < crop <= 1
    if not (is_share or crop is None or (isinstance(crop, str) and crop == "auto")):
        raise InputError(
            f"crop must be 'auto', None, or a share of the side, above 0 and at most 1. Received: {crop!r}"
        )


def _check_no_columns(options: TableOptions, source: object) -> None:
    """Raise InputError if options for tables are set for another source."""
    if options.named():
        raise InputError(
            f"{', '.join(options.named())} apply only to tables ({', '.join(TABLE_SUFFIXES)}, data frames, paths with "
            f"labels). Received: {source!r}"
        )


def _holds_arrays(source: str | os.PathLike[str]) -> bool:
    return str(source) in NAMED_ARRAYS or Path(source).suffix.casefold() == ".npz"


# List the source


def list_source(
    source: str | os.PathLike[str],
    options: TableOptions = NO_OPTIONS,
    classes: Sequence[str] | None = None,
    folder_options: FolderOptions | None = None,
    *,
    check_labels: bool = False,
) -> tuple[str, Listing]:
    """Return the name of a source of image files, and what it holds; see `load_data`.

    With `check_labels`, labels of tables that cannot be classes are an error.
    """
    path = check_path(source, "the data source")

    # Sources that have no columns, or no files
    folder_options = folder_options or FolderOptions()
    metadata = list[Path]()
    if path.is_dir() and not folder_options.are_given:
        metadata = find_metadata(path, bool(options.named()))
    if not has_table_suffix(path) and not metadata:
        _check_no_columns(options, str(source))
    if _holds_arrays(source):
        raise InputError(f"Image files are needed, in a folder or a table; {str(source)!r} holds arrays")

    # TensorFlow Datasets, folders and tables
    if folder_options.are_given and (not path.is_dir() or is_tfds_folder(path)):
        raise InputError(f"class_folders and split_folders apply only to folders of images. Received: {str(source)!r}")
    if str(source).startswith("tfds:"):
        return str(source), read_tfds(str(source).removeprefix("tfds:"))
    if not is_file_or_folder(path):
        raise unknown_name(
            "data source, and no such file or folder",
            str(source),
            [*NAMED_ARRAYS, "tfds:NAME", "a path to a folder, a table or an .npz file"],
        )
    if metadata:
        listing = list_metadata(path, metadata, options)
        return printable_name(resolve_path(path).name), examine_labels(listing, classes) if check_labels else listing
    if path.is_dir():
        name = printable_name(resolve_path(path).name)  # not the whole path, which means nothing on other machines
        return name, read_tfds(str(path)) if is_tfds_folder(path) else list_folder(path, folder_options)
    if not has_table_suffix(path):
        check_file_kind(path)
        raise InputError(
            f"Data must be a folder of images, a table ({', '.join(TABLE_SUFFIXES)}), an .npz file, arrays, or one of "
            f"{', '.join(NAMED_ARRAYS)}, tfds:NAME. Received: {str(path)!r}"
        )
    listing = list_tables({"": read_table_file(path)}, options)
    return path.name, examine_labels(listing, classes) if check_labels else listing


# Scan, set aside, split, build ImageData


def build_from_files(
    name: str,
    listing: Listing,
    classes: Sequence[str] | None,
    shares: Shares,
    seed: int,
    doctor: bool,
    strict: bool,
    levels: Levels | None = None,
    evaluation: str = "",
    fix_list: FixList | None = None,
) -> ImageData:
    """Build the data of image files: scan them, set aside what cannot be used, and split the others.

    The arguments after `listing` are those of `load_data`; `evaluation` is "test" or "all" for data that is for
    evaluation alone.
    """
    applied_fixes = None
    if fix_list is not None:
        listing, applied_fixes = apply_fix_list(listing, fix_list, classes)
    if evaluation:
        listing = select_images(listing, evaluation)
    images = listing.images

    # Resolve the classes; numeric labels are indices of the names
    labels = {image.label for image in images}
    if isinstance(classes, list | tuple):
        class_of = match_labels(labels, check_class_names(classes))
        images = [replace(image, label=class_of[image.label]) for image in images]
    class_names = _resolve_classes(images, classes, bool(evaluation))

    # Scan all files
    facts = scan_with_progress([image.source for image in images], doctor, levels)

    # Set aside what cannot be used
    diagnosis, usable = diagnose_images(name, images, facts, listing.left_out, levels)
    if lost := diagnosis.lost_images or (not usable.any() and diagnosis.set_aside):
        first = [f"{finding.images[0]!r} ({finding.reason})" for finding in lost[:5]]
        more = ", ..." if len(lost) > 5 else ""
        message = f"{name}: {diagnosis.summary()}: {', '.join(first)}{more}"
        if strict or not usable.any():
            raise InputError(message)
        warn_caller(message)
    level_notes = tuple(f"{finding.reason}." for finding in diagnosis.findings if finding.kind == "levels")
    for note in level_notes:
        warn_caller(f"{name}: {note}")
    used = [(image, fact) for image, fact, good in zip(images, facts, usable, strict=True) if good]

    # Keep copies and groups together
    photos = [Photo(image.source, image.name, fact.digest, (fact.height, fact.width)) for image, fact in used]
    groups = None
    if any(image.group for image in images):
        _check_groups([image for image, _ in used])
        groups = [image.group or f"\0{i}" for i, (image, _) in enumerate(used)]  # without a group: one of its own
    units = InseparableImages([photo.digest for photo in photos], groups)

    # Split
    index = {label: i for i, label in enumerate(class_names)}
    indices_of_classes = np.array([index[image.label] for image, _ in used], "int64")
    given = [image.split for image, _ in used]
    notes: tuple[str, ...] = ()
    if evaluation:
        indices = take_all_for_test(len(used))
    else:
        indices, notes = assign_splits(given, indices_of_classes, shares, seed, class_names, units)

    # Build
    weights = _gather_weights([image for image, _ in used])
    names = np.array([photo.name for photo in photos])
    everything = Split(Photos(photos, levels=levels), indices_of_classes, names, weights)
    train, validation, test = map(everything.take, indices)
    notes = (f"{diagnosis.images:,} files, {diagnosis.summary()}.", *level_notes, *listing.notes, *notes)
    if classes is None:
        notes += tuple(describe_like_labels(class_names))
    return ImageData(
        train, validation, test, class_names, name, notes=notes, diagnosis=diagnosis, fix_list=applied_fixes
    )


def _resolve_classes(
    images: Sequence[ListedImage], classes: Sequence[str] | None, is_evaluation: bool
) -> tuple[str, ...]:
    """Return the class names in order; data for evaluation may lack classes.

    Raises InputError if labels are not among the names, or classes have no images.
    """
    labels = sorted({image.label for image in images}, key=natural_sort_key)
    trained = {image.label for image in images if image.split in ("", "train")}
    if not trained and not is_evaluation:
        raise InputError(
            "There are no training images: add a train folder, or rows with the split train to the table. To evaluate "
            "a model on these images, load_data(..., split='test') or cnnzoo evaluate"
        )
    if classes is not None and not isinstance(classes, list | tuple):
        raise InputError(f"classes must be a list of at least two names. Received: {classes!r}")
    names = check_class_names(labels if classes is None else classes)
    if unknown_labels := [label for label in labels if label not in names]:
        raise InputError(
            f"Labels outside the {len(names)} classes {', '.join(names[:10])}: {', '.join(unknown_labels[:10])}"
        )
    if is_evaluation:
        return names
    if untrained := [label for label in names if label not in trained]:
        raise InputError(f"No training image has the class {', '.join(untrained[:10])}")
    if len(names) < 2:
        raise InputError(
            f"A classifier needs at least two classes. Received: only {names[0]}. If the classes are folders in it, "
            "pass that folder; to evaluate a model on one class, load_data(..., split='test')"
        )
    return names


def _gather_weights(images: Sequence[ListedImage]) -> np.ndarray | None:
    """Return the weights of images (N,), 1 for those without, or None if none has one."""
    if all(image.weight is None for image in images):
        return None
    return check_weights([1.0 if image.weight is None else image.weight for image in images], len(images))


def _check_groups(images: Sequence[ListedImage]) -> None:
    """Raise InputError if a group is in several of the splits that the source gives."""
    split_of: dict[str, str] = {}
    for image in images:
        if image.group and split_of.setdefault(image.group, image.split) != image.split:
            raise InputError(
                f"The group {image.group!r} is in the splits {split_of[image.group]} and {image.split}; "
                "a group must be in one split"
            )

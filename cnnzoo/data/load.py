"""load_data: one function for every source of images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import DEFAULT_CROP
from cnnzoo.core.arguments import OF_BATCHES, check_arguments
from cnnzoo.core.errors import InputError, check_image_size, check_integer, check_levels, unknown_name
from cnnzoo.core.progress import show_progress
from cnnzoo.data.arrays import build_from_arrays, find_array_parts, load_named_arrays
from cnnzoo.data.bit_depth import scale_source
from cnnzoo.data.build_data import FileOptions, build_from_files
from cnnzoo.data.cache import CACHE_MODES
from cnnzoo.data.checks import holds_arrays
from cnnzoo.data.evaluation_data import resolve_evaluation_split
from cnnzoo.data.fix_list import FixList, read_fix_list
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.images import ImageData, Sizing
from cnnzoo.data.labels import examine_labels
from cnnzoo.data.loader import Loader, check_workers
from cnnzoo.data.python_sources import find_tables, is_list_of_pairs, is_stream, split_parts
from cnnzoo.data.sources import check_no_columns, list_source
from cnnzoo.data.splits import DEFAULT_SHARES, check_shares
from cnnzoo.data.streams import read_streams
from cnnzoo.data.tables import TableOptions, list_tables

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


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
    workers: int | str = "auto",
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
            * a folder that `pack` wrote;
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
            validation part only, the latter becomes the test split. (1, 0, 0), or another share of 0 for validation,
            leaves no image for validation: everything beside the test part is trained on, also a validation part. A
            share of 0 for test, as in (0.9, 0.1, 0), needs a source with a test part.
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
            up to 2 GiB. With "memory" and "disk", training takes its random crops from the resized images. "device"
            does so too, and keeps the training and validation images, also those of arrays, on the accelerator,
            where they are shuffled, cropped, shifted and flipped.
        workers: number of processes that load the images of training, validation and evaluation, 0 for threads of this
            process. "auto" is one for each core, up to 16, for 500 image files or more. It changes no pixel.
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
            and label: a CSV file, as `cnnzoo doctor DATA --fix-list FILE` and reports write it, a data frame, what
            `data.diagnosis.fix_list()` returns, or a list of these. No file is changed. Images of arrays are called
            digits[0], arrays[0] or, if there are parts, train[0], as in `data.train.names`.
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
    loader = Loader(check_workers(workers))
    limits = check_levels(levels)
    has_fixes = fix_list is not None and not (isinstance(fix_list, list | tuple) and not fix_list)
    fixes = read_fix_list(fix_list) if has_fixes else None

    # Load the source
    sizing = Sizing(crop=crop, pad=pad, cache=cache, levels=limits)
    options = TableOptions(path_column, label_column, split_column, group_column, image_dir)
    location = os.fsdecode(source) if isinstance(source, str | os.PathLike) else ""
    files = FileOptions(classes, shares, seed, doctor, strict, limits, evaluation, fixes, location)
    with show_progress("Loading the data", verbose=verbose):
        if isinstance(source, str | os.PathLike) and not holds_arrays(source):
            layout = FolderOptions(classes, class_folders, split_folders)
            name, listing = list_source(source, options, classes, layout, check_labels=True)
            data = build_from_files(name, listing, files)
            sizing = replace(sizing, default_crop=DEFAULT_CROP)
        elif (class_folders, split_folders) != ("auto", None):
            raise InputError("class_folders and split_folders apply only to folders; this is none")
        elif isinstance(source, str | os.PathLike):
            check_no_columns(options, source)
            arrays, notes = load_named_arrays(source)
            data = build_from_arrays(
                scale_source(arrays, limits), Path(source).name, classes, shares, seed, notes, evaluation, fixes
            )
        elif arrays := find_array_parts(source):
            check_no_columns(options, "arrays")
            data = build_from_arrays(
                scale_source(arrays, limits), "arrays", classes, shares, seed, (), evaluation, fixes
            )
        elif tables := find_tables(parts := split_parts(source)):
            name = " and ".join(dict.fromkeys(table.name for table in tables.values()))
            listing = examine_labels(list_tables(tables, options), classes)
            data = build_from_files(name, listing, files)
            sizing = replace(sizing, default_crop=DEFAULT_CROP)
        elif all(is_stream(part) or is_list_of_pairs(part) for part in parts.values()):
            check_no_columns(options, "a stream")
            if limits is not None:
                raise InputError(
                    "levels applies to image files and arrays. Scale the images of a stream to 0 to 255 before, for "
                    "example with dataset.map"
                )
            listing = examine_labels(read_streams(parts), classes)
            data = build_from_files("stream", listing, files)
        else:
            check_no_columns(options, "arrays")
            data = build_from_arrays(
                scale_source(parts, limits), "arrays", classes, shares, seed, (), evaluation, fixes
            )

    # Bring the images to a size
    divided = None if evaluation else (shares, seed)
    data = replace(data, sizing=sizing, split_options=divided, location=location).with_loader(loader)
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

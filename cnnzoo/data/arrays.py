"""Data sets that are arrays already: passed as such, in an .npz file, or by name."""

import hashlib
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from cnnzoo.core.archives import ALWAYS_ALLOWED_BYTES, MAX_EXPANSION
from cnnzoo.core.errors import InputError, check_class_names, unknown_name
from cnnzoo.core.paths import check_path
from cnnzoo.core.text import choose_form, format_count
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.checks import ARRAY_NAMES, check_images, check_weights, is_file_or_folder
from cnnzoo.data.evaluation_data import choose_parts
from cnnzoo.data.fix_list import FixList
from cnnzoo.data.images import ImageData
from cnnzoo.data.labels import (
    check_single_labels,
    describe_like_labels,
    describe_number_labels,
    has_number_labels,
    match_labels,
    read_labels,
)
from cnnzoo.data.listing import ListedImage, Listing, natural_sort_key
from cnnzoo.data.splits import Shares, Split, concatenate_splits
from cnnzoo.data.stratify import InseparableImages, assign_splits, take_all_for_test

# Names of images and labels in .npz files, by split; the last of each are MedMNIST's
ARRAY_KEYS = {
    "train": (("x_train", "y_train"), ("X_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("x_val", "y_val"), ("X_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels")),
    "": (("x", "y"), ("X", "y"), ("images", "labels")),
}
ARRAYS_EXPECTED = "Data must be a name, a path, arrays (x, y) or ((x, y), (x_test, y_test))"

Arrays = tuple[Any, ...]  # images and labels, and perhaps weights


def build_from_arrays(
    parts: Mapping[str, Any],
    name: str,
    classes: Sequence[str] | None,
    shares: Shares,
    seed: int,
    notes: Sequence[str] = (),
    evaluation: str = "",
    fix_list: FixList | None = None,
) -> ImageData:
    """Build the data of arrays (x, y) or (x, y, weights), given by split; the split is '' if the source has none.

    With `evaluation`, "test" or "all", the data is for evaluation alone. The fixes of `fix_list` are applied before;
    images are called name[0], name[1], ..., with the name of their part or of the source.
    """
    # Read images and labels
    arrays = {split: _unpack_arrays(part) for split, part in parts.items()}
    if evaluation:
        chosen, evaluation_notes = choose_parts({split: len(x) for split, (x, *_) in arrays.items()}, evaluation)
        arrays, notes = {split: arrays[split] for split in chosen}, [*notes, *evaluation_notes]
    texts = {split: _read_part_labels(y, len(x)) for split, (x, y, _) in arrays.items()}
    image_names = {split: [f"{split or name}[{i}]" for i in range(len(part))] for split, part in texts.items()}
    applied_fixes = None
    if fix_list is not None:
        listing = Listing(
            [
                ListedImage(None, image, text, split)
                for split, part in texts.items()
                for image, text in zip(image_names[split], part, strict=True)
            ],
            [],
        )
        listing, applied_fixes = apply_fix_list(listing, fix_list, classes)
        arrays, texts, image_names = _select_listed(arrays, image_names, listing)
        notes = [*notes, *listing.notes]
    numbers = {has_number_labels(y) for _, y, _ in arrays.values()}
    distinct = {text for part in texts.values() for text in part}
    if len(numbers) > 1 and len(distinct) == sum(len(set(part)) for part in texts.values()):
        raise InputError("Labels are class indices in one part and names in the other; use the same in both")
    class_names, class_notes = _resolve_class_names(classes, distinct, bool(evaluation))
    class_of = match_labels(distinct, class_names, numbers == {True})
    split_of = {
        part: _make_split(x, [class_of[text] for text in texts[part]], weights, class_names, image_names[part])
        for part, (x, _, weights) in arrays.items()
    }
    notes = [*notes, *class_notes]
    if weighted := sum(len(split) for split in split_of.values() if split.weights is not None):
        have = f"{format_count(weighted, 'image')} {choose_form(weighted, 'has', 'have')}"
        notes.append(f"{have} a sample weight; training uses those of its images in the loss.")
    if len({split.images.shape[1:] for split in split_of.values()}) > 1:
        shapes = " and ".join(str(split.images.shape[1:]) for split in split_of.values())
        raise InputError(f"The parts of the data differ in the shape of images, such as training and test: {shapes}")

    if evaluation:
        test = concatenate_splits(list(split_of.values()))
        train, validation, test = map(test.take, take_all_for_test(len(test)))
        return ImageData(train, validation, test, class_names, name, notes=tuple(notes), fix_list=applied_fixes)

    # Copies of an image in a later part are removed from the earlier ones
    digests = {part: _image_digests(split) for part, split in split_of.items()}
    for part, later in (("validation", ("test",)), ("train", ("validation", "test"))):
        others = [digests[other] for other in later if other in digests]
        leaks = np.isin(digests[part], np.concatenate(others)) if part in digests and others else np.zeros(1, bool)
        if leaks.any():
            split_of[part], digests[part] = split_of[part].take(np.flatnonzero(~leaks)), digests[part][~leaks]
            what, where = PART_ADJECTIVES[part], " or ".join(other for other in later if other in digests)
            count = int(leaks.sum())
            occur = choose_form(count, "also occurs", "also occur")
            were = choose_form(count, "was", "were")
            copies = format_count(count, f"{what} image")
            notes.append(f"{copies} {occur} in the {where} part and {were} removed from {what}.")

    # Split
    given = [part for part, split in split_of.items() for _ in range(len(split))]
    labels = np.concatenate([split.labels for split in split_of.values()])
    units = InseparableImages(np.concatenate(list(digests.values())))
    if "train" not in split_of and "" not in split_of:
        raise InputError(
            f"There are no training images. Received: {', '.join(split_of)}. To evaluate a model on these images, "
            "load_data(..., split='test')"
        )
    indices, split_notes = assign_splits(given, labels, shares, seed, class_names, units)
    train, validation, test = (_take_from_parts(split_of, part) for part in indices)
    return ImageData(train, validation, test, class_names, name, notes=(*notes, *split_notes), fix_list=applied_fixes)


PART_ADJECTIVES = {"train": "training", "validation": "validation"}


def _take_from_parts(split_of: Mapping[str, Split], indices: np.ndarray) -> Split:
    """Return the images at `indices`, in ascending order of their parts, into all parts together."""
    taken, start = list[Split](), 0
    for split in split_of.values():
        own = indices[(start <= indices) & (indices < start + len(split))] - start
        if len(own):
            whole = len(own) == len(split) and (np.diff(own) == 1).all()
            taken.append(split if whole else split.take(own))
        start += len(split)
    return concatenate_splits(taken) if taken else next(iter(split_of.values())).take(indices)


def _image_digests(split: Split) -> np.ndarray:
    """Return a digest of each image (N,); copies have the same."""
    assert isinstance(split.images, np.ndarray)
    rows = np.ascontiguousarray(split.images).reshape(len(split), -1)
    return np.array([hashlib.blake2b(row.data, digest_size=16).hexdigest() for row in rows])


def _load_digits() -> Arrays:
    """Load 1,797 handwritten digits of 43 people, 8x8 in 17 levels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype("uint8"), digits.target


NAMED_ARRAYS: dict[str, Callable[[], Arrays]] = dict(zip(ARRAY_NAMES, (_load_digits,), strict=True))


def load_named_arrays(source: Any) -> tuple[dict[str, Arrays], list[str]]:
    """Load arrays by a name in `NAMED_ARRAYS` or from an .npz file; nothing in the file is executed.

    Returns the arrays by split, '' for arrays without one, and notes on what is not used.
    """
    path = check_path(source, "the data source")
    if str(source) in NAMED_ARRAYS:
        return {"": NAMED_ARRAYS[str(source)]()}, []
    if not is_file_or_folder(path):
        raise unknown_name(
            "data source, and no such file or folder", str(source), [*NAMED_ARRAYS, "a path to an .npz file"]
        )
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys = set(file.files)
            names = _find_keys(keys)
            used = {name for pair in names.values() for name in pair}
            _check_unpacked_size(file.zip, used, path.stat().st_size)
            arrays = {split: (file[x], file[y]) for split, (x, y) in names.items()}
    except Exception as error:  # the zip, the header and the pickles in it make NumPy raise many types
        hint = "; save text labels as labels.astype(str)" if "pickle" in str(error) else ""
        raise InputError(f"Cannot read {str(path)!r} as .npz arrays: {error}{hint}") from None
    if not arrays:
        raise InputError(
            f"{path.name} holds neither x_train, y_train, x_test, y_test nor x, y. Received: {', '.join(sorted(keys))}"
        )
    unused = ", ".join(sorted(keys - used))
    return arrays, [f"Arrays of {path.name} that are not used: {unused}."] if unused else []


def find_array_parts(source: Any) -> dict[str, Arrays]:
    """Return the arrays of a dict such as {"x_train": ..., "y_train": ...} by split; none for anything else."""
    if not isinstance(source, Mapping):
        return {}
    return {split: (source[x], source[y]) for split, (x, y) in _find_keys(source.keys()).items()}


def _find_keys(keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the names of images and labels by split."""
    found = {
        split: next((pair for pair in pairs if set(pair) <= set(keys)), None) for split, pairs in ARRAY_KEYS.items()
    }
    if found["train"] and (found["test"] or found["validation"]):
        del found[""]
    else:
        found = {"": found[""]}
    return {split: pair for split, pair in found.items() if pair}


def _check_unpacked_size(archive: zipfile.ZipFile, arrays: Collection[str], file_size: int) -> None:
    """Raise InputError if arrays declare much more than a file of this size holds."""
    total = sum(info.file_size for info in archive.infolist() if info.filename.removesuffix(".npy") in arrays)
    limit = max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * file_size)
    if total > limit:
        raise InputError(
            f"it would unpack to {total:.3g} bytes; a file of {file_size} bytes may unpack to {limit:.3g}. If you "
            "trust it, write it again with numpy.savez, or pass its arrays"
        )


def _unpack_arrays(part: Any) -> tuple[np.ndarray, Any, Any]:
    """Return checked images, labels, and weights or None."""
    if isinstance(part, Mapping):
        raise InputError(
            "A dict of data must have the keys train, validation and test, or columns with paths and labels. "
            f"Received: a dict of {', '.join(map(str, list(part)[:5])) or 'nothing'}"
        )
    try:
        x, y, *weights = part
        if len(weights) > 1:
            raise ValueError("it has more than images, labels and weights")
        x = np.asarray(x)
    except (TypeError, ValueError, LookupError) as error:
        received = f"Received: {type(part).__name__} ({error})"
        if "inhomogeneous" in str(error):
            received += "; images of different sizes are passed as a list of pairs (image, label)"
        if isinstance(part, list | tuple | set | frozenset) and all(isinstance(x, str | PathLike) for x in part):
            received += "; paths need labels, as in load_data((paths, labels))"
        if callable(part):
            received = f"Received: the function {getattr(part, '__name__', part)}; pass what it returns: load_data(f())"
        raise InputError(f"{ARRAYS_EXPECTED}. {received}") from None
    if x.ndim and not len(x):
        raise InputError("The data has no images")
    return check_images(x), y, weights[0] if weights else None


def _read_part_labels(y: Any, images: int) -> list[str]:
    """Return the labels of one part as text, one for each image."""
    texts = read_labels(y)
    if len(texts) != images:
        raise InputError(f"Labels must be (N,), one for each of the {images} images. Received: {len(texts)} labels")
    return texts


def _resolve_class_names(
    classes: Sequence[str] | None, labels: Collection[str], is_evaluation: bool
) -> tuple[tuple[str, ...], list[str]]:
    """Return the class names given, or the labels in natural order, and notes; `labels` are distinct.

    Data for evaluation may have a single class.
    """
    if classes is not None:
        names = check_class_names(classes) if isinstance(classes, list | tuple) else ()
        if len(names) < 2:
            raise InputError(f"classes must be a list of at least two names. Received: {classes!r}")
        return names, []
    if not labels:
        raise InputError("The data has no images")
    if len(labels) < 2 and not is_evaluation:
        raise InputError(f"A classifier needs at least two classes. Received: only {next(iter(labels))}")
    names = check_class_names(sorted(labels, key=lambda label: natural_sort_key(str(label))))
    check_single_labels(names)
    return names, [] if is_evaluation else [*describe_number_labels(names), *describe_like_labels(names)]


def _select_listed(
    arrays: Mapping[str, tuple[np.ndarray, Any, Any]], names: Mapping[str, Sequence[str]], listing: Listing
) -> tuple[dict[str, tuple[np.ndarray, Any, Any]], dict[str, list[str]], dict[str, list[str]]]:
    """Return arrays, labels as text, and names of the images that a listing holds, by split, without empty splits."""
    kept: dict[str, list[ListedImage]] = {split: [] for split in arrays}
    for image in listing.images:
        kept[image.split].append(image)
    chosen = {}
    for split, images in kept.items():
        index = {name: i for i, name in enumerate(names[split])}
        indices = [index[image.name] for image in images]
        x, y, weights = arrays[split]
        if images:
            chosen[split] = x[indices], y, None if weights is None else check_weights(weights, len(x))[indices]
    return (
        chosen,
        {split: [image.label for image in kept[split]] for split in chosen},
        {split: [image.name for image in kept[split]] for split in chosen},
    )


def _make_split(
    images: np.ndarray, labels: Sequence[str], weights: Any, classes: Sequence[str], names: Sequence[str]
) -> Split:
    """Return checked images as a split."""
    index = {label: i for i, label in enumerate(classes)}
    weights = None if weights is None else check_weights(weights, len(images))
    return Split(images, np.array([index[label] for label in labels], "int64"), np.array(names), weights)

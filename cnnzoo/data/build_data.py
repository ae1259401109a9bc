"""Build `ImageData` of listed image files: scan them, set aside what cannot be used, and split the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnzoo.core.errors import InputError, check_class_names
from cnnzoo.core.text import format_count
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.checks import check_weights
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.evaluation_data import select_images
from cnnzoo.data.fix_list import FixList
from cnnzoo.data.images import ImageData
from cnnzoo.data.labels import describe_like_labels, match_labels
from cnnzoo.data.listing import ListedImage, Listing, natural_sort_key
from cnnzoo.data.photos import Photos, make_photo
from cnnzoo.data.scan import scan_with_progress
from cnnzoo.data.splits import Shares, Split
from cnnzoo.data.stratify import InseparableImages, assign_splits, take_all_for_test

HEADERS_ONLY = (
    "Only the headers of the files were read (doctor=False, --no-doctor), so damaged files and near copies may be "
    "missing."
)


@dataclass(frozen=True)
class FileOptions:
    """How image files become data in three splits; most are arguments of `load_data`.

    Attributes:
        classes: class names, in the order of the label indices.
        shares: shares of train, validation and test.
        seed: seed of the split.
        doctor: whether every file is decoded.
        strict: whether an image that would be set aside is an error.
        levels: the levels of images of more than 8 bits that become black and white.
        evaluation: "test" or "all" for data that is for evaluation alone.
        fix_list: images to exclude or relabel.
        location: the source as the user wrote it; empty if it is not a path.
    """

    classes: Sequence[str] | None
    shares: Shares
    seed: int
    doctor: bool
    strict: bool
    levels: Levels | None = None
    evaluation: str = ""
    fix_list: FixList | None = None
    location: str = ""


def build_from_files(name: str, listing: Listing, options: FileOptions) -> ImageData:
    """Build the data of image files: scan them, set aside what cannot be used, and split the others."""
    classes, levels, evaluation = options.classes, options.levels, options.evaluation

    # Leave out what the user does not want
    applied_fixes = None
    if options.fix_list is not None:
        listing, applied_fixes = apply_fix_list(listing, options.fix_list, classes)
    if evaluation:
        listing = select_images(listing, evaluation)
    images = listing.images

    # Resolve the classes; numeric labels are indices of the names
    labels = {image.label for image in images}
    if isinstance(classes, list | tuple):
        class_of = match_labels(labels, check_class_names(classes))
        images = [replace(image, label=class_of[image.label]) for image in images]
    class_names = _resolve_classes(images, classes, bool(evaluation))

    # Scan all files, and set aside what cannot be used
    facts = scan_with_progress(images, options.doctor, levels)
    kept = applied_fixes.kept if applied_fixes else frozenset()
    diagnosis, usable = diagnose_images(
        name,
        images,
        facts,
        listing.left_out,
        levels,
        kept=kept,
        location=options.location,
        notes=() if options.doctor else (HEADERS_ONLY,),
    )
    _report_lost_images(diagnosis, options.strict)
    misleading, unused = _describe_misleading_images(diagnosis), _describe_pages(diagnosis)
    for note in misleading:
        warn_caller(f"{name}: {note}")
    used = [(image, fact) for image, fact, good in zip(images, facts, usable, strict=True) if good]

    photos = [make_photo(image.source, image.name, fact.digest, (fact.height, fact.width)) for image, fact in used]
    units = find_inseparable_images([image for image, _ in used], [photo.digest for photo in photos])

    # Split
    index = {label: i for i, label in enumerate(class_names)}
    indices_of_classes = np.array([index[image.label] for image, _ in used], "int64")
    given = [image.split for image, _ in used]
    notes: tuple[str, ...] = ()
    if evaluation:
        indices = take_all_for_test(len(used))
    else:
        indices, notes = assign_splits(given, indices_of_classes, options.shares, options.seed, class_names, units)

    # Build
    weights = _gather_weights([image for image, _ in used])
    names = np.array([photo.name for photo in photos])
    everything = Split(Photos(photos, levels=levels), indices_of_classes, names, weights)
    train, validation, test = map(everything.take, indices)
    files = diagnosis.describe_files()
    if applied_fixes and applied_fixes.excluded and not evaluation:  # the diagnosis has not seen these
        count = format_count(diagnosis.images + applied_fixes.excluded, "file")
        files = f"{count}, {applied_fixes.excluded:,} excluded by the fix list, {diagnosis.summary()}"
    notes = (f"{files}.", *misleading, *unused, *listing.notes, *notes)
    if classes is None:
        notes += tuple(describe_like_labels(class_names))
    parts = {"train": train, "validation": validation, "test": test}
    diagnosis = replace(diagnosis, splits={str(n): split for split, part in parts.items() for n in part.names})
    return ImageData(
        train, validation, test, class_names, name, notes=notes, diagnosis=diagnosis, fix_list=applied_fixes
    )


def find_inseparable_images(images: Sequence[ListedImage], digests: Sequence[str]) -> InseparableImages:
    """Return which images stay in one split: copies, by their digests, and those of one group.

    Raises:
        InputError: if a group is in several of the splits that the source gives.
    """
    groups = None
    if any(image.group for image in images):
        _check_groups(images)
        groups = [image.group or f"\0{i}" for i, image in enumerate(images)]  # without a group: one of its own
    return InseparableImages(digests, groups)


def _report_lost_images(diagnosis: Diagnosis, strict: bool) -> None:
    """Warn of images that were set aside; raise InputError with `strict`, or if none is left."""
    has_images = any(diagnosis.counts.values())
    lost = diagnosis.lost_images or ([] if has_images else diagnosis.set_aside)
    if not lost:
        return
    first = [f"{finding.images[0]!r} ({finding.reason})" for finding in lost[:5]]
    more = ", ..." if len(lost) > 5 else ""
    message = f"{diagnosis.source}: {diagnosis.summary()}: {', '.join(first)}{more}"
    if strict or not has_images:
        raise InputError(message)
    warn_caller(message)


def _describe_misleading_images(diagnosis: Diagnosis) -> list[str]:
    """Return sentences about images that are used, but are hardly what the user wants to train on."""
    notes = [f"{finding.reason}." for finding in diagnosis.findings if finding.kind == "levels"]
    notes += [
        f"{finding.reason}. A model can learn that instead of what they show."
        for finding in diagnosis.findings
        if finding.kind == "shortcut"
    ]
    if masks := [finding for finding in diagnosis.findings if finding.kind == "mask"]:
        called = "are called like masks of others" if len(masks) > 1 else "is called like a mask of another"
        notes.append(
            f"{format_count(len(masks), 'image')} {called}, such as {masks[0].images[0]!r}, and used as pictures; a "
            "fix list leaves them out: cnnzoo doctor DATA --fix-list fixes.csv."
        )
    return notes


def _describe_pages(diagnosis: Diagnosis) -> list[str]:
    """Return a sentence about files with several pages or frames."""
    pages = [finding for finding in diagnosis.findings if finding.kind == "pages"]
    if not pages:
        return []
    hold = "files hold" if len(pages) > 1 else "file holds"
    return [f"{len(pages):,} {hold} several pages or frames, and only the first is used: {pages[0].images[0]!r}, ..."]


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

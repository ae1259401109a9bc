"""Apply a fix list to the images that a source lists: leave images out, and give images another class."""

import difflib
import os
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.text import format_count
from cnnzoo.data.fix_list import Fix, FixList
from cnnzoo.data.listing import ListedImage, Listing, natural_sort_key

MAX_SHOWN = 5  # rows or classes in a message


@dataclass(frozen=True)
class AppliedFixes:
    """What a fix list changed in a data set.

    Attributes:
        fix_list: the list.
        excluded: number of images that were left out.
        relabeled: number of images that got another class.
        kept: names of images that the list says to keep, which are no placeholders then.
    """

    fix_list: FixList = field(repr=False)
    excluded: int
    relabeled: int
    kept: frozenset[str] = field(default=frozenset(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what the fixes do, as plain values for the plan of a run; the file may have another name later."""
        return {"sha256": self.fix_list.digest, "excluded": self.excluded, "relabeled": self.relabeled}


def apply_fix_list(
    listing: Listing, fix_list: FixList, classes: Sequence[str] | None = None
) -> tuple[Listing, AppliedFixes]:
    """Return a listing without the excluded images, with the new labels, and what was changed.

    A note says how many images were excluded and relabeled.

    Args:
        listing: everything that the source holds.
        fix_list: the fixes.
        classes: the class names that the user gave; labels of the listing may be their indices.

    Raises:
        InputError: if an image or a class is unknown. The message names the row.
    """
    images = list(listing.images)
    index = _ImageIndex(images)
    label_of = _listed_labels({image.label for image in images}, classes)
    strays = {_normalize(name) for name, *_ in listing.left_out}

    # Find the images and check the labels
    new_images: list[ListedImage | None] = list(images)
    changed_by: dict[int, tuple[str, Fix]] = {}
    unknown: list[tuple[str, Fix]] = []
    keep = set[str]()
    for row, fix in zip(fix_list.rows, fix_list.fixes, strict=True):
        i = index.find(fix.path)
        if i is None:
            if fix.action == "relabel" or _normalize(fix.path) not in strays:
                unknown.append((row, fix))
            continue
        if fix.action == "keep":
            keep.add(images[i].name)
            continue
        at, first = changed_by.setdefault(i, (row, fix))
        if first.effect != fix.effect:
            raise InputError(f"Two actions for {images[i].name!r}, in {at} and {row}. Keep one of the rows")
        if fix.action == "exclude":
            new_images[i] = None
        elif fix.label in label_of:
            new_images[i] = replace(images[i], label=label_of[fix.label])
        else:
            raise unknown_name(f"class in {row}, for {fix.path!r}", fix.label, label_of)
    if unknown:
        raise InputError(_explain_unknown(unknown, index))

    # Say what was changed
    kept = [image for image in new_images if image is not None]
    relabeled = sum(new is not None and new.label != old.label for new, old in zip(new_images, images, strict=True))
    applied = AppliedFixes(fix_list, len(images) - len(kept), relabeled, frozenset(keep))
    excluded = format_count(applied.excluded, "image")
    notes = [f"Fix list {fix_list.name}: {excluded} excluded, {relabeled:,} relabeled."]
    lost = {image.label for image in images} - {image.label for image in kept}
    if lost:
        names = sorted(lost, key=natural_sort_key)
        listed = ", ".join(names[:MAX_SHOWN]) + (
            f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
        )
        are = "these are no classes" if len(lost) > 1 else "it is no class"
        notes.append(f"The fix list leaves no image of {listed}, so {are}.")
    if not kept:
        raise InputError(f"{fix_list.name} excludes all {format_count(len(images), 'image')} of the source")
    return listing._replace(images=kept, notes=(*listing.notes, *notes)), applied


def _listed_labels(labels: Collection[str], classes: Sequence[str] | None) -> dict[str, str]:
    """Return the label in the listing for each text that a fix list may name a class by."""
    label_of = {label: label for label in sorted(labels, key=natural_sort_key)}
    if not isinstance(classes, list | tuple):
        return label_of
    if set(labels) <= set(classes):  # names, of which some may have no image yet
        return label_of | {str(name): str(name) for name in classes}
    return {str(name): str(i) for i, name in enumerate(classes)} | label_of


class _ImageIndex:
    """Finds the image that a path of a fix list means."""

    def __init__(self, images: Sequence[ListedImage]) -> None:
        self.images = images
        self.by_name = {_normalize(image.name): i for i, image in reversed(list(enumerate(images)))}
        self.by_exact_name = {image.name: i for i, image in reversed(list(enumerate(images)))}

    def find(self, path: str) -> int | None:
        """Return the position of the image: by its name, or by the whole path of its file."""
        i = self.by_exact_name.get(path, self.by_name.get(_normalize(path)))
        if i is None and os.path.isabs(path):  # noqa: PTH117
            whole = os.path.normpath(path)
            same = (i for i, image in enumerate(self.images) if _file_of(image) == whole)
            i = next(same, None)
        return i

    def nearest(self, path: str) -> list[str]:
        """Return the names of images that are most like a path: of the same file name, or spelled alike."""
        name = PurePosixPath(_normalize(path)).name
        same_file = [image.name for image in self.images if PurePosixPath(image.name).name == name]
        return same_file[:3] or difflib.get_close_matches(path, [image.name for image in self.images[:20_000]], n=3)


def _file_of(image: ListedImage) -> str:
    is_path = isinstance(image.source, str | os.PathLike)
    return os.path.normpath(os.path.abspath(image.source)) if is_path else ""  # noqa: PTH100


def _normalize(name: str) -> str:
    """Return a name with forward slashes, without a leading ./, and in one form of Unicode."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./").strip()


def _explain_unknown(unknown: Sequence[tuple[str, Fix]], index: _ImageIndex) -> str:
    """Return which rows name no image, the nearest images, and what paths are relative to."""
    row, fix = unknown[0]
    nearest = index.nearest(fix.path)
    hint = f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    others = [f"{row} ({fix.path!r})" for row, fix in unknown[1:MAX_SHOWN]]
    more = f" and {len(unknown) - MAX_SHOWN:,} more" if len(unknown) > MAX_SHOWN else ""
    also = f" So do {', '.join(others)}{more}." if others else ""
    example = f", as in {index.images[0].name!r}" if index.images else ""
    return (
        f"{row} names {fix.path!r}, which is no image of the data.{hint}{also} Paths are relative to the "
        f"source of the data{example}. Remove the rows of images that are no longer there"
    )

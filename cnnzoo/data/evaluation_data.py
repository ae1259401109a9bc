"""Data for evaluation alone: which parts of a source are used, and what is left out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from cnnzoo.core.errors import InputError, shorten_repr, unknown_name
from cnnzoo.core.text import format_count
from cnnzoo.data.listing import Listing
from cnnzoo.data.split_names import SPLIT_NAMES
from cnnzoo.data.splits import EVALUATION_SHARES, Shares

EVALUATION_SPLITS = ("test", "all")  # allowed values of `load_data(..., split=...)`


def resolve_evaluation_split(split: object, shares: Shares, default_shares: Shares) -> str:
    """Return "test" or "all" for data that is for evaluation alone, and "" for data in three splits.

    Raises:
        InputError: if `split` is another name, or both it and `splits` are given.
    """
    if split is None:
        return "test" if shares == EVALUATION_SHARES else ""
    part = SPLIT_NAMES.get(split) if isinstance(split, str) else None
    if part in ("train", "validation"):
        raise InputError(
            f"load_data(..., split={split!r}) is not possible: only data for evaluation is loaded as one split, with "
            f"split='test' or split='all'. Otherwise, load_data(...).{part} is that split"
        )
    if isinstance(split, list | tuple | float):
        raise InputError(
            f"split must be 'test' or 'all', for data that is for evaluation alone. The shares of training, validation "
            f"and test are splits={shorten_repr(split)}"
        )
    if not isinstance(split, str) or split not in EVALUATION_SPLITS:
        raise unknown_name("split", split, EVALUATION_SPLITS)
    if shares not in (default_shares, EVALUATION_SHARES):
        raise InputError(
            f"split={split!r} loads all images for evaluation, so splits={shares} has no meaning. Leave one of them out"
        )
    return split


def choose_parts(counts: Mapping[str, int], split: str) -> tuple[list[str], list[str]]:
    """Return the parts of a source to evaluate, and notes.

    Args:
        counts: number of images by part: train, validation, test, or "" for a source without parts.
        split: "test" for the test part, or for everything if the source has no parts or only one; "all" for everything.
    """
    parts = [part for part in ("test", "validation", "train", "") if counts.get(part)]
    if split == "all" or len(parts) < 2:
        sizes = ", ".join(f"{counts[part]:,} {part}" for part in parts if part)
        note = "All images are for evaluation" + (f": {sizes}." if sizes else ".")
        return parts, [note]
    unused = ", ".join(f"{counts[part]:,} {part or 'without a split'}" for part in parts[1:])
    images = format_count(counts[parts[0]], "image")
    note = (
        f"The {parts[0]} part is for evaluation, {images}. Not used: {unused}; split='all' "
        "(--split all) takes everything."
    )
    return parts[:1], [note]


def select_images(listing: Listing, split: str) -> Listing:
    """Return the images of a listing that are for evaluation; see `choose_parts`."""
    parts, notes = choose_parts(Counter(image.split for image in listing.images), split)
    images = [replace(image, split="test") for image in listing.images if image.split in parts]
    return listing._replace(images=images, notes=(*listing.notes, *notes))

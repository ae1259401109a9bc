"""Examine a source of image files without loading it as training data: what `cnnzoo doctor` does."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cnnzoo.core.errors import InputError, check_levels
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import show_progress
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.build_data import find_inseparable_images
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.findings import Finding
from cnnzoo.data.fix_list import FixList
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.packed import check_shards, read_manifest
from cnnzoo.data.packed_folder import is_packed
from cnnzoo.data.scan import scan_with_progress
from cnnzoo.data.sources import list_source
from cnnzoo.data.splits import DEFAULT_SHARES
from cnnzoo.data.stratify import assign_splits
from cnnzoo.data.tables import NO_OPTIONS, TableOptions


def diagnose_source(
    source: str | os.PathLike[str],
    table_options: TableOptions = NO_OPTIONS,
    folder_options: FolderOptions | None = None,
    levels: float | Sequence[float] | None = None,
    fix_list: FixList | None = None,
) -> Diagnosis:
    """Return the findings of the doctor in a folder or a table of image files.

    Args:
        source: a path, or "tfds:NAME".
        table_options: columns and folder of a table.
        folder_options: what the user says about the layout of a folder.
        levels: as in `load_data`.
        fix_list: fixes that are applied first, to see what they leave.

    Raises:
        InputError: if the source, an option or a fix is not usable.

    Example:
        >>> from cnnzoo.data.diagnose import diagnose_source
        >>> diagnosis = diagnose_source("photos")  # doctest: +SKIP
        >>> diagnosis.fix_list().save("fixes.csv")  # doctest: +SKIP
    """
    limits = check_levels(levels)
    if is_packed(path := check_path(source, "the data source")):
        check_shards(read_manifest(path))
    with show_progress("Listing the images"):
        name, listing = list_source(source, table_options, folder_options=folder_options)
    kept: frozenset[str] = frozenset()
    if fix_list is not None:
        listing, applied = apply_fix_list(listing, fix_list)
        kept = applied.kept
    facts = scan_with_progress(listing.images, levels=limits)
    diagnosis, usable = diagnose_images(
        name,
        listing.images,
        facts,
        listing.left_out,
        limits,
        kept=kept,
        location=os.fsdecode(source),
        notes=listing.notes,
    )
    used = np.flatnonzero(usable).tolist()
    fault = _find_split_fault([listing.images[i] for i in used], [facts[i].digest for i in used], diagnosis)
    return replace(diagnosis, findings=(*diagnosis.findings, *fault))


def _find_split_fault(images: Sequence[ListedImage], digests: Sequence[str], diagnosis: Diagnosis) -> list[Finding]:
    """Return a finding if `load_data` cannot divide the images by its default shares and seed."""
    if len(diagnosis.counts) < 2 or {"few", "one split"} & {f.kind for f in diagnosis.findings}:
        return []
    classes = list(diagnosis.counts)
    labels = np.array([classes.index(image.label) for image in images])
    try:
        units = find_inseparable_images(images, digests)
        assign_splits([image.split for image in images], labels, DEFAULT_SHARES, 0, classes, units)
    except InputError as error:
        return [Finding("few", (), f"load_data(...) and cnnzoo train refuse these images by default. {error}")]
    return []

"""Examine a source of image files without loading it as training data: what `cnnzoo doctor` does."""

import os
from collections.abc import Sequence

from cnnzoo.core.errors import check_levels
from cnnzoo.core.progress import show_progress
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.fix_list import FixList
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.scan import scan_with_progress
from cnnzoo.data.sources import list_source
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
    with show_progress("Listing the images"):
        name, listing = list_source(source, table_options, folder_options=folder_options)
    kept: frozenset[str] = frozenset()
    if fix_list is not None:
        listing, applied = apply_fix_list(listing, fix_list)
        kept = applied.kept
    facts = scan_with_progress([image.source for image in listing.images], levels=limits)
    diagnosis, _ = diagnose_images(
        name,
        listing.images,
        facts,
        listing.left_out,
        limits,
        kept=kept,
        location=os.fsdecode(source),
        notes=listing.notes,
    )
    return diagnosis

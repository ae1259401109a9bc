"""The commands about images: doctor and show."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.options import CLASS_FOLDERS, IMAGE_SIZE, LEVELS, SPLIT_FOLDERS, DataOptions, TableColumns
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

PICTURE_COUNT = 16


@click.command()
@click.argument("data")
@take_options(table_options=TableColumns)
@click.option("--class-folders", **CLASS_FOLDERS)
@click.option("--split-folder", "split_folders", **SPLIT_FOLDERS)
@click.option("--levels", **LEVELS)
@click.option("--out", type=CheckedPath(), help="Folder for doctor.html and doctor.json.")
@click.option(
    "--fix-list",
    type=CheckedPath(),
    metavar="FILE",
    help="CSV file to write: images to exclude, and images to decide on. train, evaluate, ... read it back.",
)
@click.option(
    "--apply-fix-list", type=CheckedPath(), metavar="FILE", help="Apply an edited fix list first, to see what is left."
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --fix-list.")
@click.option("--strict", is_flag=True, help="Exit with 1 if any image is unusable.")
def doctor(
    data: str,
    class_folders: str,
    split_folders: dict[str, str] | None,
    levels: float | tuple[float, ...] | None,
    out: Path | None,
    fix_list: Path | None,
    apply_fix_list: Path | None,
    overwrite: bool,
    strict: bool,
    table_options: TableColumns,
) -> None:
    """Check every image of DATA and report problems.

    DATA is a folder or a table of image files, which are not changed. The command finds unreadable files, wrong file
    name suffixes, copies and near-copies (also between splits), rare classes and more. doctor.html shows the images; it
    is written to runs/doctor-DATA by default.
    """
    from cnnzoo.data.diagnose import diagnose_source
    from cnnzoo.data.fix_list import read_fix_list
    from cnnzoo.data.folder_options import FolderOptions
    from cnnzoo.data.tables import TableOptions

    if fix_list and path_exists(fix_list) and not overwrite:
        raise InputError(
            f"{fix_list} exists, and what was changed in it would be lost. Choose another file, or --overwrite. To "
            f"check {data} with its fixes applied: --apply-fix-list {fix_list}"
        )
    diagnosis = diagnose_source(
        data,
        TableOptions(**asdict(table_options)),
        FolderOptions(class_folders=class_folders, split_folders=split_folders),
        levels,
        read_fix_list(apply_fix_list) if apply_fix_list else None,
    )
    folder = out or Path("runs") / f"doctor-{Path(diagnosis.source.replace(':', '-')).name}"
    with show_progress("Writing doctor.html"):
        diagnosis.save(folder)
    echo(diagnosis)
    echo(f"Written to {folder}: doctor.html, doctor.json")
    if fix_list:
        fixes = diagnosis.fix_list()
        fixes.save(fix_list)
        excluded = format_count(fixes.count("exclude"), "image")
        echo(
            f"Written to {fix_list}: {excluded} to exclude, {fixes.count('keep'):,} to decide on. Change keep to "
            f"exclude or relabel where that is right, then train with --fix-list {fix_list}"
        )
    if strict and diagnosis.lost_images:
        sys.exit(1)


@click.command()
@click.argument("data")
@click.option("--augment", default="basic", show_default=True, help="Augmentation policies, joined by +.")
@click.option(
    "--image-size",
    **IMAGE_SIZE,
    default="224",
    show_default=True,
    help="Size of the images: one number or HEIGHTxWIDTH.",
)
@click.option("--out", type=CheckedPath(), default=Path("show.png"), show_default=True, help="The PNG file to write.")
@take_options(data_options=DataOptions)
def show(data: str, augment: str, image_size: tuple[int, int], out: Path, data_options: DataOptions) -> None:
    """Draw sixteen augmented training images of DATA into a PNG file."""
    import numpy as np

    from cnnzoo.core.files import atomic_write
    from cnnzoo.data import augmentation
    from cnnzoo.evaluation import figures

    augmentation.parse_policy(augment)  # Fail on an unknown policy before anything slow.
    if out.suffix.lower() != ".png":
        raise InputError(f"The picture must be a .png file. Received: {str(out)!r}")
    import_keras_quietly()
    loaded = data_options.load(data, image_size)
    images, labels = loaded.batches("train", PICTURE_COUNT, data_options.seed, augment)[0]
    captions = [describe_label(label, loaded.classes) for label in labels]
    with atomic_write(out) as new:
        new.write_bytes(figures.plot_image_grid(np.asarray(images), captions))
    echo(f"Sixteen images, augmented with {augment} and seed {data_options.seed}: {out}")


def describe_label(label: np.ndarray, classes: Sequence[str]) -> str:
    """Return the class name of a label (classes,), or the two largest shares of a label that mixes classes."""
    shares = [(share, classes[i]) for i, share in enumerate(label) if share > 0.005]
    if len(shares) == 1:
        return shares[0][1]
    return ", ".join(f"{100 * share:.0f} % {name}" for share, name in sorted(shares, reverse=True)[:2])


COMMANDS = (doctor, show)

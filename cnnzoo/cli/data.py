"""The commands about images: doctor and show."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_out_folder, check_png, check_source
from cnnzoo.cli.commands import COMMON
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.options import (
    AUGMENT,
    CLASS_FOLDERS,
    IMAGE_SIZE,
    JSON,
    LEVELS,
    SOURCE,
    SPLIT_FOLDERS,
    DataOptions,
    TableColumns,
)
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count

PICTURE_COUNT = 16


@commands.command()
@commands.argument("data", shell_complete=complete_files, help="A folder or a table of image files.")
@take_options(table_options=TableColumns)
@commands.option("--class-folders", **CLASS_FOLDERS)
@commands.option("--split-folder", "split_folders", **SPLIT_FOLDERS)
@commands.option("--levels", **LEVELS)
@commands.option("--out", type=CheckedPath(), group=COMMON, help="Folder for doctor.html and doctor.json.")
@commands.option(
    "--fix-list",
    type=CheckedPath(),
    group=COMMON,
    metavar="FILE",
    help="CSV file to write: images to exclude, and images to decide on. train, evaluate, ... read it back.",
)
@commands.option(
    "--apply-fix-list",
    type=CheckedPath(),
    group=COMMON,
    metavar="FILE",
    help="Apply an edited fix list first, to see what is left.",
)
@commands.option("--overwrite", is_flag=True, group=COMMON, help="Replace the file of --fix-list.")
@commands.option("--strict", is_flag=True, group=COMMON, help="Exit with 1 if any image is unusable.")
@commands.option("--json", "as_json", **JSON, group=COMMON)
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
    as_json: bool,
    table_options: TableColumns,
) -> None:
    """Check every image of DATA and report problems.

    The files are not changed. The command finds unreadable files, wrong file
    name suffixes, copies and near-copies (also between splits), rare classes and more. doctor.html shows the images; it
    is written to runs/doctor-DATA by default.

    --json prints what doctor.json holds: source, files, classes, findings.
    """
    check_source(data)
    check_out_folder(out)
    from cnnzoo.data.diagnose import diagnose_source
    from cnnzoo.data.fix_list import read_fix_list
    from cnnzoo.data.folder_options import FolderOptions
    from cnnzoo.data.tables import TableOptions

    if fix_list and fix_list.suffix.casefold() != ".csv":
        raise InputError(f"--fix-list must be a .csv file, which spreadsheets open. Received: {str(fix_list)!r}")
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
    diagnosis = replace(diagnosis, fix_list_file=str(apply_fix_list or ""), new_list_file=str(fix_list or ""))
    folder = out or Path("runs") / f"doctor-{Path(diagnosis.source.replace(':', '-')).name}"
    with show_progress("Writing doctor.html"):
        diagnosis.save(folder)
    echo(diagnosis.to_json().rstrip() if as_json else diagnosis)
    echo(f"Written to {folder}: doctor.html, doctor.json", err=as_json)
    if fix_list:
        fixes = diagnosis.fix_list()
        fixes.save(fix_list)
        excluded, kept = (format_count(fixes.count(action), "image") for action in ("exclude", "keep"))
        lists = " ".join(f"--fix-list {shlex.quote(str(file))}" for file in (apply_fix_list, fix_list) if file)
        echo(
            f"Written to {fix_list}: {excluded} to exclude, {kept} to decide on. Change keep to exclude or "
            f"relabel where that is right, then train with {lists}",
            err=as_json,
        )
    elif diagnosis.fix_list().fixes:
        data = shlex.quote(data)
        options = f"--apply-fix-list {shlex.quote(str(apply_fix_list))} --fix-list more_fixes.csv"
        options = options if apply_fix_list else "--fix-list fixes.csv"
        echo(f"To exclude or relabel images, write a list: cnnzoo doctor {data} {options}", err=as_json)
    if strict and diagnosis.lost_images:
        sys.exit(1)


@commands.command()
@commands.argument("data", **SOURCE)
@commands.option("--augment", **AUGMENT, group=COMMON, default="basic", show_default=True)
@commands.option(
    "--image-size",
    **IMAGE_SIZE,
    group=COMMON,
    default="224",
    show_default=True,
    help="Size of the images in pixels: 224, or height and width as in 224x160.",
)
@commands.option(
    "--out", type=CheckedPath(), default=Path("show.png"), show_default=True, help="The PNG file to write."
)
@take_options(data_options=DataOptions)
def show(data: str, augment: str, image_size: tuple[int, int], out: Path, data_options: DataOptions) -> None:
    """Draw sixteen augmented training images of DATA into a PNG file."""
    check_png(out)
    check_source(data)
    loaded = data_options.load(data, image_size)
    import_keras_quietly()
    with show_progress("Drawing the images"):
        loaded.show("train", PICTURE_COUNT, augment=augment, seed=data_options.seed, path=out)
    echo(f"Sixteen images, augmented with {augment} and seed {data_options.seed}: {out}")


COMMANDS = (doctor, show)

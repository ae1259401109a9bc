"""The command pack: write images into a few large files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_source
from cnnzoo.cli.commands import COMMON
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.options import CLASS_FOLDERS, SPLIT_FOLDERS, TableColumns
from cnnzoo.cli.output import echo


@commands.command()
@commands.argument("data", shell_complete=complete_files, help="A folder or a table of image files, or tfds:NAME.")
@commands.argument("folder", type=CheckedPath(), help="The folder to write.")
@commands.option(
    "--shards",
    type=click.IntRange(1, 9999),
    group=COMMON,
    show_default="one for every 256 MiB",
    help="Number of files.",
)
@commands.option(
    "--size",
    type=click.IntRange(16, 8192),
    group=COMMON,
    show_default="images stay as they are",
    help="Resize larger images, so that their shorter side has N pixels, and store them as JPEG.",
)
@commands.option("--strict", is_flag=True, group=COMMON, help="Fail if an image cannot be decoded.")
@commands.option(
    "--overwrite", is_flag=True, group=COMMON, help="Replace the packed data in FOLDER, once the new one is complete."
)
@take_options(table_options=TableColumns)
@commands.option("--class-folders", **CLASS_FOLDERS)
@commands.option("--split-folder", "split_folders", **SPLIT_FOLDERS)
def pack(
    data: str,
    folder: Path,
    shards: int | None,
    size: int | None,
    strict: bool,
    overwrite: bool,
    class_folders: str,
    split_folders: dict[str, str] | None,
    table_options: TableColumns,
) -> None:
    """Write the images of DATA into a few large files in FOLDER.

    train, evaluate, doctor and the other commands take FOLDER as they take DATA, with the same splits and batches.
    Large files are read faster than millions of small ones, above all from network disks. They are ArrayRecord files,
    which Grain and TensorFlow Datasets read too.

    A command that was interrupted goes on when it is run again.
    """
    check_source(data)
    from cnnzoo.data.packing import pack

    echo(
        pack(
            data,
            folder,
            shards="auto" if shards is None else shards,
            size=size,
            class_folders=class_folders,
            split_folders=split_folders,
            strict=strict,
            overwrite=overwrite,
            **asdict(table_options),
        )
    )


COMMANDS = (pack,)

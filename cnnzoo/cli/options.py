"""The options that several commands share, each declared once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cnnzoo
from cnnzoo.cli.declare import CheckedPath, option

if TYPE_CHECKING:
    from cnnzoo.data.images import ImageData
    from cnnzoo.training.recipe import Recipe


def parse_image_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return (height, width) for one number, as in 224, or for height and width, as in 224x160."""
    if value is None:
        return None
    try:
        sides = [int(side) for side in value.lower().replace(",", "x").split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise click.BadParameter(f"{value!r} is neither one number, as in 224, nor height and width, as in 224x160.")
    return sides[0], sides[-1]


def parse_crop(context: click.Context, parameter: click.Parameter, value: str) -> float | str | None:
    """Return a share of the side, "auto", or None for "none"."""
    if value in ("auto", "none"):
        return None if value == "none" else value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not 'auto', 'none' or a share of the side, as in 0.875.") from None


def parse_levels(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | tuple[float, ...] | None:
    """Return one number, as in 4095, or the two of LOW,HIGH."""
    if value is None:
        return None
    try:
        levels = tuple(float(level) for level in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither one level, as in 4095, nor LOW,HIGH, as in 100,4095.") from None
    return levels[0] if len(levels) == 1 else levels


def parse_split_folders(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, str] | None:
    """Return the splits by folder of words such as "fold1=train", or None without any."""
    if bad := [word for word in value if not all(word.rpartition("="))]:
        raise click.BadParameter(f"{bad[0]!r} must have the form FOLDER=SPLIT, as in fold1=train.")
    return {name: split for name, _, split in (word.rpartition("=") for word in value)} or None


ALLOW_FAILED: dict[str, Any] = {
    "is_flag": True,
    "help": "Use the weights that a run has saved when it failed, which may be those of its start.",
}
IMAGE_SIZE: dict[str, Any] = {"callback": parse_image_size, "metavar": "SIZE"}
LEVELS: dict[str, Any] = {
    "callback": parse_levels,
    "metavar": "HIGH|LOW,HIGH",
    "help": "Levels of images with more than 8 bits that become black and white, as in 4095 for 12 bits.",
}
CLASS_FOLDERS: dict[str, Any] = {
    "default": "auto",
    "show_default": True,
    "help": "Which folders are the classes: outer, those in DATA; inner, those inside them; auto decides by names.",
}
SPLIT_FOLDERS: dict[str, Any] = {
    "multiple": True,
    "callback": parse_split_folders,
    "metavar": "FOLDER=SPLIT",
    "help": "The split of a folder in DATA: train, validation or test; may be repeated.",
}
SEED: dict[str, Any] = {
    "type": click.IntRange(0, 2**32 - 1),
    "default": 0,
    "show_default": True,
    "help": "Seed of all random numbers.",
}
INTERPOLATION: dict[str, Any] = {
    "default": "auto",
    "show_default": True,
    "help": "How images are resized: bilinear, bicubic, lanczos3, nearest or auto, which follows the weights.",
}


@dataclass(frozen=True)
class TableColumns:
    """Options for reading tables of images; the fields are those of `cnnzoo.data.tables.TableOptions`."""

    path_column: str | None = field(
        metadata=option(help="Column of a table that holds the paths.", show_default="path, file_name, image, id, ...")
    )
    label_column: str | None = field(
        metadata=option(help="Column of a table that holds the labels.", show_default="label, class, category, ...")
    )
    split_column: str | None = field(
        metadata=option(help="Column of a table that holds the splits.", show_default="split, subset, phase, ...")
    )
    group_column: str | None = field(
        metadata=option(help="Column of a table that groups images; a group is never divided between splits.")
    )
    image_dir: str | None = field(
        metadata=option(help="Folder of a table's images.", show_default="that of the table, or a folder in it")
    )


@dataclass(frozen=True)
class DataOptions(TableColumns):
    """Options for loading images; the fields are arguments of `cnnzoo.load_data`."""

    classes: str | None = field(
        metadata=option(help="Names of the classes, separated by commas, in the order of the label indices.")
    )
    class_folders: str = field(metadata=option(**CLASS_FOLDERS))
    split_folders: dict[str, str] | None = field(metadata=option("--split-folder", **SPLIT_FOLDERS))
    fix_list: Path | None = field(
        metadata=option(
            type=CheckedPath(),
            metavar="FILE",
            help="A table of images to exclude or relabel, as `cnnzoo doctor --fix-list` writes it.",
        )
    )
    strict: bool = field(metadata=option(is_flag=True, help="Fail if any image is unusable, instead of skipping it."))
    doctor: bool = field(
        metadata=option(
            "--doctor/--no-doctor",
            default=True,
            show_default=True,
            help="Decode and check every image file first / read only the file headers.",
        )
    )
    cache: str = field(
        metadata=option(
            default="auto", show_default=True, help="Where resized image files are kept: memory, disk, none or auto."
        )
    )
    crop: float | str | None = field(
        metadata=option(
            callback=parse_crop,
            metavar="SHARE",
            default="auto",
            show_default=True,
            help="Part of each side to center-crop, up to 1; none resizes the whole image; auto follows the weights.",
        )
    )
    pad: int | None = field(
        metadata=option(type=click.IntRange(0), help="Width of the black border around resized images.")
    )
    levels: float | tuple[float, ...] | None = field(
        metadata=option(**LEVELS, show_default="those of the model, or 0,65535")
    )
    splits: tuple[float, float, float] = field(
        metadata=option(
            nargs=3,
            type=float,
            metavar="TRAIN VALIDATION TEST",
            default=(0.8, 0.1, 0.1),
            show_default="0.8 0.1 0.1",
            help="Shares of the training, validation and test splits.",
        )
    )
    seed: int = field(metadata=option(**SEED))

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes as a list."""
        return self.classes.split(",") if self.classes else None

    def load(self, source: str, image_size: tuple[int, int] | None = None, **changes: Any) -> ImageData:
        """Load the images of `source`; `changes` replace arguments of `cnnzoo.load_data`."""
        arguments = asdict(self) | {"classes": self.class_names}
        return cnnzoo.load_data(source, image_size=image_size, **arguments | changes)


@dataclass(frozen=True)
class TransformOptions:
    """Options for how a model's images are resized, and for its class names, in place of those of its card."""

    classes: str | None = field(metadata=option(help="Names of the model's classes, separated by commas, in order."))
    crop: float | str | None = field(
        metadata=option(
            callback=parse_crop,
            metavar="SHARE",
            default="auto",
            show_default=True,
            help="Part of each side to center-crop, up to 1; none resizes the whole image; auto follows the model.",
        )
    )
    pad: int | None = field(
        metadata=option(type=click.IntRange(0), help="Width of the black border around resized images.")
    )
    interpolation: str = field(metadata=option(**INTERPOLATION))
    levels: float | tuple[float, ...] | None = field(metadata=option(**LEVELS))

    def arguments(self) -> dict[str, Any]:
        """Return the fields as keyword arguments of `cnnzoo.load`."""
        return asdict(self) | {"classes": self.classes.split(",") if self.classes else None}


@dataclass(frozen=True)
class RecipeOptions:
    """The recipe of a training."""

    recipe: str | None = field(
        metadata=option(
            help="Name from `cnnzoo recipes`, or a TOML file.", show_default="sgd; finetune when fine-tuning"
        )
    )
    settings: tuple[str, ...] = field(
        metadata=option(
            "--set", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; may be repeated."
        )
    )

    def resolve(self, default: str) -> Recipe:
        """Return the recipe, by default the one named `default`, with the requested changes."""
        from cnnzoo.training.recipe import parse_settings
        from cnnzoo.training.recipes import resolve_recipe

        return resolve_recipe(default if self.recipe is None else self.recipe, parse_settings(self.settings))


@dataclass(frozen=True)
class ModelOptions:
    """Options for building a network; the fields are arguments of `cnnzoo.get`."""

    weights: str | None = field(
        metadata=option(
            help="Start from published weights (a tag), or from a checkpoint: FILE, or FILE#SET for one of its sets."
        )
    )
    image_size: tuple[int, int] | None = field(
        metadata=option(
            **IMAGE_SIZE, help="Input size: one number or HEIGHTxWIDTH.", show_default="the size of the model"
        )
    )


@dataclass(frozen=True)
class RunDirOptions:
    """Options for the folder of the results and for earlier results in it."""

    run_dir: Path | None = field(
        metadata=option(type=CheckedPath(), help="Folder for the results.", show_default="a folder in runs/")
    )
    resume: bool | None = field(
        metadata=option(
            "--resume/--no-resume",
            default=None,
            help="Evaluate a finished run again / refuse to continue an interrupted one.",
            show_default="continue an interrupted run, refuse a finished one",
        )
    )
    overwrite: bool = field(metadata=option(is_flag=True, help="Replace an earlier run in that folder."))


@dataclass(frozen=True)
class RunOptions(RunDirOptions):
    """Options for running a training; the fields are arguments of `cnnzoo.fit_and_evaluate` and `cnnzoo.fine_tune`."""

    interpolation: str = field(metadata=option(**INTERPOLATION))
    devices: str | None = field(metadata=option(help="auto for all local GPUs, or device names separated by commas."))
    tensorboard: bool = field(
        metadata=option(is_flag=True, help="Write TensorBoard event files into the run directory.")
    )
    deterministic: bool = field(
        metadata=option(
            "--deterministic/--fast",
            default=True,
            show_default=True,
            help="Use operations that give identical results each time / the fastest ones.",
        )
    )
    checkpoint_every: float = field(
        metadata=option(
            type=click.FloatRange(0),
            default=60.0,
            show_default=True,
            help="Seconds between checkpoints within an epoch.",
        )
    )

    def arguments(self, default_run_dir: Path) -> dict[str, Any]:
        """Return the fields as keyword arguments, with a run directory."""
        return asdict(self) | {"run_dir": self.run_dir or default_run_dir}

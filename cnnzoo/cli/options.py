"""The options that several commands share, each declared once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cnnzoo
from cnnzoo.cli.commands import COMMON, DATA, MACHINE, RUN, TABLE, TRANSFORM, Choice
from cnnzoo.cli.complete import (
    complete_classes,
    complete_files,
    complete_models,
    complete_recipes,
    complete_trained_models,
    complete_weights,
)
from cnnzoo.cli.declare import CheckedPath, option
from cnnzoo.cli.values import (
    DEFAULT_SPLITS,
    parse_augmentation,
    parse_classes,
    parse_crop,
    parse_image_size,
    parse_learning_rate,
    parse_levels,
    parse_split_folders,
    parse_splits,
    parse_target_accuracy,
    parse_workers,
)
from cnnzoo.core.errors import InputError
from cnnzoo.core.extras import install_command
from cnnzoo.data.folder_options import CLASS_FOLDERS as CLASS_FOLDER_CHOICES
from cnnzoo.data.policies import POLICIES
from cnnzoo.training.trackers import TRACKERS, check_tracker

if TYPE_CHECKING:
    from cnnzoo.data.images import ImageData
    from cnnzoo.training.recipe import Recipe


OF_RECIPE = "that of the recipe"
# Choices whose modules are slow to import; a test compares them.
INTERPOLATIONS = ("auto", "nearest", "bilinear", "bicubic", "lanczos3")
CACHE_MODES = ("auto", "memory", "device", "disk", "none")
RUNTIME_NAMES = ("auto", "openvino", "onnxruntime", "litert", "keras")
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
SPLITS = ("test", "validation", "train", "all")
FORMAT_NAMES = ("saved_model", "litert", "onnx", "openvino")

CLASSES: dict[str, Any] = {
    "callback": parse_classes,
    "metavar": "NAMES",
    "shell_complete": complete_classes,
    "help": "Class names in the order of the label indices: cat,dog; a .txt file with one per line; or a list that "
    "comes with the package: imagenet, cifar10, ...",
}
AUGMENT: dict[str, Any] = {
    "callback": parse_augmentation,
    "metavar": "POLICY",
    "help": f"Augmentation of the training images: {', '.join(POLICIES)}; joined by +, as in rand+mixup.",
}
MODEL: dict[str, Any] = {
    "shell_complete": complete_models,
    "help": "Name of a model, such as resnet18; `cnnzoo list` shows all.",
}
TRAINED_MODEL: dict[str, Any] = {
    "shell_complete": complete_trained_models,
    "help": "A run directory, a .keras file, NAME:TAG for published weights, as in resnet50:imagenet, or NAME:FILE for "
    "a checkpoint of your own, as in resnet50:net.pth.",
}
TRAINED_MODEL_OR_EXPORT: dict[str, Any] = TRAINED_MODEL | {
    "help": f"{TRAINED_MODEL['help'].removesuffix('.')}; or the folder of an export."
}
SOURCE: dict[str, Any] = {
    "shell_complete": complete_files,
    "help": "A folder of images with one sub-folder per class, a CSV, JSON lines or Parquet table of image paths and "
    'labels, packed data, an .npz file, tfds:NAME, or "digits".',
}
JSON: dict[str, Any] = {
    "is_flag": True,
    "help": "Print JSON, for scripts; messages go to stderr.",
}
ALLOW_FAILED: dict[str, Any] = {
    "is_flag": True,
    "help": "Use the weights that a run has saved when it failed, which may be those of its start.",
}
IMAGE_SIZE: dict[str, Any] = {"callback": parse_image_size, "metavar": "SIZE", "words": 2}
LEVELS: dict[str, Any] = {
    "callback": parse_levels,
    "metavar": "HIGH|LOW,HIGH",
    "group": TRANSFORM,
    "help": "Levels of images with more than 8 bits that become black and white, as in 4095 for 12 bits.",
}
CLASS_FOLDERS: dict[str, Any] = {
    "type": Choice(CLASS_FOLDER_CHOICES, "value of --class-folders"),
    "group": DATA,
    "default": "auto",
    "show_default": True,
    "help": "Which folders are the classes: outer, those in DATA; inner, those inside them; auto decides by names.",
}
SPLIT_FOLDERS: dict[str, Any] = {
    "multiple": True,
    "callback": parse_split_folders,
    "metavar": "FOLDER=SPLIT",
    "group": DATA,
    "help": "The split of a folder in DATA: train, validation or test; may be repeated.",
}
SEED: dict[str, Any] = {
    "type": click.IntRange(0, 2**32 - 1),
    "default": 0,
    "show_default": True,
    "help": "Seed of all random numbers.",
}
RUNTIME: dict[str, Any] = {
    "type": Choice(RUNTIME_NAMES, "runtime"),
    "group": MACHINE,
    "default": "auto",
    "show_default": True,
    "help": "What computes the predictions; auto picks the fastest that is installed.",
}
PRECISION: dict[str, Any] = {
    "type": Choice(PRECISIONS, "precision"),
    "group": MACHINE,
    "help": "Precision of the computation; exports in float16 or int8 keep their own.",
    "show_default": "that of the export, or float32",
}
INTERPOLATION: dict[str, Any] = {
    "type": Choice(INTERPOLATIONS, "interpolation"),
    "group": TRANSFORM,
    "default": "auto",
    "show_default": True,
    "help": "How images are resized; auto follows the weights.",
}


@dataclass(frozen=True)
class TableColumns:
    """Options for reading tables of images; the fields are those of `cnnzoo.data.tables.TableOptions`."""

    path_column: str | None = field(
        metadata=option(
            group=TABLE, help="Column of a table that holds the paths.", show_default="path, file_name, image, id, ..."
        )
    )
    label_column: str | None = field(
        metadata=option(
            group=TABLE, help="Column of a table that holds the labels.", show_default="label, class, category, ..."
        )
    )
    split_column: str | None = field(
        metadata=option(
            group=TABLE, help="Column of a table that holds the splits.", show_default="split, subset, phase, ..."
        )
    )
    group_column: str | None = field(
        metadata=option(
            group=TABLE, help="Column of a table that groups images; a group is never divided between splits."
        )
    )
    image_dir: str | None = field(
        metadata=option(
            group=TABLE, help="Folder of a table's images.", show_default="that of the table, or a folder in it"
        )
    )


@dataclass(frozen=True)
class SourceOptions(TableColumns):
    """Options for loading images, without the number of workers; the fields are arguments of `cnnzoo.load_data`."""

    classes: list[str] | None = field(metadata=option(**CLASSES, group=DATA))
    class_folders: str = field(metadata=option(**CLASS_FOLDERS))
    split_folders: dict[str, str] | None = field(metadata=option("--split-folder", **SPLIT_FOLDERS))
    fix_list: tuple[Path, ...] = field(
        metadata=option(
            type=CheckedPath(),
            multiple=True,
            group=DATA,
            metavar="FILE",
            help="Images to exclude or relabel: a table from `cnnzoo doctor --fix-list` or a report; may be repeated.",
        )
    )
    strict: bool = field(
        metadata=option(is_flag=True, group=DATA, help="Fail if any image is unusable, instead of skipping it.")
    )
    doctor: bool = field(
        metadata=option(
            "--doctor/--no-doctor",
            group=DATA,
            default=True,
            show_default=True,
            help="Decode and check every image file first / read only the file headers.",
        )
    )
    cache: str = field(
        metadata=option(
            type=Choice(CACHE_MODES, "cache"),
            group=DATA,
            default="auto",
            show_default=True,
            help="Where resized image files are kept; auto is memory, up to 2 GiB; device is the GPU, also for arrays.",
        )
    )
    crop: float | str | None = field(
        metadata=option(
            callback=parse_crop,
            group=TRANSFORM,
            metavar="SHARE",
            default="auto",
            show_default=True,
            help="Part of each side to center-crop, up to 1; none resizes the whole image; auto follows the weights.",
        )
    )
    pad: int | None = field(
        metadata=option(
            type=click.IntRange(0, 65_535), group=TRANSFORM, help="Width of the black border around resized images."
        )
    )
    levels: float | tuple[float, ...] | None = field(
        metadata=option(**LEVELS, show_default="those of the model, or 0,65535")
    )
    splits: tuple[float, float, float] = field(
        metadata=option(
            callback=parse_splits,
            words=3,
            group=DATA,
            metavar="TRAIN,VALIDATION,TEST",
            default=DEFAULT_SPLITS,
            show_default=True,
            help="Shares of the training, validation and test splits; 1,0,0 trains on everything beside a test part.",
        )
    )
    seed: int = field(metadata=option(**SEED, group=DATA))

    def load(self, source: str, image_size: tuple[int, int] | None = None, **changes: Any) -> ImageData:
        """Load the images of `source`; `changes` replace arguments of `cnnzoo.load_data`."""
        return cnnzoo.load_data(source, image_size=image_size, **asdict(self) | changes)


WORKERS: dict[str, Any] = {
    "callback": parse_workers,
    "group": MACHINE,
    "metavar": "NUMBER",
    "default": "auto",
    "show_default": True,
    "help": "Processes that load image files; 0 loads them in this one; auto is one per core for larger data.",
}


@dataclass(frozen=True)
class DataOptions(SourceOptions):
    """Options for loading images; the fields are arguments of `cnnzoo.load_data`."""

    workers: int | str = field(metadata=option(**WORKERS))


@dataclass(frozen=True)
class SearchDataOptions(SourceOptions):
    """Options for loading the images of a search, whose --workers run trials."""

    load_workers: int | str = field(metadata=option(**WORKERS))

    def load(self, source: str, image_size: tuple[int, int] | None = None, **changes: Any) -> ImageData:
        """Load the images of `source`; `changes` replace arguments of `cnnzoo.load_data`."""
        arguments = asdict(self)
        arguments["workers"] = arguments.pop("load_workers")
        return cnnzoo.load_data(source, image_size=image_size, **arguments | changes)


@dataclass(frozen=True)
class TransformOptions:
    """Options for how a model's images are resized, and for its class names, in place of those of its card."""

    classes: list[str] | None = field(
        metadata=option(
            **CLASSES
            | {
                "help": "Class names in the order of the model's outputs: cat,dog; a .txt file with one per line; or "
                "a list that comes with the package: imagenet, cifar10, ..."
            },
            group=COMMON,
        )
    )
    crop: float | str | None = field(
        metadata=option(
            callback=parse_crop,
            group=TRANSFORM,
            metavar="SHARE",
            default="auto",
            show_default=True,
            help="Part of each side to center-crop, up to 1; none resizes the whole image; auto follows the model.",
        )
    )
    pad: int | None = field(
        metadata=option(
            type=click.IntRange(0, 65_535), group=TRANSFORM, help="Width of the black border around resized images."
        )
    )
    interpolation: str = field(metadata=option(**INTERPOLATION))
    levels: float | tuple[float, ...] | None = field(metadata=option(**LEVELS))

    def arguments(self) -> dict[str, Any]:
        """Return the fields as keyword arguments of `cnnzoo.load`."""
        return asdict(self)


@dataclass(frozen=True)
class RecipeOptions:
    """The recipe of a training."""

    recipe: str | None = field(
        metadata=option(
            group=COMMON,
            metavar="NAME|FILE.toml",
            shell_complete=complete_recipes,
            help="Name of a recipe (`cnnzoo recipes` lists them), or a TOML file such as best.toml of a search.",
            show_default="sgd; finetune for fine-tune, and for lr-find and tune with weights",
        )
    )
    epochs: int | None = field(
        metadata=option(type=click.IntRange(1), group=COMMON, help="Number of epochs.", show_default=OF_RECIPE)
    )
    batch_size: int | None = field(
        metadata=option(type=click.IntRange(1), group=COMMON, help="Images per step.", show_default=OF_RECIPE)
    )
    learning_rate: float | str | None = field(
        metadata=option(
            *("--learning-rate", "--lr"),
            callback=parse_learning_rate,
            metavar="RATE",
            group=COMMON,
            help="Highest learning rate; auto finds one by a range test.",
            show_default=OF_RECIPE,
        )
    )
    augment: str | None = field(metadata=option(**AUGMENT, group=COMMON, show_default=OF_RECIPE))
    settings: tuple[str, ...] = field(
        metadata=option(
            "--set",
            multiple=True,
            group=COMMON,
            metavar="FIELD=VALUE",
            help="Change any other field of the recipe, as in --set patience=5; may be repeated. `cnnzoo recipes "
            "NAME` lists the fields.",
        )
    )

    def resolve(self, default: str) -> Recipe:
        """Return the recipe, by default the one named `default`, with the requested changes.

        Raises:
            InputError: if the recipe is unknown, or --set and another option give a field different values.
        """
        from cnnzoo.training.recipe import parse_settings
        from cnnzoo.training.recipes import resolve_recipe

        fields = parse_settings(self.settings)
        for name in ("epochs", "batch_size", "learning_rate", "augment"):
            value = getattr(self, name)
            if value is not None and fields.setdefault(name, value) != value:
                raise InputError(
                    f"--{name.replace('_', '-')} {value} and --set {name}={fields[name]} contradict each other; give "
                    "one of them"
                )
        return resolve_recipe(default if self.recipe is None else self.recipe, fields)


@dataclass(frozen=True)
class ModelOptions:
    """Options for building a network; the fields are arguments of `cnnzoo.get`."""

    weights: str | None = field(
        metadata=option(
            group=COMMON,
            metavar="TAG|FILE",
            shell_complete=complete_weights,
            help="Start from published weights (a tag of `cnnzoo info MODEL`, such as imagenet), or from a checkpoint "
            "of your own: a .pth, .h5, .safetensors, ... file, or FILE#SET for one of several sets in it.",
        )
    )
    image_size: tuple[int, int] | None = field(
        metadata=option(
            **IMAGE_SIZE,
            group=COMMON,
            help="Input size in pixels: 224, or height and width as in 224x160.",
            show_default="the size of the model",
        )
    )


TARGET_ACCURACY: dict[str, Any] = {
    "type": float,
    "callback": parse_target_accuracy,
    "metavar": "SHARE",
    "help": "Choose on validation below which probability the model is unsure, so that this share of its answers is "
    "right, such as 0.95; the card keeps it for predict --min-probability auto.",
}


@dataclass(frozen=True)
class RunDirOptions:
    """Options for the folder of the results and for earlier results in it."""

    run_dir: Path | None = field(
        metadata=option(
            type=CheckedPath(), group=COMMON, help="Folder for the results.", show_default="a folder in runs/"
        )
    )
    resume: bool | None = field(
        metadata=option(
            "--resume/--no-resume",
            default=None,
            group=RUN,
            help="Continue an interrupted run, or evaluate a finished one again / start only in a folder without a "
            "run.",
            show_default="continue an interrupted run, refuse a finished one",
        )
    )
    overwrite: bool = field(metadata=option(is_flag=True, group=RUN, help="Replace an earlier run in that folder."))

    def check(self, run_dir: Path) -> None:
        """Check that results can be written into the folder of a run.

        Raises:
            InputError: if it holds a finished run that is neither resumed nor replaced, or other files.
        """
        from cnnzoo.training.run import check_run_dir

        if self.resume and self.overwrite:
            raise InputError("Pass either --resume, which continues the run, or --overwrite, which replaces it")
        check_run_dir(run_dir, self.resume, self.overwrite)


@dataclass(frozen=True)
class RunOptions(RunDirOptions):
    """Options for running a training; the fields are arguments of `cnnzoo.fit_and_evaluate` and `cnnzoo.fine_tune`."""

    interpolation: str = field(metadata=option(**INTERPOLATION))
    devices: str | None = field(
        metadata=option(group=MACHINE, help="auto for all local GPUs, or names such as GPU:0,GPU:1.")
    )
    tensorboard: bool = field(
        metadata=option(is_flag=True, group=RUN, help="Write TensorBoard event files into the run directory.")
    )
    track: str | None = field(
        metadata=option(
            type=Choice(TRACKERS, "tracker"),
            group=RUN,
            help="Also send settings, metrics of each epoch, results and files to an experiment tracker.",
        )
    )
    deterministic: bool = field(
        metadata=option(
            "--deterministic/--fast",
            group=MACHINE,
            default=True,
            show_default=True,
            help="Use operations that give identical results each time / the fastest ones.",
        )
    )
    minutes: float | None = field(
        metadata=option(
            type=click.FloatRange(0, min_open=True),
            group=COMMON,
            help="Time budget: the schedule is shortened to the epochs that fit.",
            show_default="none",
        )
    )
    target_accuracy: float | None = field(metadata=option(**TARGET_ACCURACY, group=RUN))
    checkpoint_every: float = field(
        metadata=option(
            type=click.FloatRange(0),
            group=RUN,
            default=60.0,
            show_default=True,
            help="Seconds between checkpoints within an epoch.",
        )
    )

    def check(self, run_dir: Path) -> None:
        """Check what can be checked without Keras; see `RunDirOptions.check`."""
        super().check(run_dir)
        if self.tensorboard and not find_spec("tensorboard"):
            raise InputError(f"Writing event files needs tensorboard: {install_command('tensorboard')}")
        check_tracker(self.track, run_dir)

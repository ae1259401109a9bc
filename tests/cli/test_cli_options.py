"""The options that commands share."""

from dataclasses import dataclass, field

import click
import pytest
from click.testing import CliRunner

from cnnzoo.cli import options, tuning
from cnnzoo.cli.declare import option, remove_options, take_options
from cnnzoo.cli.options import IMAGE_SIZE, DataOptions, RecipeOptions, RunDirOptions
from cnnzoo.cli.values import parse_classes, parse_crop, parse_splits
from cnnzoo.core.errors import InputError


@dataclass(frozen=True)
class PaintOptions:
    base_color: str = field(metadata=option(default="white", show_default=True, help="Color."))
    settings: tuple[str, ...] = field(metadata=option("--set", multiple=True, help="Settings."))


@dataclass(frozen=True)
class SizeOptions:
    size: tuple[int, int] | None = field(metadata=option(**IMAGE_SIZE, help="Size."))


@click.command()
@click.argument("name")
@take_options(paint=PaintOptions, sizes=SizeOptions)
@click.option("--last", is_flag=True, help="Last.")
def paint_command(name, paint, sizes, last):
    """Print what the command receives."""
    click.echo((name, paint, sizes, last))


def test_an_option_that_is_declared_twice_is_refused():
    with pytest.raises(ValueError, match=r"declared twice: \['base_color', 'settings'\]"):
        take_options(paint=PaintOptions, again=PaintOptions)


def test_a_command_gets_objects_with_its_options():
    arguments = ["a", "--base-color", "red", "--set", "x=1", "--set", "y=2", "--size", "32", "--last"]
    answer = CliRunner().invoke(paint_command, arguments)
    assert answer.output.strip() == str(("a", PaintOptions("red", ("x=1", "y=2")), SizeOptions((32, 32)), True))
    answer = CliRunner().invoke(paint_command, ["a"])
    assert answer.output.strip() == str(("a", PaintOptions("white", ()), SizeOptions(None), False))


def test_options_appear_in_the_order_of_their_declaration():
    text = CliRunner().invoke(paint_command, ["--help"]).output
    positions = [text.index(flag) for flag in ("--base-color", "--set", "--size", "--last")]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("224x160", (224, 160)), ("224X160", (224, 160)), ("224,160", (224, 160))]
)
def test_an_image_size_is_one_number_or_height_and_width(text, size):
    assert IMAGE_SIZE["callback"](None, None, text) == size


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "224x", "1x2x3", "2.5", "two"])
def test_other_image_sizes_are_an_error(text):
    with pytest.raises(click.BadParameter, match="is neither one number, as in 224, nor height and width"):
        IMAGE_SIZE["callback"](None, None, text)


def test_a_crop_is_a_share_or_a_word():
    assert [parse_crop(None, None, text) for text in ("auto", "none", "0.5")] == ["auto", None, 0.5]
    with pytest.raises(click.BadParameter):
        parse_crop(None, None, "half")


def test_options_can_be_removed_from_a_command_line():
    words = [
        "train",
        "lenet5",
        "--run-dir",
        "a",
        "--seed",
        "3",
        "--run-dir=b",
        "--no-resume",
        "--overwrite",
        "--strict",
    ]
    assert remove_options(words, RunDirOptions) == ["train", "lenet5", "--seed", "3", "--strict"]


def test_all_values_of_a_removed_option_are_removed():
    shares = ["0.8", "0.1", "0.1"]
    words = ["train", "--splits", *shares, "lenet5", "--splits=0.8", *shares[1:], "digits", "--run-dir", "a"]
    assert remove_options(words, DataOptions) == ["train", "lenet5", "digits", "--run-dir", "a"]


def test_splits_are_three_shares():
    assert parse_splits(None, None, "0.6,0.2,0.2") == (0.6, 0.2, 0.2)
    with pytest.raises(click.BadParameter, match=r"as in 0\.8,0\.1,0\.1"):
        parse_splits(None, None, "0.8,0.2")
    with pytest.raises(InputError, match="add up to 1"):
        parse_splits(None, None, "0.8,0.2,0.2")


def test_classes_are_names_a_file_or_a_list(tmp_path):
    assert parse_classes(None, None, None) is None
    assert parse_classes(None, None, "cat,dog") == ["cat", "dog"]
    assert parse_classes(None, None, "cat,") == ["cat"]
    imagenet = parse_classes(None, None, "imagenet")
    assert (len(imagenet), imagenet[0]) == (1000, "tench")
    (tmp_path / "names.txt").write_text("cat\ndog\n\n")
    assert parse_classes(None, None, str(tmp_path / "names.txt")) == ["cat", "dog"]
    with pytest.raises(InputError, match="Cannot read the class names"):
        parse_classes(None, None, str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="names separated by commas.*cifar10, cifar100, imagenet"):
        parse_classes(None, None, "imagnet")


def recipe_options(**changes):
    fields = {"recipe": None, "epochs": None, "batch_size": None, "learning_rate": None, "augment": None}
    return RecipeOptions(**fields | {"settings": ()} | changes)


def test_common_fields_of_a_recipe_are_options():
    given = recipe_options(epochs=3, learning_rate="auto", augment="shift", settings=("ema=0.9", "epochs=3"))
    recipe = given.resolve("sgd")
    assert (recipe.epochs, recipe.learning_rate, recipe.augment, recipe.ema) == (3, "auto", "shift", 0.9)
    assert recipe.batch_size == 32, "of the recipe"
    assert recipe_options(batch_size=8).resolve("finetune").batch_size == 8
    with pytest.raises(InputError, match="--learning-rate 0.1 and --set learning_rate=0.2 contradict each other"):
        recipe_options(learning_rate=0.1, settings=("learning_rate=0.2",)).resolve("sgd")


def test_choices_are_those_of_the_package():
    from cnnzoo.data import cache, resize
    from cnnzoo.evaluation import report
    from cnnzoo.runtimes import choose

    assert set(options.INTERPOLATIONS) == {"auto", *resize.INTERPOLATIONS}
    assert set(options.CACHE_MODES) == set(cache.CACHE_MODES)
    assert ("auto", *choose.RUNTIMES) == options.RUNTIME_NAMES
    assert set(options.FORMAT_NAMES) == set(choose.FORMATS)
    assert set(options.PRECISIONS) == set(choose.PRECISIONS)
    assert set(tuning.METRIC_NAMES) == set(report.HEADLINE_METRICS)


@pytest.mark.parametrize(
    ("command", "flag"), [("train", "--workers"), ("evaluate", "--workers"), ("tune", "--load-workers")]
)
def test_the_number_of_workers_is_an_option(cli, command, flag):
    words = [command, "lenet5", "digits", flag]
    assert "neither a number of processes, as in 4, nor auto" in cli(*words, "many").err
    assert "workers must be 'auto', or a number of processes from 0 to 512" in cli(*words, "-1").err

"""The options that commands share."""

from dataclasses import dataclass, field

import click
import pytest
from click.testing import CliRunner

from cnnzoo.cli.declare import option, remove_options, take_options
from cnnzoo.cli.options import IMAGE_SIZE, DataOptions, RunDirOptions, parse_crop


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

"""The classes of the commands: groups of options, descriptions of arguments, and values as people type them."""

import click
import pytest
from click.testing import CliRunner

from cnnzoo.cli import commands
from cnnzoo.cli.commands import COMMON, OTHER, Choice, join_numbers
from cnnzoo.cli.main import cli as command_group
from cnnzoo.core.errors import InputError


@commands.command()
@commands.argument("name", help="What to paint.")
@commands.option("--depth", type=click.IntRange(1), help="Depth.")
@commands.option("--size", words=2, group=COMMON, help="Size.")
@commands.option("--shares", words=3, group=COMMON, help="Shares.")
def paint(name, depth, size, shares):
    """Paint."""
    click.echo((name, depth, size, shares))


def test_help_shows_arguments_then_options_by_group():
    text = CliRunner().invoke(paint, ["--help"]).output
    positions = [text.index(part) for part in ("Arguments:", "What to paint.", COMMON, "--size", OTHER, "--depth N")]
    assert positions == sorted(positions)
    assert text.count("What to paint.") == 1


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("--size 224 160 a", "--size 224,160 a"),
        ("--size 224 a", "--size 224 a"),
        ("--size=224 160 a", "--size 224,160 a"),
        ("--size 1 2 3", "--size 1,2 3"),
        ("--size 1 folder", "--size 1 folder"),
        ("--size 1 7", "--size 1 7"),  # 7 is the name of a folder
        ("--size --depth 3", "--size --depth 3"),
        ("--size", "--size"),
        ("--shares 0.8 0.1 0.1 a", "--shares 0.8,0.1,0.1 a"),
        ("--shares 0.8,0.1,0.1 a", "--shares 0.8,0.1,0.1 a"),
        ("--depth 1 2", "--depth 1 2"),
        ("a -- --size 1 2", "a -- --size 1 2"),
    ],
)
def test_numbers_of_one_option_become_one_word(tmp_path, monkeypatch, words, joined):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").mkdir()
    assert join_numbers(words.split(), paint.params) == joined.split()


def test_a_wrong_choice_names_the_nearest():
    assert Choice(["onnx", "openvino"], "format").convert("onnx", None, None) == "onnx"
    with pytest.raises(InputError, match=r"Unknown format. Did you mean onnx\? Allowed: onnx, openvino"):
        Choice(["onnx", "openvino"], "format").convert("onx", None, None)


@pytest.mark.parametrize("name", sorted(command_group.commands))
def test_every_argument_is_described_and_every_closed_option_shows_its_choices(name):
    for parameter in command_group.commands[name].params:
        if isinstance(parameter, click.Argument):
            assert parameter.help, f"{name} {parameter.name}"
        else:
            assert isinstance(parameter, commands.Option), f"{name} {parameter.name}"


def test_summaries_are_not_cut_in_a_narrow_terminal():
    text = CliRunner().invoke(command_group, ["--help"], terminal_width=60).output
    summaries = " ".join(text[text.index("Commands:") :].split())
    assert "..." not in summaries
    assert "Train MODEL on DATA and evaluate it on the test split." in summaries


def test_the_command_alone_shows_help(cli):
    answer = cli()
    assert "Commands:\n" in answer.out + answer.err


def test_help_of_a_command_by_name(cli):
    assert cli("help", "train").out == cli("train", "--help").out
    assert "Commands:" in cli("help").out
    assert "Did you mean cnnzoo train" in cli("help", "trian").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(cli, shell):
    answer = cli("completion", shell)
    assert answer.code == 0
    assert "_CNNZOO_COMPLETE" in answer.out


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("train resnet5", {"resnet50", "resnet56"}),
        ("predict lenet5:", {"lenet5:digits", "lenet5:mnist"}),
        ("export x y --format o", {"onnx", "openvino"}),
        ("train resnet18 x --weights imagenet.timm_g", {"imagenet.timm_gluon"}),
        ("train resnet18 x --recipe torch", {"torchvision_v1", "torchvision_v2"}),
        ("train resnet18 x --classes ima", {"imagenet"}),
        ("train resnet18 x --learn", {"--learning-rate"}),
    ],
)
def test_words_are_completed(monkeypatch, capsys, words, completions):
    from cnnzoo.cli.main import main

    monkeypatch.setenv("_CNNZOO_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"cnnzoo {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    with pytest.raises(SystemExit):
        main([])
    lines = capsys.readouterr().out.splitlines()
    assert completions <= {line.partition(",")[2] for line in lines if line.startswith("plain")}

"""The command line as a whole: help, version, and one line for an error with exit code 2 for wrong input."""

import re

import pytest

import cnnzoo
from cnnzoo.cli.main import cli as command_group


def test_help_lists_every_command(cli):
    text = cli("--help").out
    for name in command_group.commands:
        assert re.search(rf"^  {name} ", text, re.M)


@pytest.mark.parametrize("name", sorted(command_group.commands))
def test_every_option_has_a_help_text(cli, name):
    """The first sentence is short enough for the list of commands."""
    text = cli(name, "--help").out
    assert text.startswith(f"Usage: cnnzoo {name} ")
    command = command_group.commands[name]
    assert not command.get_short_help_str(63).endswith("...")
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    assert all(option.help for option in options)


def test_version(cli):
    assert cli("--version").out.split()[-1] == cnnzoo.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "lenet", "digits"), "Unknown model. Did you mean lenet5"),
        (("train", "lenet5", "digit"), "no such file or folder. Did you mean digits"),
        (("train", "lenet5", "digits", "--recipe", "sdg"), "Unknown recipe. Did you mean sgd"),
        (("train", "lenet5", "digits", "--set", "epoch=3"), "Did you mean epochs"),
        (("train", "lenet5", "digits", "--weights", "imagenet"), "Unknown weights of lenet5"),
        (("train", "lenet5", "digits", "--set", "schedule=cosin"), "Did you mean cosine"),
        (("train", "lenet5", "digits", "--devices", "GPU:7"), "Unknown device"),
        (("train", "lenet5", "digits", "--resume", "--overwrite"), "Pass either --resume"),
        (("fine-tune", "lenet5", "digits"), "Fine-tuning needs pretrained weights: lenet5:digits, or lenet5:FILE"),
        (("fine-tune", "lenet5:mnits", "digits"), "Did you mean mnist"),
        (("tune", "lenet5", "no/data", "--objective", "acuracy"), "Unknown metric. Did you mean accuracy"),
        (("fine-tune", "lenet:mnist", "digits"), "Unknown model. Did you mean lenet5"),
        (("lr-find", "lenet5", "digits", "--out", "a.jpg"), "a .png file"),
        (("recipes", "quik"), "Did you mean quick"),
        (("rerun", "nowhere"), "there is nothing at 'nowhere'"),
        (("train", "lenet5", "digits", "--splits", "1", "1", "1"), "add up to 1"),
        (("train", "lenet5", "nowhere.npz"), "Unknown data source"),
        (("train", "lenet5", "x" * 300), "too long"),
        (("list", "vit*"), "No model matches"),
        (("info", "resnet"), "Did you mean resnet"),
        (("diff", "resnet50", "resnet50_v3"), "Did you mean resnet50_v"),
        (("fetch", "vgg16:imagnet"), "Did you mean imagenet"),
        (("fetch", "vgg16_c"), "No weights of vgg16_c are published"),
        (("convert", "a.pth", "resnet50", "b.h5"), "saved weights must end in .safetensors"),
        (("convert", "a.pth", "resnet50", "b.safetensors"), "Cannot read the weights"),
        (("predict", "runs/nowhere", "a.png"), "there is none at"),
        (("export", "runs/nowhere", "out"), "there is none at"),
        (("evaluate", "runs/nowhere", "digits"), "there is none at"),
        (("export", "lenet5:mnist", "out", "--format", "onx"), "Unknown format. Did you mean onnx"),
        (("export", "lenet5:mnist", "out", "--precision", "int8"), "The format saved_model has no precision int8"),
        (("export", "lenet5:mnist", "out", "--format", "litert", "--precision", "int8"), "int8 requires --data"),
        (("predict", "lenet5:mnist", "a.png", "--runtime", "tensorrt"), "Unknown runtime"),
        (("predict", "lenet5:mnist", "a.png", "--precision", "int8"), "set the precision when exporting"),
        (("predict", "lenet5:mnist", "a.png", "--out", "a.txt"), "Unknown kind of file"),
        (("predict", "lenet5:mnist", "*.png", "--out", "a.csv"), "There are no files at '*.png'"),
        (("train", "lenet5"), "Missing argument"),
        (("train", "lenet5", "digits", "--image-size", "28x"), "'28x' is neither one number"),
        (("show", "digits", "--crop", "half"), "'half' is not 'auto', 'none' or a share"),
        (("demo", "--seed", "x"), "--seed must be a whole number from 0 to 4294967295"),
        (("demo", "--seed", "4294967296"), "--seed must be a whole number from 0 to 4294967295"),
        (("train", "lenet5", "digits", "--splits", "nan", "nan", "nan"), "three shares that add up to 1"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    answer = cli(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert len([line for line in answer.err.splitlines() if "Error" in line]) == 1
    assert not list(tmp_path.iterdir()), "nothing may be written"

"""Typical mistakes: one line, exit code 2, the remedy in it, and neither TensorFlow nor Keras imported."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

# What is typed, and what the message must name. {tmp} is the current folder.
MISTAKES = [
    # Commands and options
    ("trian lenet5 digits", "Did you mean cnnzoo train"),
    ("finetune resnet18:imagenet photos", "Did you mean cnnzoo fine-tune"),
    ("fine-tune photos", "Missing argument 'MODEL'"),
    ("evaluate photos", "Missing argument 'MODEL'"),
    ("train photos", "such as resnet18; 'photos' is not a model"),
    ("predict a.png", "Missing argument 'MODEL'"),
    ("export photos", "Missing argument 'MODEL'"),
    ("fine-tune lenet5:mnist", "Missing argument 'DATA'"),
    ("train lenet5", "Usage: cnnzoo train [OPTIONS] MODEL DATA"),
    ("train lenet5 digits --epoch 3", "--epochs"),
    ("train lenet5 digits --batch_size 8", "Did you mean --batch-size"),
    ("train lenet5 digits --momentum 0.8", "--set momentum=VALUE"),
    ("train lenet5 digits --epochs many", "--epochs must be a whole number of at least 1"),
    ("train lenet5 digits --minutes three", "--minutes must be a number above 0. Received: 'three'"),
    ("tune lenet5 digits --trials two", "--trials must be a whole number of at least 1"),
    ("tune lenet5 digits --trials 0", "--trials must be a whole number of at least 1"),
    ("export lenet5:mnist out --max-drop 2", "--max-drop must be a number from 0 to 1"),
    ("train lenet5 digits --epochs 3 --set epochs=5", "give one of them"),
    ("train lenet5 digits --set lr=0.1", "Did you mean learning_rate"),
    ("train lenet5 digits --lr fast", "a number, as in 0.01"),
    ("train lenet5 digits --augment bascic", "Did you mean basic"),
    ("train lenet5 digits --recipe finetun", "Did you mean finetune"),
    ("train lenet5 digits --splits 0.8 0.2", "as in 0.8,0.1,0.1"),
    ("train lenet5 digits --splits 0.8,0.1,0.2", "add up to 1"),
    ("train lenet5 photos --class-folders iner", "Did you mean inner"),
    ("train lenet5 photos --crop 224", "at most 1"),
    ("train resnet18 photos --classes cats", "names separated by commas"),
    ("train lenet5 digits --set epochs 3", "--set patience=5"),
    ("train lenet5 digits --recipe best.toml", "`cnnzoo recipes` lists"),
    ("tune lenet5 digits --space space.toml", "there is nothing at 'space.toml'"),
    ("list resnet", "Did you mean '*resnet*'"),
    ("fetch resnet18 imagenet", "cnnzoo fetch resnet18:imagenet"),
    ("rerun dona", "Did you mean done"),
    # Models
    ("train resnet-19 photos", "resnet18"),
    ("info ResNet50", "Did you mean resnet50"),
    ("info efficientnet_b0", "`cnnzoo list` shows all"),
    ("train lenet5 photos --image-size 8 8", "at least 16x16"),
    ("fine-tune googlenet_2014:imagenet photos", "googlenet:imagenet is published, of a similar"),
    ("train lenet5:mnist digits", "cnnzoo fine-tune lenet5:mnist digits"),
    ("train photos resnet18", "cnnzoo train resnet18 photos"),
    ("fine-tune photos resnet18:imagenet", "cnnzoo fine-tune resnet18:imagenet photos"),
    ("fine-tune resnet18 photos", "resnet18:imagenet"),
    ("fine-tune googlenet_2014 photos", "none are published for googlenet_2014, or googlenet_2014:FILE"),
    ("fine-tune resnet18:imagnet photos", "Did you mean imagenet"),
    ("train resnet18 photos --weights nofile.pth", "no such file"),
    ("train resnet18 photos --weights net.pt", "Did you mean net.pth"),
    ("predict lenet5 a.png", "lenet5:mnist"),
    ("predict a.png lenet5:mnist", "cnnzoo predict lenet5:mnist a.png"),
    ("predict net.pth a.png", "resnet50:net.pth"),
    ("predict photos a.png", "which is a folder of other files"),
    ("predict runs a.png", "or runs/unfinished?"),
    ("predict runs/unfinised a.png", "Did you mean runs/unfinished"),
    ("predict runs/unfinished a.png", "repeat the command of the training"),
    ("predict runs/search a.png", "repeat its command"),
    # Data, images and outputs
    ("train lenet5 phots", "Did you mean photos"),
    ("doctor phots", "Did you mean photos"),
    ("show phots", "Did you mean photos"),
    ("lr-find lenet5 phots", "Did you mean photos"),
    ("tune lenet5 phots", "Did you mean photos"),
    ("evaluate lenet5:mnist phots", "Did you mean photos"),
    ("export lenet5:mnist out --data phots", "Did you mean photos"),
    ("evaluate lenet5:mnist flat", "has no images in sub-folders named after their classes; 1 file"),
    ("export lenet5:mnist out --data flat", "has no images in sub-folders"),
    ("predict lenet5:mnist b.png", "Did you mean a.png"),
    ("predict lenet5:mnist *.jpg", "There are no files at '*.jpg'"),
    ("predict lenet5:mnist https://host/a.png", "download the file"),
    ("predict lenet5:mnist a.png --out a.txt", ".csv"),
    ("predict lenet5:mnist a.png --out old.csv", "--overwrite"),
    ("predict lenet5:mnist a.png --runtime onnx", "onnxruntime"),
    ("train lenet5 digits --run-dir photos", "choose another run directory"),
    ("train lenet5 digits --run-dir done", "--overwrite"),
    ("train lenet5 digits --resume --overwrite", "either --resume"),
    ("fine-tune lenet5:mnist digits --run-dir done", "--overwrite"),
    ("tune lenet5 digits --run-dir done", "--overwrite"),
    ("demo --run-dir photos", "choose another run directory"),
    ("evaluate lenet5:mnist digits --out done", "choose another folder"),
    ("evaluate lenet5:mnist digits --split val", "validation"),
    ("export lenet5:mnist photos", "--overwrite"),
    ("export lenet5:mnist out --format tflite", "litert"),
    ("export lenet5:mnist out --format onnx --precision float16", "openvino and litert have it: --format openvino"),
    ("export served done", "cnnzoo export done served"),
    ("predict served/model.onnx a.png", "a file of an export; give its folder: served"),
    ("predict lenet5:mnist a.png --top 0", "--top must be a whole number of at least 1"),
    ("export out lenet5:mnist", "cnnzoo export lenet5:mnist out"),
    ("convert resnet18 net.pth out.safetensors", "cnnzoo convert net.pth resnet18 out.safetensors"),
    ("convert nofile.pth resnet18 out.safetensors", "no such file"),
    ("fetch resnet18:imagnet", "Did you mean imagenet"),
    ("completion powershell", "bash"),
    ("predict lenet5:mnist a.png --min-probability auto", "has no min_probability. Give a number"),
    # Without a network and with an empty cache, before the images are read
    ("fine-tune resnet18:imagenet photos", "CNNZOO_OFFLINE is set"),
    ("train resnet18 photos --weights imagenet", "CNNZOO_OFFLINE is set"),
    ("lr-find resnet18 photos --weights imagenet", "CNNZOO_OFFLINE is set"),
    ("tune resnet18:imagenet photos --trials 2", "CNNZOO_OFFLINE is set"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as users have it: photos, a checkpoint, an image, and some runs."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("photos/cat", "runs/unfinished", "runs/search/trials", "done", "served", "flat"):
        (folder / name).mkdir(parents=True)
    for path in ("a.png", "photos/cat/1.png", "flat/1.png"):
        Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(folder / path)
    (folder / "net.pth").write_bytes(b"weights")
    for name in ("old.csv", "served/cnnzoo.json", "served/model.onnx"):
        (folder / name).touch()
    for name, status in (("runs/unfinished", "interrupted"), ("runs/search", "interrupted"), ("done", "done")):
        (folder / name / "run.json").write_text(f'{{"status": "{status}", "plan": {{}}}}')
    return folder


SCRIPT = """
import contextlib, io, os, sys, json, time
os.chdir(sys.argv[1])
from cnnzoo.cli.main import main
answers = []
for words in json.load(sys.stdin):
    out, err, code, start = io.StringIO(), io.StringIO(), 0, time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words.split())
        except SystemExit as end:
            code = end.code
    imported = [name for name in ("tensorflow", "keras", "sklearn", "matplotlib", "pandas") if name in sys.modules]
    answers.append([code, out.getvalue(), err.getvalue(), imported, time.process_time() - start])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(folder):
    """The answers to all mistakes, from one process that has imported nothing before."""
    commands = [command for command, _ in MISTAKES]
    script = [sys.executable, "-c", SCRIPT, str(folder)]
    environment = os.environ | {"CNNZOO_OFFLINE": "1", "CNNZOO_HOME": str(folder / "cache")}
    process = subprocess.run(script, input=json.dumps(commands), capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    return dict(zip(commands, json.loads(process.stdout), strict=True))


@pytest.mark.parametrize(("command", "remedy"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_answered_at_once(answers, command, remedy):
    code, out, err, imported, seconds = answers[command]
    assert remedy in err
    assert "=True" not in err  # an argument of Python
    assert code == 2
    assert (out, err.count("\n"), err.startswith("Error: ")) == ("", 1, True), err
    assert len(err) < 700
    assert imported == []
    assert seconds < 2  # the first one imports what all need


def test_nothing_is_written(answers, folder):
    assert not {path.name for path in folder.iterdir()} - {
        "photos",
        "runs",
        "done",
        "served",
        "flat",
        "a.png",
        "net.pth",
        "old.csv",
        "cache",  # with the lock of a download
    }

"""The command line: help worth reading, one line for an error, exit code 2 for wrong input."""

import hashlib
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.images import make_blobs
from PIL import Image
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints import manifest, tensors
from cnnzoo.cli.main import cli as group

COMMANDS = ("demo", "list", "info", "diff", "fetch", "convert", "recipes", "train", "fine-tune", "lr-find", "rerun")
COMMANDS += ("evaluate", "predict", "export")


def test_help_shows_every_command():
    text = CliRunner().invoke(group, ["--help"]).output
    assert all(re.search(rf"^  {name} ", text, re.M) for name in COMMANDS)
    for name in COMMANDS:
        text = CliRunner().invoke(group, [name, "--help"]).output
        assert len(text.splitlines()) > 5


def test_version(cli):
    assert cli("--version").out.split()[-1] == cnnzoo.__version__


def test_list(cli):
    lines = cli("list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *cnnzoo.list_models()]
    assert re.fullmatch(r"resnet50 +resnet +224x224x3 +25\.56 M +4\.089 G +80\.86 %  imagenet +\d+", lines[19])
    assert max(map(len, lines)) <= 120
    only = cli("list", "lenet*", "--weights").out
    assert "lenet5_1998" in only
    assert "relu" not in only


def test_info(cli):
    assert cli("info", "resnet20").out.strip() == str(cnnzoo.info("resnet20"))
    text = cli("info", "resnet50").out
    defaults = re.findall(r"^\*  (\S+)", text, re.M)
    assert defaults == ["imagenet.tv_v2"]
    assert re.search(r"imagenet\.tv_v1 +76\.13 % +92\.86 % +224 +BSD-3-Clause +sha256-prefix", text)
    assert "no head" in cli("info", "vgg16").out
    assert "none published" in cli("info", "vgg16_c").out


def test_diff(cli):
    assert "the convolution of a bottleneck that strides" in cli("diff", "resnet50", "resnet50_v1").out


def test_fetch(cli, tmp_path, monkeypatch):
    """The cache has one file, and no network is asked for the other."""
    row = manifest.find_weights("resnet20", "cifar10")
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    (tmp_path / "weights").mkdir()
    content = b"weights"
    (tmp_path / "weights" / row.file).write_bytes(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    rows = [replace(w, hash=w.hash and digest) for w in manifest.load_rows()]
    monkeypatch.setattr(manifest, "load_rows", lambda: rows)
    answer = cli("fetch", "resnet20", "vgg16:imagenet.tv_v1", "lenet5:mnist")
    assert answer.code == 2
    assert f"resnet20:cifar10.akamaster: {tmp_path / 'weights' / row.file}, 7 bytes, sha256" in answer.out
    assert "lenet5:mnist: comes with the package" in answer.out
    assert "CNNZOO_OFFLINE is set" in answer.err
    assert "Traceback" not in answer.err
    every = cli("fetch", "--all", "lenet5").out.splitlines()
    assert every == ["lenet5:digits: comes with the package", "lenet5:mnist: comes with the package"]


def test_convert(cli, tmp_path):
    """A checkpoint of torchvision's layout becomes one of ours that gives the same logits."""
    model = cnnzoo.get("resnet20")
    words = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    words |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    theirs = {}
    for name, value in tensors.named_variables(model).items():
        value = np.asarray(value)
        layer, _, variable = re.sub(r"^layer(\d)_(\d)_", r"layer\1.\2.", name).rpartition(".")
        name = f"{layer}.{words.get(variable, variable)}"
        theirs[name] = value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value.T.copy()
    save_file(theirs, tmp_path / "theirs.safetensors")
    names = ",".join(f"class {i}" for i in range(10))
    answer = cli(
        "convert", tmp_path / "theirs.safetensors", "resnet20", tmp_path / "ours.safetensors", "--classes", names
    )
    assert f"{len(theirs)} loaded" in answer.out
    again = cnnzoo.get("resnet20", weights=tmp_path / "ours.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    np.testing.assert_array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))
    assert cnnzoo.card(again).classes[0] == "class 0"


@pytest.fixture
def npz(tmp_path):
    x, y = make_blobs()
    np.savez(tmp_path / "blobs.npz", x=x, y=y)
    return tmp_path / "blobs.npz"


SPLIT = ("--split", "0.6", "0.2", "0.2")
QUICK = ("--set", "epochs=2", "--set", "batch_size=12", *SPLIT)


def test_train_evaluate_predict_export(cli, npz, tmp_path):
    run = tmp_path / "run"
    trained = cli("train", "lenet5", npz, *QUICK, "--run-dir", run)
    assert trained.code == 0, trained.err
    assert "lenet5 on blobs.npz: 12 test images" in trained.out
    assert "epoch 2/2" in trained.err
    evaluated = cli("evaluate", run, npz, *SPLIT, "--out", tmp_path / "again")
    headline = re.search(r"accuracy .*", trained.out)[0]
    assert headline in evaluated.out
    assert (tmp_path / "again" / "report.html").exists()
    exported = cli("export", run, tmp_path / "out")
    assert "of the model's" in exported.out
    Image.fromarray(make_blobs()[0][0]).save(tmp_path / "a b.png")
    answers = [cli("predict", path, tmp_path / "a b.png", "--top", 2).out for path in (run, tmp_path / "out")]
    assert answers[0] == answers[1]
    assert re.fullmatch(r".*a b\.png: \d [\d.]+ %, \d [\d.]+ %\n", answers[0])
    assert cli("evaluate", tmp_path / "out", npz).code == 2


def test_a_folder_is_answered_into_a_file(cli, tmp_path, mnist):
    (tmp_path / "scans").mkdir()
    for i, image in enumerate(mnist["x_test"][:5]):
        Image.fromarray(image).save(tmp_path / "scans" / f"{i}.png")
    out = tmp_path / "answers.csv"
    asked = ("predict", "lenet5:mnist", tmp_path / "scans", "--out", out, "--runtime", "keras", "--batch-size", 2)
    answer = cli(*asked, "--top", 1)
    assert (answer.code, answer.out) == (0, f"5 images, 0 of them unreadable; written to {out}\n")
    lines = out.read_text().splitlines()
    assert lines[0] == "path,error,class_1,probability_1"
    assert [line.split(",")[2] for line in lines[1:]] == [str(label) for label in mnist["y_test"][:5]]
    assert "--overwrite" in cli(*asked).err
    (tmp_path / "scans" / "torn.png").write_bytes(b"no image")
    assert cli(*asked, "--overwrite").code == 2, "as one could not be read"


@pytest.mark.slow
def test_int8_says_what_it_costs(cli, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    assert cli("train", "lenet5", "digits", "--set", "epochs=3", "--run-dir", run).code == 0
    arguments = ("export", run, out, "--format", "openvino", "--precision", "int8", "--data", "digits")
    answer = cli(*arguments, "--max-drop", 0.05)
    assert answer.code == 0, answer.err
    before, now = map(float, re.search(r"([\d.]+) % before, ([\d.]+) % now", answer.out).groups())
    assert before - now <= 5
    assert re.search(r"int8, 32x32 pixels", (out / "model_card.md").read_text())
    assert cli(*arguments).code == 2, "it is there already"


def test_resume_and_overwrite(cli, npz, tmp_path):
    run = tmp_path / "run"
    first = cli("train", "lenet5", npz, *QUICK, "--run-dir", run)
    before = (run / "report.json").read_bytes()
    refused = cli("train", "lenet5", npz, *QUICK, "--run-dir", run)
    assert refused.code == 2
    assert "--resume" in refused.err
    assert cli("train", "lenet5", npz, *QUICK, "--run-dir", run, "--resume").code == first.code == 0
    assert (run / "report.json").read_bytes() == before
    assert cli("train", "lenet5", npz, *QUICK, "--run-dir", run, "--resume", "--overwrite").code == 2
    assert cli("train", "lenet5", npz, *QUICK, "--run-dir", run, "--overwrite", "--seed", 1).code == 0


def test_published_weights_by_name_and_tag(cli, tmp_path, mnist):
    Image.fromarray(mnist["x_test"][0]).save(tmp_path / "seven.png")
    (tmp_path / "torn.png").write_bytes(b"no image")
    answer = cli("predict", "lenet5:mnist", tmp_path / "torn.png", tmp_path / "seven.png")
    assert answer.code == 2
    assert re.search(r"seven\.png: 7 \d", answer.out)
    assert "Cannot read" in answer.err
    assert cli("export", "lenet5:mnist", tmp_path / "out").code == 0
    assert re.search(r"seven\.png: 7 \d", cli("predict", tmp_path / "out", tmp_path / "seven.png").out)
    assert "Did you mean mnist" in cli("predict", "lenet5:mnits", tmp_path / "seven.png").err


def test_names_for_the_classes(cli, npz, tmp_path):
    trained = cli("train", "lenet5", npz, *QUICK, "--run-dir", tmp_path / "run", "--classes", "ant,bee,cow")
    assert trained.code == 0
    assert cnnzoo.load(tmp_path / "run").classes == ("ant", "bee", "cow")


def test_recipes(cli):
    assert "equation 9" in cli("recipes").out


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    """A real process and a real signal; the run goes on and ends as an undisturbed one."""
    command = [sys.executable, "-m", "cnnzoo", "train", "lenet5", "digits", "--set", "epochs=12", "--run-dir"]
    torn = subprocess.Popen([*command, tmp_path / "torn"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not any(path.name > "step-000000080" for path in tmp_path.glob("torn/state/step-*")):
        assert torn.poll() is None
        time.sleep(0.05)
    torn.send_signal(signal.SIGINT)
    _, err = torn.communicate()
    assert torn.returncode == 130
    assert re.search(r"Stopped; \d+ of 12 epochs( and \d+ steps)? are done and kept in .*same call or command", err)
    subprocess.run([*command, tmp_path / "torn"], check=True, capture_output=True)
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    assert (tmp_path / "torn" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


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
        (("train", "lenet5", "digits", "--resume", "--overwrite"), "Choose one"),
        (("fine-tune", "lenet5", "digits"), "Weights are fine-tuned: lenet5:imagenet, or --weights"),
        (("fine-tune", "lenet5:mnits", "digits"), "Did you mean mnist"),
        (("tune", "lenet5", "no/data", "--objective", "acuracy"), "Unknown metric. Did you mean accuracy"),
        (("fine-tune", "lenet:mnist", "digits"), "Unknown model. Did you mean lenet5"),
        (("lr-find", "lenet5", "digits", "--out", "a.jpg"), "a .png file"),
        (("recipes", "quik"), "Did you mean quick"),
        (("rerun", "nowhere"), "does not exist"),
        (("train", "lenet5", "digits", "--split", "1", "1", "1"), "add up to 1"),
        (("train", "lenet5", "nowhere.npz"), "Unknown data source"),
        (("train", "lenet5", "x" * 300), "too long"),
        (("list", "vit*"), "No model matches"),
        (("info", "resnet"), "Did you mean resnet"),
        (("diff", "resnet50", "resnet50_v3"), "Did you mean resnet50_v"),
        (("fetch", "vgg16:imagnet"), "Did you mean imagenet"),
        (("fetch", "vgg16_c"), "No weights of vgg16_c are published"),
        (("convert", "a.pth", "resnet50", "b.h5"), "saved to a .safetensors file"),
        (("convert", "a.pth", "resnet50", "b.safetensors"), "Cannot read the weights"),
        (("predict", "runs/nowhere", "a.png"), "there is none at"),
        (("export", "runs/nowhere", "out"), "there is none at"),
        (("evaluate", "runs/nowhere", "digits"), "there is none at"),
        (("export", "lenet5:mnist", "out", "--format", "onx"), "Unknown format. Did you mean onnx"),
        (("export", "lenet5:mnist", "out", "--precision", "int8"), "Unknown precision of saved_model"),
        (("export", "lenet5:mnist", "out", "--format", "litert", "--precision", "int8"), "int8 needs data (--data)"),
        (("predict", "lenet5:mnist", "a.png", "--runtime", "tensorrt"), "Unknown runtime"),
        (("predict", "lenet5:mnist", "a.png", "--precision", "int8"), "an export says so"),
        (("predict", "lenet5:mnist", "a.png", "--out", "a.txt"), "Unknown kind of file"),
        (("predict", "lenet5:mnist", "*.png", "--out", "a.csv"), "There are no files at '*.png'"),
        (("train", "lenet5"), "Missing argument"),
        (("demo", "--seed", "x"), "not a valid integer"),
        (("demo", "--seed", "4294967296"), "is not in the range"),
        (("train", "lenet5", "digits", "--split", "nan", "nan", "nan"), "three positive shares"),
    ],
)
def test_wrong_input_is_one_clear_line(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    answer = cli(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert len([line for line in answer.err.splitlines() if "Error" in line]) == 1
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_a_diverging_run_exits_with_one(cli, npz, tmp_path):
    answer = cli("train", "lenet5", npz, *QUICK, "--set", "learning_rate=1e30", "--run-dir", tmp_path / "run")
    assert answer.code == 1
    assert "A lower learning_rate usually helps" in answer.err
    assert (tmp_path / "run" / "model.keras").exists()


def test_warnings_are_short(cli, tmp_path):
    x, y = make_blobs()
    np.savez(tmp_path / "unit.npz", x=x / 255, y=y)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        answer = cli("train", "lenet5", tmp_path / "unit.npz", *QUICK, "--run-dir", tmp_path / "run")
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if line.startswith("Warning: Images of float64 from 0 to ")]
    assert ".py" not in answer.err

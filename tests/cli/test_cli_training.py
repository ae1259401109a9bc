"""The commands that train: fine-tune, lr-find, recipes, rerun, and the same command after a stop."""

import json

import numpy as np
import pytest
from helpers.images import make_blobs
from PIL import Image

import cnnzoo

SPLIT = ("--split", "0.6", "0.2", "0.2")
QUICK = ("--set", "epochs=2", "--set", "batch_size=12", *SPLIT)


@pytest.fixture
def npz(tmp_path):
    x, y = make_blobs()
    np.savez(tmp_path / "blobs.npz", x=x, y=y)
    return tmp_path / "blobs.npz"


def test_fine_tune_by_tag_by_file_and_from_a_run(cli, npz, tmp_path):
    tagged = cli("fine-tune", "lenet5:mnist", npz, *QUICK, "--run-dir", tmp_path / "a")
    assert tagged.code == 0, tagged.err
    assert "The linear probe before fine-tuning" in tagged.out
    assert cnnzoo.load(tmp_path / "a").classes == ("0", "1", "2")
    path = cnnzoo.save_weights(cnnzoo.get("lenet5", weights="mnist"), tmp_path / "w.safetensors")
    filed = cli("fine-tune", "lenet5", npz, *QUICK, "--weights", path, "--run-dir", tmp_path / "b")
    assert filed.code == 0, filed.err
    assert "linear probe" in filed.out
    again = cli("fine-tune", tmp_path / "a", npz, *QUICK, "--run-dir", tmp_path / "c", "--set", "bn=train")
    assert again.code == 0, again.err
    assert cli("fine-tune", tmp_path / "a", npz, "--weights", "mnist", "--run-dir", tmp_path / "d").code == 2


def test_lr_find(cli, npz, tmp_path):
    answer = cli("lr-find", "lenet5", npz, *SPLIT, "--set", "batch_size=12", "--out", tmp_path / "curve.png")
    assert answer.code == 0, answer.err
    assert "Suggested learning rate" in answer.out
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 300


def test_recipes_show_their_fields(cli):
    assert "schedule" not in cli("recipes").out
    text = cli("recipes", "resnet_cifar_2015").out
    assert "(0.5, 0.75)" in text
    assert "section 4.2" in text


def test_rerun_repeats_and_compares(cli, npz, tmp_path):
    run = tmp_path / "run"
    assert cli("train", "lenet5", npz, *QUICK, "--seed", "3", "--run-dir", run).code == 0
    same = cli("rerun", run / "run.json")
    assert same.code == 0, same.err
    assert "The same: all" in same.out
    assert (tmp_path / "run-again" / "report.json").read_bytes() == (run / "report.json").read_bytes()
    report = json.loads((run / "report.json").read_text())
    report["metrics"]["accuracy"] += 0.25
    (run / "report.json").write_text(json.dumps(report))
    other = cli("rerun", run, "--run-dir", tmp_path / "other")
    assert other.code == 1
    assert "metrics.accuracy: " in other.out
    assert "1 of " in other.err


def test_rerun_of_what_no_command_made(cli, trained, tmp_path):
    answer = cli("rerun", trained.folder)
    assert answer.code == 2
    assert "was made by a program" in answer.err
    assert "holds no run of train or fine-tune that has ended" in cli("rerun", tmp_path).err

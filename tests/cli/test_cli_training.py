"""train, fine-tune, lr-find and recipes."""

import re
import shutil
import signal
import time
import warnings

import numpy as np
import pytest
from helpers.commands import CLASSES, QUICK, SPLITS
from helpers.images import make_blobs
from helpers.processes import start_command
from PIL import Image

import cnnzoo


def test_train_prints_progress_and_a_report(run):
    assert "lenet5 on blobs.npz: 12 test images" in run.out
    assert "epoch 2/2" in run.err
    *_, page, predict, export = run.out.splitlines()
    assert page == f"Open {run.folder}/report.html in a browser. Try next:"
    assert predict.split() == ["cnnzoo", "predict", str(run.folder), "new_images/", "--out", "answers.csv"]
    assert export.split() == ["cnnzoo", "export", str(run.folder), "exported"]
    assert cnnzoo.load(run.folder).classes == CLASSES, "the names that --classes gives"


def test_a_finished_run_is_resumed_or_replaced_only_on_request(cli, run, train_arguments, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    report = (folder / "report.json").read_bytes()
    refused = cli(*train_arguments, "--run-dir", folder)
    assert refused.code == 2
    assert "--resume" in refused.err
    assert cli(*train_arguments, "--run-dir", folder, "--resume").code == 0
    assert (folder / "report.json").read_bytes() == report
    assert cli(*train_arguments, "--run-dir", folder, "--resume", "--overwrite").code == 2
    assert cli(*train_arguments, "--run-dir", folder, "--overwrite", "--seed", 1).code == 0


@pytest.mark.slow
def test_fine_tune_takes_a_tag_a_file_and_a_run(cli, npz, tmp_path):
    by_tag = cli("fine-tune", "lenet5:mnist", npz, *QUICK, "--run-dir", tmp_path / "a")
    assert by_tag.code == 0, by_tag.err
    assert "The linear probe before fine-tuning" in by_tag.out
    assert "Linear probe: validation accuracy " in by_tag.err
    assert cnnzoo.load(tmp_path / "a").classes == ("0", "1", "2")
    once = ("--set", "epochs=1")
    path = cnnzoo.save_weights(cnnzoo.get("lenet5", weights="mnist"), tmp_path / "w.safetensors")
    by_file = cli("fine-tune", "lenet5", npz, *QUICK, *once, "--weights", path, "--run-dir", tmp_path / "b")
    assert by_file.code == 0, by_file.err
    assert "linear probe" in by_file.out
    by_run = cli("fine-tune", tmp_path / "a", npz, *QUICK, *once, "--run-dir", tmp_path / "c", "--set", "bn=train")
    assert by_run.code == 0, by_run.err
    assert cli("fine-tune", tmp_path / "a", npz, "--weights", "mnist", "--run-dir", tmp_path / "d").code == 2


def test_lr_find_plots_the_loss(cli, npz, tmp_path):
    answer = cli("lr-find", "lenet5", npz, *SPLITS, "--set", "batch_size=12", "--out", tmp_path / "curve.png")
    assert answer.code == 0, answer.err
    assert "Suggested learning rate" in answer.out
    assert re.search(r"of the recipe sgd. To use the rate, add --learning-rate [\d.e-]+ to cnnzoo train\n", answer.out)
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 300


def test_lr_find_with_weights_tests_the_settings_of_fine_tuning(cli, npz, tmp_path):
    """Another optimizer's rate would be of no use."""
    options = ("--weights", "mnist", "--steps", 10, "--epochs", 3, "--out", tmp_path / "curve.png")
    answer = cli("lr-find", "lenet5", npz, *SPLITS, *options)
    assert answer.code == 0, answer.err
    assert re.search(r"of the recipe finetune. To use the rate, add \S+ \S+ to cnnzoo fine-tune\n", answer.out)
    assert "Note: --epochs and --learning-rate have no effect on a range test" in answer.err


def test_recipes_show_their_fields_by_name(cli):
    text = cli("recipes").out
    assert "equation 9" in text
    assert not re.search(r"^  schedule ", text, re.M)
    text = cli("recipes", "resnet_cifar_2015").out
    assert re.search(r"^  schedule ", text, re.M)
    assert "(0.5, 0.75)" in text
    assert "section 4.2" in text


def test_fields_of_a_recipe_without_effect_are_set_apart(cli):
    text = cli("recipes", "finetune").out
    assert "  momentum        0.9  (the first beta of adamw)\n" in text
    assert "  without effect here: nesterov, drops, drop, flat, bn_momentum, rubbish\n" in text
    assert not re.search(r"^  (nesterov|drops|drop|flat|bn_momentum|rubbish) ", text, re.M)


def test_a_diverging_run_exits_with_1(cli, npz, tmp_path):
    answer = cli("train", "lenet5", npz, *QUICK, "--set", "learning_rate=1e30", "--run-dir", tmp_path / "run")
    assert answer.code == 1
    assert "A lower learning_rate usually helps" in answer.err
    assert (tmp_path / "run" / "model.keras").exists()


def test_warnings_are_one_line_without_file_names(cli, tmp_path):
    x, y = make_blobs()
    np.savez(tmp_path / "unit.npz", x=x / 255, y=y)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        arguments = ("--set", "epochs=1", "--set", "batch_size=12", *SPLITS, "--run-dir", tmp_path / "run")
        answer = cli("train", "lenet5", tmp_path / "unit.npz", *arguments)
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if line.startswith("Warning: Images of float64 from 0 to ")]
    assert ".py" not in answer.err


@pytest.mark.slow
def test_a_run_interrupted_by_ctrl_c_can_be_continued(cli, train_arguments, tmp_path):
    """A real process gets a real signal; the continued run ends as an uninterrupted one."""
    arguments = (*train_arguments, "--set", "epochs=15", "--run-dir")
    process = start_command(*arguments, tmp_path / "interrupted")
    while not list(tmp_path.glob("interrupted/state/step-*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert re.search(r"Stopped; \d+ of 15 epochs( and \d+ steps?)? are done and kept in .*same call or command", err)
    for folder in ("interrupted", "uninterrupted"):
        assert cli(*arguments, tmp_path / folder).code == 0
    reports = [(tmp_path / folder / "report.json").read_bytes() for folder in ("interrupted", "uninterrupted")]
    assert reports[0] == reports[1]

"""The whole way of an unsure answer: chosen in a training, kept in the card and in an export, used by predict."""

import json

import numpy as np
import pytest
from helpers.images import make_blobs
from PIL import Image

import cnnzoo

SETTINGS = ("--set", "epochs=3", "--set", "batch_size=32", "--set", "learning_rate=0.02", "--seed", "0")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Blobs of which one in eight has a wrong label, so that no model is always right."""
    images, labels = make_blobs(count=400)
    labels[::8] = (labels[::8] + 1) % 3
    path = tmp_path_factory.mktemp("blobs") / "blobs.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.mark.slow
def test_a_target_accuracy_is_kept_and_used(cli, source, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    splits = ("--splits", "0.4", "0.4", "0.2")
    answer = cli("train", "lenet5", source, "--run-dir", run, *SETTINGS, *splits, "--target-accuracy", "0.75")
    assert answer.code == 0, answer.err
    card = cnnzoo.card(cnnzoo.load(run).model)
    report = json.loads((run / "report.json").read_text())
    assert report["calibration"] == card.calibration
    assert report["metrics"]["answers"]["min_probability"] == card.min_probability
    assert card.calibration["min_probability"]["target_accuracy"] == 0.75
    assert "for an accuracy of 75 %" in answer.out

    # Another accuracy for a finished run, which is measured again
    answer = cli("evaluate", run, source, *splits, "--target-accuracy", "0.8", "--json")
    assert json.loads(answer.out)["calibration"]["min_probability"]["target_accuracy"] == 0.8
    answer = cli("evaluate", run, source, "--target-accuracy", "80")
    assert answer.code == 2
    assert "target_accuracy must be a share above 0 and below 1, such as 0.95" in answer.err

    # The export has the threshold too
    assert cli("export", run, out, "--format", "litert").code == 0
    assert json.loads((out / "cnnzoo.json").read_text())["card"]["min_probability"] == card.min_probability
    Image.fromarray(make_blobs(count=1)[0][0]).save(tmp_path / "a.png")
    for model in (run, out):
        row = json.loads(cli("predict", model, tmp_path / "a.png", "--min-probability", "auto", "--json").out)
        assert row["unsure"] == (row["classes"][0]["probability"] < card.min_probability)

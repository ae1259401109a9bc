"""doctor and show, and the whole way from a folder of photos to predictions."""

import json
import re

import numpy as np
import pytest
from helpers.image_files import broken_files, write_class_folders
from PIL import Image

from cnnzoo.evaluation.calibration import apply_temperature


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path_factory.mktemp("home")))


def test_show_draws_the_same_picture_for_the_same_seed(tmp_path, cli):
    root = write_class_folders(tmp_path / "p", {"a": 12, "b": 12})
    one, two, other = (tmp_path / f"{name}.png" for name in "xyz")
    for out, seed in ((one, 0), (two, 0), (other, 1)):
        done = cli("show", root, "--augment", "rand+mixup", "--image-size", 64, "--out", out, "--seed", seed)
        assert done.code == 0, done.err
    pictures = [np.asarray(Image.open(out)) for out in (one, two, other)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert pictures[2].shape != pictures[0].shape or (pictures[2] != pictures[0]).any()
    assert "Did you mean basic" in cli("show", root, "--augment", "bascic").err
    assert ".png file" in cli("show", root, "--out", "x.jpg").err


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as in a terminal
def test_from_a_folder_to_predictions(tmp_path, cli):
    root, run = write_class_folders(tmp_path / "p", {"a": 20, "b": 20}, suffix="jpg"), tmp_path / "run"
    (root / "a" / "damaged.jpg").write_bytes(broken_files()["cut5.jpg"])
    steps = ("--set", "epochs=1", "--set", "augment=basic", "--run-dir", run)
    done = cli("train", "lenet5", root, *steps)
    assert done.code == 0, done.err
    assert "Warning: p: 1 set aside: 1 unreadable: 'a/damaged.jpg'" in done.err
    assert "41 files, 1 set aside: 1 unreadable." in done.out
    assert json.loads((run / "doctor.json").read_text())["findings"][0]["images"] == ["a/damaged.jpg"]
    assert (run / "doctor.html").exists()
    report = json.loads((run / "report.json").read_text())
    assert "87.5 %" in report["notes"][0]
    card = json.loads((run / "model.card.json").read_text())
    assert card["transform"] == {"crop": 0.875, "interpolation": "bilinear"}
    assert cli("train", "lenet5", root, *steps, "--strict", "--overwrite").code == 2
    assert cli("train", "lenet5", root, *steps, "--resume").code == 0
    assert "cropped from" in cli("train", "lenet5", root, *steps, "--resume", "--cache", "memory").err
    table = (run / "predictions.csv").read_text().splitlines()
    name, *_, p_a, p_b = table[1].split(",")
    exported = tmp_path / "out"
    assert cli("export", run, exported, "--format", "litert").code == 0
    for model in (run, exported):
        answer = cli("predict", model, root / name)
        assert answer.code == 0
        confidence = float(re.search(r": \w+ ([\d.]+) %", answer.out)[1])
        assert confidence == pytest.approx(
            100 * apply_temperature([[float(p_a), float(p_b)]], card["temperature"]).max(), abs=0.06
        )

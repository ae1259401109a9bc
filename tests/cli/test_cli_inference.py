"""evaluate, predict and export."""

import re

import keras
import pytest
from helpers.commands import CLASSES, SPLITS
from helpers.images import make_blobs
from PIL import Image


def test_a_run_is_evaluated_on_any_split(cli, run, npz, tmp_path):
    evaluate = ("evaluate", run.folder, npz, *SPLITS, "--classes", ",".join(CLASSES), "--seed", 3)
    evaluated = cli(*evaluate, "--out", tmp_path / "report")
    assert evaluated.code == 0, evaluated.err
    assert re.search(r"accuracy .*", run.out)[0] in evaluated.out
    written = re.search(r"Written to (.*): (.*)", evaluated.out)
    assert written[1] == str(tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(written[2].split(", "))
    assert (tmp_path / "report" / "report.html").exists()
    assert "12 validation images" in cli(*evaluate, "--split", "validation").out
    assert "holds a run" in cli(*evaluate, "--out", run.folder).err


def test_a_run_without_min_probability_is_refused_before_it_is_loaded(cli, run, tmp_path, monkeypatch):
    Image.fromarray(make_blobs()[0][0]).save(tmp_path / "a.png")
    monkeypatch.setattr("cnnzoo.cli.inference.open_classifier", lambda *_, **__: pytest.fail("the model is loaded"))
    for model in (run.folder, run.folder / "model.keras"):
        answer = cli("predict", model, tmp_path / "a.png", "--min-probability", "auto")
        assert (answer.code, answer.out) == (2, "")
        assert "lenet5 has no min_probability. Give a number" in answer.err


@pytest.mark.slow
def test_a_run_and_its_export_give_the_same_answers(cli, run, exported, npz, tmp_path):
    Image.fromarray(make_blobs()[0][0]).save(tmp_path / "a b.png")
    answers = [cli("predict", model, tmp_path / "a b.png", "--top", 2).out for model in (run.folder, exported)]
    assert answers[0] == answers[1]
    name = f"({'|'.join(CLASSES)})"
    assert re.fullmatch(rf".*a b\.png: {name} [\d.]+ %, {name} [\d.]+ %\n", answers[0])


@pytest.mark.slow
def test_an_export_is_evaluated_on_the_test_split_of_its_run(cli, run, exported, npz):
    answers = [cli("evaluate", model, npz, "--classes", ",".join(CLASSES)) for model in (run.folder, exported)]
    for answer in answers:
        assert answer.code == 0, answer.err
        assert "so the test split of its training is evaluated" in answer.out
        assert "12 test images" in answer.out
    accuracies = [re.search(r"accuracy .*", answer.out)[0] for answer in answers]
    assert accuracies[0] == accuracies[1]
    assert "lenet5 (litert float32) on" in answers[1].out


def test_predictions_for_a_folder_go_into_a_file(cli, tmp_path, mnist):
    (tmp_path / "scans").mkdir()
    for i, image in enumerate(mnist["x_test"][:5]):
        Image.fromarray(image).save(tmp_path / "scans" / f"{i}.png")
    out = tmp_path / "predictions.csv"
    command = ("predict", "lenet5:mnist", tmp_path / "scans", "--out", out, "--runtime", "keras", "--batch-size", 2)
    answer = cli(*command, "--top", 1)
    assert (answer.code, answer.out) == (0, f"5 images; written to {out}\n")
    lines = out.read_text().splitlines()
    assert lines[0] == "path,error,class_1,probability_1"
    assert [line.split(",")[2] for line in lines[1:]] == [str(label) for label in mnist["y_test"][:5]]
    assert "--overwrite" in cli(*command).err
    (tmp_path / "scans" / "damaged.png").write_bytes(b"no image")
    assert cli(*command, "--overwrite").code == 2, "one file cannot be read"


def test_published_weights_are_given_by_name_and_tag(cli, tmp_path, mnist):
    Image.fromarray(mnist["x_test"][0]).save(tmp_path / "seven.png")
    (tmp_path / "damaged.png").write_bytes(b"no image")
    answer = cli("predict", "lenet5:mnist", tmp_path / "damaged.png", tmp_path / "seven.png")
    assert answer.code == 2
    assert re.search(r"seven\.png: 7 \d", answer.out)
    assert "Cannot read" in answer.err
    assert cli("export", "lenet5:mnist", tmp_path / "out", "--format", "litert").code == 0
    assert re.search(r"seven\.png: 7 \d", cli("predict", tmp_path / "out", tmp_path / "seven.png").out)
    assert "Did you mean mnist" in cli("predict", "lenet5:mnits", tmp_path / "seven.png").err


@pytest.mark.slow
def test_an_export_in_int8_reports_its_loss_of_accuracy(cli, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    assert cli("train", "lenet5", "digits", "--set", "epochs=3", "--run-dir", run).code == 0
    arguments = ("export", run, out, "--format", "openvino", "--precision", "int8", "--data", "digits")
    answer = cli(*arguments, "--max-drop", 0.05)
    assert answer.code == 0, answer.err
    now, before = map(
        float, re.search(r"classifies ([\d.]+) % correctly, and the model ([\d.]+) %", answer.out).groups()
    )
    assert before - now <= 5
    assert re.search(r"int8, 32x32 pixels", (out / "model_card.md").read_text())
    assert cli(*arguments).code == 2, "an export is not replaced without --overwrite"


def test_the_transform_and_the_names_of_a_plain_keras_model_are_options(cli, tmp_path):
    inputs = keras.Input((12, 12, 1))
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))).save(tmp_path / "m.keras")
    Image.fromarray(make_blobs()[0][0]).save(tmp_path / "a.png")
    options = ("--classes", "cat,dog", "--crop", "0.8", "--interpolation", "nearest", "--pad", 1)
    answer = cli("predict", tmp_path / "m.keras", tmp_path / "a.png", *options, "--runtime", "keras")
    assert re.search(r"a\.png: (cat|dog) ", answer.out)
    exported = cli("export", tmp_path / "m.keras", tmp_path / "out", "--format", "litert", *options)
    words = "center-cropped to 80 % of each side and resized to 12x12 (nearest), within a black border of 1"
    assert f"Images are {words}\n" in exported.out
    assert words in (tmp_path / "out" / "model_card.md").read_text()
    assert "crop must be" in cli("predict", tmp_path / "m.keras", tmp_path / "a.png", "--crop", 5).err

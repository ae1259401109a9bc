"""Answers below the least probability: in Python, in files and on the command line."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import cnnzoo
from cnnzoo.core.json_files import read_json_value
from cnnzoo.inference.prediction import Prediction
from cnnzoo.inference.rows import prediction_to_row


@pytest.fixture(scope="module")
def confidences(classifier, photos):
    """The probability of each readable image's likeliest class, by its path."""
    with pytest.warns(UserWarning, match="1 of 31 images cannot be read"):
        predictions = classifier.predict(str(photos), top=1)
    return {p.source: p.probabilities[0] for p in predictions if not p.error}


@pytest.fixture(scope="module")
def threshold(confidences):
    """A threshold that about half of the images miss."""
    return float(np.median(list(confidences.values())))


def test_answers_below_the_threshold_are_unsure(classifier, photos, confidences, threshold):
    predictions = list(classifier.stream(str(photos), top=2, min_probability=threshold))
    assert len(predictions) == 31
    for prediction in predictions:
        assert prediction.unsure == (confidences.get(prediction.source, 1) < threshold)
        if prediction.unsure:
            assert str(prediction).startswith(f"unsure: {prediction.label} {100 * prediction.probabilities[0]:.1f} %, ")
    assert 0 < sum(prediction.unsure for prediction in predictions) < 30
    assert not any(prediction.unsure for prediction in classifier.stream(str(photos)))


def test_files_have_a_column_for_unsure_answers(classifier, photos, confidences, threshold, tmp_path):
    expected = {path: value < threshold for path, value in confidences.items()}
    options = {"verbose": False, "min_probability": threshold}
    result = classifier.predict_to(tmp_path / "a.csv", str(photos), 1, **options)
    assert (result.images, result.errors, result.unsure) == (31, 1, sum(expected.values()))
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "error", "unsure", "class_1", "probability_1"]
    words = {True: "true", False: "false", None: ""}
    assert all(row["unsure"] == words[expected.get(row["path"])] for row in rows)
    classifier.predict_to(tmp_path / "a.jsonl", str(photos), 1, **options)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["unsure"] is expected.get(row["path"]) for row in rows)
    result = classifier.predict_to(tmp_path / "b.csv", str(photos), 1, verbose=False)
    assert result.unsure == 0
    assert (tmp_path / "b.csv").read_text().startswith("path,error,class_1,probability_1\n")


def test_a_parquet_data_set_has_the_column_too(classifier, data, threshold, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    result = classifier.predict_to(tmp_path / "a.parquet", data.test.images, 1, verbose=False, min_probability=1.0)
    assert parquet.read_table(tmp_path / "a.parquet")["unsure"].to_pylist() == [True] * len(data.test)
    assert result.unsure == len(data.test)


class PowerCutError(Exception):
    pass


def test_an_interrupted_file_keeps_count_and_threshold(
    classifier, photos, confidences, threshold, tmp_path, monkeypatch
):
    monkeypatch.setattr("cnnzoo.inference.answers.RECORD_INTERVAL", 0.0)
    monkeypatch.setattr("cnnzoo.inference.answers.TEXT_CHUNK_ROWS", 4)
    start, path = classifier._network.start, tmp_path / "a.csv"
    calls = []

    def fail_in_time(images, size):
        calls.append(len(images))
        if len(calls) == 4:
            raise PowerCutError
        return start(images, size)

    monkeypatch.setattr(classifier._network, "start", fail_in_time)
    with pytest.raises(PowerCutError):
        classifier.predict_to(path, str(photos), 1, 4, verbose=False, min_probability=threshold)
    record = next(tmp_path.glob(".*.progress.json"))
    assert 0 < read_json_value(record)["unsure"] < sum(value < threshold for value in confidences.values())
    monkeypatch.undo()
    with pytest.raises(cnnzoo.InputError, match="min_probability: .* then, 0.9 now"):
        classifier.predict_to(path, str(photos), 1, 4, verbose=False, min_probability=0.9)
    result = classifier.predict_to(path, str(photos), 1, 4, verbose=False, min_probability=threshold)
    assert result.unsure == sum(value < threshold for value in confidences.values())


def test_auto_takes_the_threshold_of_the_card(trained, data, threshold):
    card = replace(cnnzoo.card(trained.model), min_probability=threshold)
    classifier = cnnzoo.Classifier.of(cnnzoo.cards.with_card(trained.model, card), runtime="keras")
    given = classifier.predict(data.test.images, min_probability=threshold)
    assert classifier.predict(data.test.images, min_probability="auto") == given
    assert any(prediction.unsure for prediction in given)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (
            {},
            r"has no min_probability\. Give a number .* --target-accuracy 0\.95 of .* target_accuracy=0\.95 of fit_and",
        ),
        ({"min_probability": {"reason": "too few", "target_accuracy": 0.9}}, "none was found for an accuracy of 90 %"),
    ],
)
def test_auto_without_a_threshold_is_an_error(trained, data, calibration, message):
    card = replace(cnnzoo.card(trained.model), min_probability=None, calibration=calibration)
    classifier = cnnzoo.Classifier.of(cnnzoo.cards.with_card(trained.model, card), runtime="keras")
    with pytest.raises(cnnzoo.InputError, match=message):
        classifier.predict(data.test.images, min_probability="auto")


@pytest.mark.parametrize("value", [80, -0.1, "0.8", float("nan"), True, [0.8]])
def test_a_threshold_is_a_number_from_0_to_1(classifier, data, value):
    for method in (classifier.predict, classifier.stream):
        with pytest.raises(cnnzoo.InputError, match="min_probability must be a number from 0 to 1"):
            method(data.test.images, min_probability=value)


def test_the_extremes(classifier, data):
    assert not any(p.unsure for p in classifier.predict(data.test.images, min_probability=0))
    assert all(p.unsure for p in classifier.predict(data.test.images, min_probability=1.0))


def test_a_row_of_an_error_is_neither():
    assert prediction_to_row(Prediction((), (), error="broken"), 1, marks_unsure=True)["unsure"] is None


def test_the_command_marks_and_counts_unsure_answers(cli, trained, photos, confidences, threshold, tmp_path):
    unsure = sum(value < threshold for value in confidences.values())
    answer = cli("predict", trained.folder, photos / "a", photos / "b", "--min-probability", threshold)
    assert answer.out.count(": unsure: ") == unsure
    assert answer.out.endswith(f"{unsure} of 30 images are unsure\n")  # the one that cannot be read is neither
    assert answer.err.endswith("1 of 31 images could not be read\n")
    answer = cli("predict", trained.folder, photos, "--min-probability", threshold, "--out", tmp_path / "a.csv")
    assert f"31 images, 1 of them unreadable, {unsure} unsure; written to" in answer.out
    answer = cli("predict", trained.folder, photos, "--min-probability", threshold, "--json")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert sum(row["unsure"] for row in rows) == unsure
    assert len(rows) == 31


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("80", "must be a number from 0 to 1, such as 0.8. Received: 80"),
        ("high", "is neither a number, as in 0.8, nor auto"),
    ],
)
def test_the_command_refuses_other_thresholds(cli, trained, photos, value, message):
    answer = cli("predict", trained.folder, photos, "--min-probability", value)
    assert answer.code == 2
    assert message in answer.err


def test_the_command_says_how_a_threshold_is_chosen(cli, trained, photos):
    answer = cli("predict", trained.folder, photos, "--min-probability", "auto")
    assert answer.code == 2
    assert "--target-accuracy 0.95" in answer.err

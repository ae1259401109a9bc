"""The report: its files, its page and its table."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.simulated_predictions import simulate_predictions

import cnnzoo
from cnnzoo.cards import Card
from cnnzoo.data.fix_list import read_fix_list
from cnnzoo.evaluation import metrics
from cnnzoo.evaluation.calibration import apply_temperature
from cnnzoo.evaluation.evaluate import calibrate
from cnnzoo.evaluation.report import Report


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    p = rng.dirichlet([1, 1, 1], 40)
    images = rng.integers(0, 256, (40, 8, 8, 3), "uint8")
    names = np.array([f"<img {i}>.png" for i in range(40)])
    history = {key: [0.5, 0.6] for key in ("loss", "accuracy", "val_loss", "val_accuracy")}
    classes = (r"ant & $\frac$", "<b>", "ümläut")
    return Report("net", "set", "test", classes, names, labels, p, images, history, 2)


@pytest.fixture(scope="module")
def calibrated():
    """A report of an overconfident model with a temperature and a least probability of answers."""
    labels, p = simulate_predictions(200, classes=3, factor=2)
    card = calibrate(Card("net", ("a", "b", "c")), *simulate_predictions(500, classes=3, factor=2, seed=1), 0.95)
    names = np.array([f"{'abc'[label]}/{i}.png" for i, label in enumerate(labels)])
    return Report(
        "net",
        "set",
        "test",
        card.classes,
        names,
        labels,
        apply_temperature(p, card.temperature),
        np.zeros((200, 4, 4, 1), "uint8"),
        temperature=card.temperature,
        uncalibrated_probabilities=p,
        min_probability=card.min_probability,
        calibration=card.calibration,
    )


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_metrics_can_be_computed_from_predictions_csv(trained, calibrated, tmp_path):
    calibrated.save(tmp_path)
    for report, folder in ((trained.report, trained.folder), (calibrated, tmp_path)):
        rows, classes = read_csv(folder / "predictions.csv"), report.classes
        labels = [classes.index(row["true"]) for row in rows]
        p = np.array([[float(row[f"p({name})"]) for name in classes] for row in rows])
        written = json.loads((folder / "report.json").read_text())["metrics"]
        computed = metrics.compute_metrics(labels, p, classes)
        assert computed.items() <= written.items(), "all metrics are those of the probabilities in the table"
        assert written.keys() - computed.keys() <= {"calibrated", "uncalibrated", "answers"}
        assert [row["predicted"] for row in rows] == [classes[i] for i in p.argmax(axis=1)]
        assert [float(row["probability"]) for row in rows] == p.max(axis=1).tolist()


def test_both_probabilities_are_in_the_files(calibrated, tmp_path):
    calibrated.save(tmp_path)
    rows, raw = read_csv(tmp_path / "predictions.csv"), calibrated.uncalibrated_probabilities
    assert [float(row["uncalibrated_probability"]) for row in rows] == raw.max(axis=1).tolist()
    is_unsure = calibrated.probabilities.max(axis=1) < calibrated.min_probability
    assert [row["unsure"] == "true" for row in rows] == is_unsure.tolist()
    written = json.loads((tmp_path / "report.json").read_text())
    before, after = written["metrics"]["uncalibrated"], written["metrics"]["calibrated"]
    assert before["log_loss"] == metrics.compute_metrics(calibrated.labels, raw, "abc")["log_loss"]
    assert after["log_loss"] == written["metrics"]["log_loss"] < before["log_loss"]
    assert after["calibration_error"] == written["metrics"]["calibration_error"] < before["calibration_error"]
    assert written["calibration"]["temperature"]["images"] == 500
    assert written["metrics"]["answers"]["unsure"] == is_unsure.sum()


def test_the_calibration_changes_neither_predictions_nor_accuracy(calibrated):
    raw = replace(calibrated, probabilities=calibrated.uncalibrated_probabilities, uncalibrated_probabilities=None)
    np.testing.assert_array_equal(raw.predicted, calibrated.predicted)
    same = ("accuracy", "balanced_accuracy", "macro_f1", "confusion_matrix", "confused", "macro", "weighted")
    for name in same:
        assert raw.metrics[name] == calibrated.metrics[name]


def test_calibration_and_answers_are_printed(calibrated, report):
    text = str(calibrated)
    before, after = (calibrated.metrics[key]["calibration_error"] for key in ("uncalibrated", "calibrated"))
    temperature = f"temperature {calibrated.temperature:.3g}, fitted on 500 validation images"
    errors = f"the calibration error is {100 * before:.1f} % without it, and {100 * after:.1f} % with it."
    assert f"Calibrated with {temperature}: {errors}" in text
    answers = calibrated.metrics["answers"]
    assert f"Unsure below a probability of {answers['min_probability']:.4g} (chosen on 500 validation images" in text
    assert f"{answers['answered']} of 200 images ({100 * answers['coverage']:.1f} %) get an answer; " in text
    assert "alibrated" not in str(report), "nothing is known"
    assert "Unsure" not in str(report)
    reasons = {"temperature": {"reason": "too few"}, "min_probability": {"reason": "none", "target_accuracy": 0.9}}
    unknown = str(replace(report, temperature=1.0, calibration=reasons))
    assert "The probabilities were not calibrated: too few." in unknown
    assert "No min_probability for an accuracy of 90 %: none." in unknown
    preview = replace(calibrated, probabilities=calibrated.uncalibrated_probabilities, uncalibrated_probabilities=None)
    assert "The model has no temperature. One of" in str(preview)


def test_labels_to_check_are_a_fix_list(calibrated, tmp_path):
    calibrated.save(tmp_path)
    file = tmp_path / "labels_to_check.csv"
    rows, suspects = read_csv(file), calibrated.suspects
    assert len(rows) == len(suspects) > 0
    assert [row["path"] for row in rows] == calibrated.names[suspects].tolist()
    assert [row["true"] for row in rows] == ["abc"[i] for i in calibrated.labels[suspects]]
    for row, i in zip(rows, suspects, strict=True):
        assert row["label"] != row["true"]
        assert float(row["probability"]) == pytest.approx(
            calibrated.probabilities[i, "abc".index(row["label"])], abs=1e-6
        )
        assert float(row["label_probability"]) < float(row["probability"])
    fixes = read_fix_list(file)
    assert fixes.count("keep") == len(fixes) == len(rows), "nothing changes until the actions are edited"
    assert {fix.label for fix in fixes.fixes} <= set("abc")
    edited = file.read_text().replace(",keep,", ",exclude,", 1)
    file.write_text(edited)
    with pytest.warns(UserWarning, match=r"labels_to_check\.csv was edited and is left as it is"):
        calibrated.save(tmp_path)
    assert file.read_text() == edited
    file.unlink()
    replace(calibrated, labels=calibrated.predicted).save(tmp_path)
    assert len(read_fix_list(file)) == 0, "a table without rows"


def test_edited_labels_to_check_are_applied(tmp_path):
    """The whole way: images with two wrong labels, their table, and the data without them."""
    write_class_folders(tmp_path / "photos", {"cat": 6, "dog": 6})
    data = cnnzoo.load_data(tmp_path / "photos", image_size=32, split="test")
    p = np.full((12, 2), 0.1)
    truth = data.test.labels.copy()
    truth[[1, 8]] = 1 - truth[[1, 8]]
    p[np.arange(12), truth] = 0.9
    report = Report("net", "set", "test", data.classes, data.test.names, data.test.labels, p, data.test.images)
    report.save(tmp_path / "report")
    file = tmp_path / "report" / "labels_to_check.csv"
    file.write_text(file.read_text().replace(",keep,", ",relabel,"))
    fixed = cnnzoo.load_data(tmp_path / "photos", image_size=32, split="test", fix_list=file)
    np.testing.assert_array_equal(fixed.test.labels[np.argsort(fixed.test.names)], truth[np.argsort(data.test.names)])


def test_the_most_confident_mistakes_come_first(report):
    wrong = report.worst
    assert (report.predicted[wrong] != report.labels[wrong]).all()
    confidence = report.probabilities[wrong].max(axis=1)
    assert (np.diff(confidence) <= 0).all()
    assert len(wrong) == np.sum(report.predicted != report.labels)


def test_a_report_prints_a_table(report):
    text = str(report)
    for word in ("net on set: 40 test images", "accuracy", "95 % interval", "macro F1", "log loss", "mistakes"):
        assert word in text

"""The report: its files, its page, and the evaluation that makes it."""

import base64
import csv
import io
import json
import re

import numpy as np
import pytest
from helpers.images import make_blobs
from PIL import Image

import cnnzoo
from cnnzoo.evaluation import metrics
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


def test_the_metrics_can_be_computed_from_predictions_csv(trained):
    with (trained.folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = trained.report.classes
    labels = [classes.index(row["true"]) for row in rows]
    p = np.array([[float(row[f"p({name})"]) for name in classes] for row in rows])
    written = json.loads((trained.folder / "report.json").read_text())
    assert metrics.compute_metrics(labels, p, classes, temperature=trained.report.temperature) == written["metrics"]
    assert [row["predicted"] for row in rows] == [classes[i] for i in p.argmax(axis=1)]


def test_the_page_is_self_contained_and_escapes_names(report):
    page = report.to_html()
    assert not re.search(r'(src|href)="(?!data:)', page), "the page must not refer to other files"
    assert "<b>ant" not in page
    assert "<td>&lt;b&gt;</td>" in page, "class names must be escaped"
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(pictures) == 5, "curves, confusion matrix, reliability, mistakes, suspect labels"
    for picture in pictures:
        assert min(Image.open(io.BytesIO(base64.b64decode(picture))).size) > 300
    assert f"{100 * report.accuracy:.2f} %" in page


def test_a_report_without_history_and_mistakes_is_shorter():
    p = np.eye(2)[[0, 1, 1]]
    report = Report("net", "set", "test", ("a", "b"), np.arange(3), np.array([0, 1, 1]), p, np.zeros((3, 4, 4, 1)))
    assert len(re.findall("data:image", report.to_html())) == 2, "confusion matrix and reliability"
    assert "no mistakes" in str(report)


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


def test_evaluating_on_another_split_of_the_training_data_warns(trained):
    other = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), seed=1)
    with pytest.warns(UserWarning, match="trained on another split of arrays"):
        cnnzoo.evaluate(trained.model, other)


def test_class_names_of_model_and_data_must_match(data):
    named = {
        order: cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), classes=list(order)) for order in ("abc", "cab")
    }
    model = cnnzoo.get("lenet5", classes=list("abc"))
    assert cnnzoo.evaluate(model, data).classes == ("a", "b", "c"), "numbers are replaced by the names of the model"
    assert cnnzoo.evaluate(cnnzoo.get("lenet5", classes=3), named["cab"]).classes == ("c", "a", "b")
    with pytest.raises(
        cnnzoo.InputError, match=r"The model's classes are a, b, c; the data's are c, a, b\. Pass load_data"
    ):
        cnnzoo.evaluate(model, named["cab"])
    assert cnnzoo.card(model).classes == ("a", "b", "c"), "evaluate must not change the model"
    model.set_weights([w * np.nan for w in model.get_weights()])
    with pytest.raises(cnnzoo.InputError, match="no numbers for 12 of 12 images"):
        cnnzoo.evaluate(model, data)


def test_evaluate_uses_only_the_split_it_is_given(trained, data):
    report = cnnzoo.evaluate(trained.model, data)
    np.testing.assert_array_equal(report.probabilities, trained.report.probabilities)
    assert len(cnnzoo.evaluate(trained.model, data, split="train").labels) == len(data.train)
    with pytest.raises(cnnzoo.InputError, match="Did you mean validation"):
        cnnzoo.evaluate(trained.model, data, split="val")

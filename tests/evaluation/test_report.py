"""The report: its files, its page and its table."""

import csv
import json

import numpy as np
import pytest

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

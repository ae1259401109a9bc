"""Every metric, recomputed by hand from predictions."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import balanced_accuracy_score, f1_score

from cnnzoo.evaluation import metrics


@pytest.fixture(scope="module")
def case():
    draw = np.random.default_rng(0)
    labels = draw.choice(6, 400, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    scores = draw.normal(size=(400, 6))
    scores[np.arange(400), labels] += 1.5
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, p, metrics.compute(labels, p, list("abcdef"))


def test_headlines_by_hand(case):
    labels, p, found = case
    guesses = p.argmax(axis=1)
    assert found["images"] == 400
    assert found["accuracy"] == pytest.approx(np.mean(guesses == labels))
    recalls = [np.mean(guesses[labels == c] == c) for c in range(6)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(p[np.arange(400), labels])))
    fifth = np.sort(p, axis=1)[:, -5]
    assert found["top5_accuracy"] == pytest.approx(np.mean(p[np.arange(400), labels] >= fifth))


def test_classes_by_hand(case):
    labels, p, found = case
    guesses = p.argmax(axis=1)
    f1s = []
    for c, name in enumerate("abcdef"):
        hit = np.sum((guesses == c) & (labels == c))
        precision, recall = hit / np.sum(guesses == c), hit / np.sum(labels == c)
        f1s.append(2 * precision * recall / (precision + recall))
        expected = {"precision": precision, "recall": recall, "f1": f1s[-1], "images": np.sum(labels == c)}
        assert found["per_class"][name] == pytest.approx(expected)
        assert found["confusion_matrix"][c][c] == hit
    assert found["macro_f1"] == found["macro"]["f1"] == pytest.approx(np.mean(f1s))
    assert found["weighted"]["f1"] == pytest.approx(np.average(f1s, weights=np.bincount(labels)))
    assert np.sum(found["confusion_matrix"]) == 400


def test_wilson_interval_by_hand(case):
    found = case[2]
    n, share, z = 400, found["accuracy"], 1.959964
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert found["intervals_95"]["accuracy"] == pytest.approx([centre - half, centre + half], abs=1e-6)


def test_bootstrap_intervals_agree_with_scipys(case):
    labels, p, found = case
    guesses = p.argmax(axis=1)
    scores = {
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda a, b: f1_score(a, b, average="macro"),
    }
    for name, score in scores.items():
        how = {"paired": True, "vectorized": False, "n_resamples": 600, "method": "percentile", "random_state": 0}
        theirs = scipy_bootstrap((labels, guesses), score, **how).confidence_interval
        assert found["intervals_95"][name] == pytest.approx(list(theirs), abs=0.012)


def test_the_same_seed_gives_the_same_intervals(case):
    labels, p, found = case
    assert metrics.compute(labels, p, list("abcdef")) == found
    assert metrics.compute(labels, p, list("abcdef"), seed=1)["intervals_95"] != found["intervals_95"]


def test_a_class_that_is_absent_or_never_predicted():
    p = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.2, 0.1, 0.7]])
    found = metrics.compute([0, 1, 0], p, ["accuracy", "macro avg", "x"])  # names that scikit-learn's report uses
    assert found["per_class"]["macro avg"]["recall"] == 0
    assert found["per_class"]["x"] == {"precision": 0, "recall": 0, "f1": 0, "images": 0}
    assert found["balanced_accuracy"] == pytest.approx(0.25)
    assert "top5_accuracy" not in found
    assert all(np.isfinite(bounds).all() for bounds in found["intervals_95"].values())


def test_a_perfect_score():
    found = metrics.compute([0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), ["a", "b"])
    assert found["accuracy"] == found["macro_f1"] == 1
    assert found["intervals_95"]["accuracy"][0] < 0.5, "three images prove little"

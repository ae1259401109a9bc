"""Every metric, recomputed by hand from predictions."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import balanced_accuracy_score, f1_score

from cnnzoo.evaluation import calibration, metrics


@pytest.fixture(scope="module")
def case():
    draw = np.random.default_rng(0)
    labels = draw.choice(6, 400, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    scores = draw.normal(size=(400, 6))
    scores[np.arange(400), labels] += 1.5
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, p, metrics.compute_metrics(labels, p, list("abcdef"))


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
        mine, others = p[labels == c, c], p[labels != c, c]
        auc = np.mean((mine[:, None] > others) + (mine[:, None] == others) / 2)
        ranked = labels[np.argsort(-p[:, c])] == c
        average = np.sum(ranked * np.cumsum(ranked) / np.arange(1, 401)) / ranked.sum()
        expected = {"precision": precision, "recall": recall, "f1": f1s[-1], "images": np.sum(labels == c)}
        expected |= {"roc_auc": auc, "average_precision": average}
        assert found["per_class"][name] == pytest.approx(expected)
        assert found["confusion_matrix"][c][c] == hit
    assert found["macro_f1"] == found["macro"]["f1"] == pytest.approx(np.mean(f1s))
    for key in ("roc_auc", "average_precision"):
        assert found[key] == pytest.approx(np.mean([scores[key] for scores in found["per_class"].values()]))
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
    assert metrics.compute_metrics(labels, p, list("abcdef")) == found
    assert metrics.compute_metrics(labels, p, list("abcdef"), seed=1)["intervals_95"] != found["intervals_95"]


def test_a_class_that_is_absent_or_never_predicted():
    p = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.2, 0.1, 0.7]])
    found = metrics.compute_metrics(
        [0, 1, 0], p, ["accuracy", "macro avg", "x"]
    )  # names that scikit-learn's report uses
    assert found["per_class"]["macro avg"]["recall"] == 0
    nothing = {"roc_auc": None, "average_precision": None}
    assert found["per_class"]["x"] == {"precision": 0, "recall": 0, "f1": 0, "images": 0} | nothing
    assert found["roc_auc"] == pytest.approx(0.25), "the mean over the classes that have images"
    assert found["balanced_accuracy"] == pytest.approx(0.25)
    assert "top5_accuracy" not in found
    assert all(np.isfinite(bounds).all() for bounds in found["intervals_95"].values())


def test_a_perfect_score():
    found = metrics.compute_metrics([0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), ["a", "b"])
    assert found["accuracy"] == found["macro_f1"] == 1
    assert found["intervals_95"]["accuracy"][0] < 0.5, "three images prove little"


def test_calibration_by_hand(case):
    labels, p, found = case
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    error = 0.0
    for low in np.arange(15) / 15:
        there = (confidence >= low) & (confidence < low + 1 / 15)
        if there.any():
            error += there.mean() * abs(confidence[there].mean() - right[there].mean())
    assert found["calibration_error"] == pytest.approx(error)
    assert sum(found["reliability"]["images"]) == 400


def test_the_temperature_mends_what_was_scaled():
    """Labels are drawn from the probabilities, then the logits are tripled: dividing by three is what is right."""
    draw = np.random.default_rng(0)
    honest = draw.dirichlet([0.5] * 4, 20_000)
    labels = (honest.cumsum(axis=1) > draw.random((20_000, 1))).argmax(axis=1)
    bold = calibration.apply_temperature(honest, 1 / 3)
    found = calibration.fit_temperature(labels, bold)
    assert found == pytest.approx(3, rel=0.03)
    np.testing.assert_allclose(calibration.apply_temperature(bold, 3), honest, atol=1e-6)
    metric = metrics.compute_metrics(labels, bold, list("abcd"), temperature=found)
    assert metric["calibrated"]["calibration_error"] < 0.02 < metric["calibration_error"]
    assert metric["calibrated"]["log_loss"] == pytest.approx(
        -np.mean(np.log(calibration.apply_temperature(bold, found)[np.arange(20_000), labels]))
    )
    assert calibration.fit_temperature(labels, np.eye(4)[labels]) == 1, "who never errs is left alone"


def test_confused_pairs_by_hand(case):
    labels, p, found = case
    guesses = p.argmax(axis=1)
    pairs = {(a, b): np.sum((labels == a) & (guesses == b)) for a in range(6) for b in range(6) if a != b}
    top = found["confused"][0]
    assert top["images"] == max(pairs.values())
    a, b = "abcdef".index(top["true"]), "abcdef".index(top["taken_for"])
    assert pairs[a, b] == top["images"]
    assert top["share"] == pytest.approx(np.mean(guesses[labels == a] == b))
    counts = [pair["images"] for pair in found["confused"]]
    assert counts == sorted(pairs.values(), reverse=True)[: len(counts)]


def test_labels_that_were_changed_are_suspected():
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, 300)
    p = np.full((300, 3), 0.05)
    p[np.arange(300), truth] = 0.9
    labels = truth.copy()
    labels[:7] = (truth[:7] + 1) % 3
    assert sorted(metrics.find_suspect_labels(labels, p)) == list(range(7))
    assert not len(metrics.find_suspect_labels(truth, p))

"""Every metric equals an independent computation from the same predictions."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import balanced_accuracy_score, f1_score

from cnnzoo.evaluation import metrics


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.choice(6, 400, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    scores = rng.normal(size=(400, 6))
    scores[np.arange(400), labels] += 1.5
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, p, metrics.compute_metrics(labels, p, list("abcdef"))


def test_headline_metrics_equal_a_computation_by_hand(predictions):
    labels, p, scores = predictions
    guesses = p.argmax(axis=1)
    assert scores["images"] == 400
    assert scores["accuracy"] == pytest.approx(np.mean(guesses == labels))
    recalls = [np.mean(guesses[labels == c] == c) for c in range(6)]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert scores["log_loss"] == pytest.approx(-np.mean(np.log(p[np.arange(400), labels])))
    fifth = np.sort(p, axis=1)[:, -5]
    assert scores["top5_accuracy"] == pytest.approx(np.mean(p[np.arange(400), labels] >= fifth))


def test_class_metrics_equal_a_computation_by_hand(predictions):
    labels, p, scores = predictions
    guesses = p.argmax(axis=1)
    f1s = []
    for c, name in enumerate("abcdef"):
        hit = np.sum((guesses == c) & (labels == c))
        precision, recall = hit / np.sum(guesses == c), hit / np.sum(labels == c)
        f1s.append(2 * precision * recall / (precision + recall))
        positives, negatives = p[labels == c, c], p[labels != c, c]
        auc = np.mean((positives[:, None] > negatives) + (positives[:, None] == negatives) / 2)
        ranked = labels[np.argsort(-p[:, c])] == c
        average = np.sum(ranked * np.cumsum(ranked) / np.arange(1, 401)) / ranked.sum()
        expected = {"precision": precision, "recall": recall, "f1": f1s[-1], "images": np.sum(labels == c)}
        expected |= {"roc_auc": auc, "average_precision": average}
        assert scores["per_class"][name] == pytest.approx(expected)
        assert scores["confusion_matrix"][c][c] == hit
    assert scores["macro_f1"] == scores["macro"]["f1"] == pytest.approx(np.mean(f1s))
    for key in ("roc_auc", "average_precision"):
        assert scores[key] == pytest.approx(np.mean([row[key] for row in scores["per_class"].values()]))
    assert scores["weighted"]["f1"] == pytest.approx(np.average(f1s, weights=np.bincount(labels)))
    assert np.sum(scores["confusion_matrix"]) == 400


def test_wilson_interval_equals_a_computation_by_hand(predictions):
    scores = predictions[2]
    n, share, z = 400, scores["accuracy"], 1.959964
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert scores["intervals_95"]["accuracy"] == pytest.approx([center - half, center + half], abs=1e-6)


def test_bootstrap_intervals_agree_with_scipy(predictions):
    labels, p, scores = predictions
    guesses = p.argmax(axis=1)
    score_functions = {
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda a, b: f1_score(a, b, average="macro"),
    }
    for name, score in score_functions.items():
        arguments = {"paired": True, "vectorized": False, "n_resamples": 600, "method": "percentile", "random_state": 0}
        interval = scipy_bootstrap((labels, guesses), score, **arguments).confidence_interval
        assert scores["intervals_95"][name] == pytest.approx(list(interval), abs=0.012)


def test_the_same_seed_gives_the_same_intervals(predictions):
    labels, p, scores = predictions
    assert metrics.compute_metrics(labels, p, list("abcdef")) == scores
    assert metrics.compute_metrics(labels, p, list("abcdef"), seed=1)["intervals_95"] != scores["intervals_95"]


def test_a_class_that_is_absent_or_never_predicted():
    p = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.2, 0.1, 0.7]])
    names = ["accuracy", "macro avg", "x"]  # scikit-learn's report uses the first two as names of rows.
    scores = metrics.compute_metrics([0, 1, 0], p, names)
    assert scores["per_class"]["macro avg"]["recall"] == 0
    undefined = {"roc_auc": None, "average_precision": None}
    assert scores["per_class"]["x"] == {"precision": 0, "recall": 0, "f1": 0, "images": 0} | undefined
    assert scores["roc_auc"] == pytest.approx(0.25), "the mean over the classes that have images"
    assert scores["balanced_accuracy"] == pytest.approx(0.25)
    assert scores["macro_f1"] == pytest.approx(0.25), "0.5 and 0; the absent class does not count"
    assert "top5_accuracy" not in scores
    assert all(np.isfinite(bounds).all() for bounds in scores["intervals_95"].values())


def test_a_perfect_score():
    scores = metrics.compute_metrics([0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), ["a", "b"])
    assert scores["accuracy"] == scores["macro_f1"] == 1
    assert scores["intervals_95"]["accuracy"][0] < 0.5, "three images give a wide interval"
    assert "macro_f1" not in scores["intervals_95"], "no resample of them has a mistake"
    same_answer = metrics.compute_metrics([0, 1] * 20, np.array([[0.9, 0.1]] * 40), ["a", "b"])
    assert "balanced_accuracy" not in same_answer["intervals_95"]


def test_calibration_error_equals_a_computation_by_hand(predictions):
    labels, p, scores = predictions
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == labels
    error = 0.0
    for low in np.arange(15) / 15:
        in_bin = (confidence >= low) & (confidence < low + 1 / 15)
        if in_bin.any():
            error += in_bin.mean() * abs(confidence[in_bin].mean() - correct[in_bin].mean())
    assert scores["calibration_error"] == pytest.approx(error)
    assert sum(scores["reliability"]["images"]) == 400


def test_confused_pairs_equal_a_computation_by_hand(predictions):
    labels, p, scores = predictions
    guesses = p.argmax(axis=1)
    pairs = {(a, b): np.sum((labels == a) & (guesses == b)) for a in range(6) for b in range(6) if a != b}
    top = scores["confused"][0]
    assert top["images"] == max(pairs.values())
    a, b = "abcdef".index(top["true"]), "abcdef".index(top["taken_for"])
    assert pairs[a, b] == top["images"]
    assert top["share"] == pytest.approx(np.mean(guesses[labels == a] == b))
    counts = [pair["images"] for pair in scores["confused"]]
    assert counts == sorted(pairs.values(), reverse=True)[: len(counts)]


def test_changed_labels_are_reported_as_suspicious():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    p = np.full((300, 3), 0.05)
    p[np.arange(300), truth] = 0.9
    labels = truth.copy()
    labels[:7] = (truth[:7] + 1) % 3
    assert sorted(metrics.find_suspect_labels(labels, p)) == list(range(7))
    assert not len(metrics.find_suspect_labels(truth, p))


def test_classes_that_do_not_occur_are_left_out_of_the_means():
    """Data for evaluation may lack classes: with and without columns for these, the means are equal."""
    y_true, three = [0, 0, 2, 2], np.array([[0.8, 0.0, 0.2], [0.3, 0.0, 0.7], [0.1, 0.0, 0.9], [0.2, 0.0, 0.8]])
    with_absent = metrics.compute_metrics(y_true, three, ["a", "b", "c"])
    without = metrics.compute_metrics([0, 0, 1, 1], three[:, [0, 2]], ["a", "c"])
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision", "intervals_95", "macro"):
        assert with_absent[name] == without[name], name
    one_class = metrics.compute_metrics([1, 1], [[0.1, 0.9], [0.2, 0.8]], ["a", "b"])
    assert one_class["macro_f1"] == one_class["balanced_accuracy"] == 1
    assert one_class["roc_auc"] is None


def test_intervals_of_a_thousand_classes_need_no_array_of_all_cells():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 1000, 5000)
    guesses = np.where(rng.random(5000) < 0.7, labels, rng.integers(0, 1000, 5000))
    matrix = np.zeros((1000, 1000), int)
    np.add.at(matrix, (labels, guesses), 1)
    tracemalloc.start()
    intervals = metrics.bootstrap_intervals(matrix, seed=0)
    assert tracemalloc.get_traced_memory()[1] < 300e6, "not 2,000 resamples of a million cells"
    tracemalloc.stop()
    assert 0.65 < intervals["balanced_accuracy"][0] < 0.7 < intervals["balanced_accuracy"][1] < 0.75


def test_cells_without_images_change_no_interval():
    matrix = np.array([[8, 2, 0], [0, 9, 3], [1, 0, 7]])
    padded = np.zeros((40, 40), int)
    padded[:3, :3] = matrix
    intervals = metrics.bootstrap_intervals(matrix, 0)
    for name, interval in metrics.bootstrap_intervals(padded, 0).items():
        assert interval == pytest.approx(intervals[name], abs=0.02)

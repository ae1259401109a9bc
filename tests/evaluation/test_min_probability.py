"""The least probability of an answer, chosen on validation images."""

import numpy as np
import pytest
from helpers.simulated_predictions import simulate_predictions
from scipy.stats import binomtest

import cnnzoo
from cnnzoo.evaluation.min_probability import accuracy_bounds, choose_min_probability, measure_answers


def test_the_threshold_is_the_lowest_one_whose_answers_reach_the_accuracy():
    labels, p = simulate_predictions(600, classes=5)
    choice = choose_min_probability(labels, p, 0.9)
    confidence, is_right = p.max(axis=1), p.argmax(axis=1) == labels

    def bound(threshold):
        answers = confidence >= threshold
        interval = binomtest(int(is_right[answers].sum()), int(answers.sum()), alternative="greater")
        return interval.proportion_ci(0.95, "exact").low

    assert choice.answered == (confidence >= choice.min_probability).sum()
    assert choice.correct == is_right[confidence >= choice.min_probability].sum()
    assert choice.accuracy_bound == pytest.approx(bound(choice.min_probability))
    assert choice.accuracy_bound >= 0.9
    assert all(bound(threshold) < 0.9 for threshold in confidence[confidence < choice.min_probability])
    assert choice.min_probability == round(choice.min_probability, 4)
    assert not choice.reason
    assert str(choice).startswith(f"Min_probability {choice.min_probability:g} for an accuracy of 90 %: it answers ")


def test_the_aim_is_met_on_other_images_in_19_of_20_cases():
    """Here in 94 of 100: benchmarks/calibration.py measures it more closely."""
    labels, p = simulate_predictions(100_000, classes=5, factor=1.5, seed=1000)
    order = np.argsort(-p.max(axis=1))
    confidence = p.max(axis=1)[order]
    accuracy = np.cumsum((p.argmax(axis=1) == labels)[order]) / np.arange(1, len(order) + 1)
    misses = chosen = 0
    for seed in range(100):
        choice = choose_min_probability(*simulate_predictions(400, classes=5, factor=1.5, seed=seed), 0.9)
        if choice.min_probability is not None:
            chosen += 1
            misses += accuracy[np.searchsorted(-confidence, -choice.min_probability, "right") - 1] < 0.9
    assert chosen > 80
    assert misses <= 10


def test_a_model_that_is_good_enough_is_never_unsure():
    labels, p = simulate_predictions(500, spread=40)
    choice = choose_min_probability(labels, p, 0.9)
    assert choice.min_probability == 0
    assert choice.answered == 500


@pytest.mark.parametrize(
    ("images", "target", "reason"),
    [
        (24, 0.95, "24 validation images cannot show it. Even if all answers are right, at least 59 are needed"),
        (298, 0.99, "at least 299 are needed"),
        (1, 0.5, "1 validation image cannot show it"),
    ],
)
def test_too_few_images_are_a_reason(images, target, reason):
    choice = choose_min_probability(np.zeros(images, int), np.tile([0.9, 0.1], (images, 1)), target)
    assert choice.min_probability is None
    assert reason in choice.reason


def test_a_bad_model_is_a_reason():
    rng = np.random.default_rng(0)
    choice = choose_min_probability(rng.integers(0, 3, 200), rng.dirichlet([1, 1, 1], 200), 0.9)
    assert choice.min_probability is None
    assert "no threshold surely reaches it on 200 validation images. With the best one, " in choice.reason
    assert str(choice) == f"No min_probability for an accuracy of 90 %: {choice.reason}"


def test_equal_confidences_are_answered_together():
    p = np.tile([0.9, 0.1], (200, 1))
    p[150:] = [0.6, 0.4]
    labels = np.zeros(200, int)
    labels[150:180] = 1
    choice = choose_min_probability(labels, p, 0.95)
    assert (choice.answered, choice.correct, choice.min_probability) == (150, 150, 0.75)


@pytest.mark.parametrize("value", [0, 1, 95, -0.5, "0.9", None, True, float("nan")])
def test_the_target_is_a_share(value):
    with pytest.raises(cnnzoo.InputError, match="target_accuracy must be a share above 0 and below 1, such as 0.95"):
        choose_min_probability([0, 1], [[0.9, 0.1], [0.2, 0.8]], value)


def test_answers_are_measured():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.7, 0.3]])
    answers = measure_answers([0, 0, 1, 0], p, 0.7)
    assert answers["answered"] == 3
    assert answers["unsure"] == 1
    assert answers["coverage"] == 0.75
    assert answers["accuracy"] == pytest.approx(2 / 3)
    assert measure_answers([0, 0, 1, 0], p, 1.0)["accuracy"] is None
    assert accuracy_bounds([0, 59], [3, 59]).tolist() == pytest.approx([0, 0.05 ** (1 / 59)])

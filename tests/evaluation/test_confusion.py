"""Which classes of a confusion matrix are shown together, and the charts of matrices of any size."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cnnzoo.core.matrix_chart import MAX_LARGE_CELLS, matrix_chart
from cnnzoo.evaluation.confusion import find_confused_classes, order_classes


def confused_pairs(count):
    """Return a matrix in which each class of the first half is taken for one of the second half."""
    matrix, half = 20 * np.eye(count, dtype=int), count // 2
    matrix[np.arange(half), np.arange(half) + half] = np.arange(half) + 1
    return matrix


@pytest.mark.parametrize("count", [4, 10, 300])
def test_classes_that_are_taken_for_each_other_are_neighbors(count):
    places = np.argsort(order_classes(confused_pairs(count)))
    assert (np.abs(places[: count // 2] - places[count // 2 :]) == 1).all()


def test_classes_without_mistakes_keep_their_order():
    assert order_classes(np.diag([3, 0, 5])).tolist() == [0, 1, 2]
    assert order_classes([[3, 1], [0, 3]]).tolist() == [0, 1]


def test_the_classes_of_the_most_frequent_mistakes_are_found_with_their_partners():
    found = find_confused_classes(confused_pairs(100), 12)
    assert sorted(found) == [*range(44, 50), *range(94, 100)]
    assert {tuple(sorted(pair)) for pair in found.reshape(-1, 2).tolist()} == {(i, i + 50) for i in range(44, 50)}
    assert len(find_confused_classes(np.eye(100, dtype=int), 12)) == 0
    assert len(find_confused_classes(confused_pairs(100), 13)) == 12, "no class without its partner"


def test_a_part_of_a_matrix_tells_what_else_its_classes_are_taken_for():
    chart = matrix_chart(np.array([[8, 2], [1, 4]]), ["cat", "dog"], np.array([10, 0]))
    texts = [element.text for element in ET.fromstring(str(chart)).iter("text")]
    assert "other classes" in texts
    assert texts.count("cat") == 2
    assert "40 %" in texts, "8 of 20"
    assert "50 %" in texts, "10 of 20"


def test_a_large_matrix_is_bounded_and_its_most_frequent_mistakes_have_names():
    matrix = np.ones((400, 400), int)
    matrix[7, 9] = 50
    chart = matrix_chart(matrix, [f"<{i}>" + "W" * 500 for i in range(400)])
    root = ET.fromstring(str(chart))
    cells = sum(path.get("d").count("M") for path in root.iter("path"))
    assert MAX_LARGE_CELLS - 400 <= cells <= MAX_LARGE_CELLS + 400
    titles = [title.text for title in root.iter("title")]
    assert len(titles) == 200
    assert titles[0].startswith("<7>")
    assert "taken for <9>" in titles[0]
    assert "50 of 449" in titles[0]
    assert len(chart) < 700_000

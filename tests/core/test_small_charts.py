"""Rows of intervals and curves as small as a word: values have their places, and names are escaped."""

import xml.etree.ElementTree as ET

import pytest

from cnnzoo.core.small_charts import interval_chart, sparkline

HOSTILE = "<script>\"&'\x1b\u202e\n" + "W" * 5000


def parse(chart):
    root = ET.fromstring(str(chart))
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


def test_intervals_lie_around_their_values_and_differ_without_color_too():
    rows = [("worse", -0.2, -0.3, -0.1), (HOSTILE, 0.05, -0.1, 0.2), ("better", 0.4, 0.3, 0.5)]
    root = parse(interval_chart(rows, "Gains", "points", reference=0))
    points = list(root.iter("circle"))
    places = [float(point.get("cx")) for point in points]
    assert places == sorted(places)
    assert places[2] - places[1] == pytest.approx((0.4 - 0.05) / 0.6 * (places[2] - places[0]), abs=0.5)
    assert [point.get("stroke") for point in points] == ["var(--orange)", "var(--gray)", "var(--blue)"]
    assert [point.get("fill") for point in points] == ["var(--orange)", "var(--ground)", "var(--blue)"]
    assert all(0 <= float(text.get("x")) <= 360 for text in root.iter("text"))


def test_intervals_without_reference_or_without_values_are_drawn():
    assert "orange" not in interval_chart([("a", 0.5, 0.4, 0.6)], "Accuracy", "accuracy")
    assert len(list(parse(interval_chart([("a", float("nan"), 0, 1)], "A", "a")).iter("circle"))) == 0
    parse(interval_chart([], "A", "a", reference=0))
    parse(interval_chart([("a", 1, 1, 1)], "A", "a"))


def test_a_sparkline_leaves_out_what_is_not_finite_and_marks_the_end():
    root = parse(sparkline([0.0, float("nan"), 1.0, 0.5], HOSTILE))
    (line,) = root.iter("polyline")
    assert line.get("points") == "4.0,20.0 62.7,4.0 92.0,12.0"
    (end,) = root.iter("circle")
    assert (end.get("cx"), end.get("cy")) == ("92.0", "12.0")
    for values in ([], [float("inf")], [3.0], [3.0, 3.0]):
        assert "nan" not in sparkline(values, "a")
    (line,) = parse(sparkline([0.5], "accuracy", (0, 1))).iter("polyline")
    assert line.get("points") == "4.0,12.0"

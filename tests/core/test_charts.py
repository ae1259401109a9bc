"""Charts as SVG: every value has its place, every name is escaped, and text on colors keeps its contrast."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.contrast import COLORS, contrast

from cnnzoo.core.charts import Plot, bar_chart, log_ticks, nice_ticks
from cnnzoo.core.matrix_chart import MATRIX_OPACITY, matrix_chart

HOSTILE = "<script>\"&'\x1b\u202e\n" + "W" * 5000


def parse(chart):
    root = ET.fromstring(str(chart))
    width, height = (float(root.get(key)) for key in ("width", "height"))
    for text in root.iter("text"):
        if text.get("x"):
            assert 0 <= float(text.get("x")) <= width
            assert 0 <= float(text.get("y", 0)) <= height
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


def texts(chart):
    return [element.text for element in parse(chart).iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.98, [0.2, 0.4, 0.6, 0.8]),
        (1, 20, [5, 10, 15, 20]),
        (3, 3, [3]),
        (-2e-9, 2e-9, [-2e-9, -1e-9, 0, 1e-9, 2e-9]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    assert nice_ticks(low, high) == ticks


def test_logarithmic_ticks_are_powers_of_ten():
    assert log_ticks(1e-6, 1) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]
    assert log_ticks(0.02, 0.05) == [0.02, 0.05]


def test_a_plot_has_a_title_axis_names_and_a_legend():
    plot = Plot("Loss", "epoch", "loss of the batch", (1, 3), (0, 2), whole_x=True)
    plot.add_line([1, 2, 3], [1.5, float("nan"), 0.5], "blue", "training")
    plot.add_points([2], [1], "orange", "points", intervals=[(0.5, 1.5)])
    plot.add_vertical(2, "kept: epoch 2")
    shown = texts(plot.to_svg())
    assert {"Loss", "epoch", "loss of the batch", "training", "points", "kept: epoch 2", "1", "2", "3"} <= set(shown)
    (line, _) = parse(plot.to_svg()).iter("polyline")
    assert len(line.get("points").split()) == 2, "a loss that is not finite is left out"


def test_one_epoch_is_drawn_as_a_point():
    plot = Plot("Loss", "epoch", "loss", (1, 1), (0, 2), whole_x=True)
    plot.add_line([1], [1], "blue", "training")
    assert "translate(" in plot.to_svg()
    assert "nan" not in plot.to_svg()


def test_bars_are_as_long_as_their_values():
    chart = bar_chart({"a": 1.0, HOSTILE: 4.0, "zero": 0.0}, "Images", "images")
    widths = [float(bar.get("width")) for bar in parse(chart).iter("rect")]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.5)
    assert widths[2] == 0
    assert bar_chart({}, "Images", "images")


def test_a_matrix_has_counts_and_shares_of_the_rows():
    shown = texts(matrix_chart(np.array([[8, 2], [0, 40]]), ["cat", "dog"]))
    assert shown.count("cat") == shown.count("dog") == 2
    for text in ("8", "80 %", "2", "20 %", "40", "100 %", "true class", "predicted class"):
        assert text in shown
    assert "0" not in shown, "empty cells stay empty"


@pytest.mark.parametrize("count", [1, 12, 13, 26, 51, 1000])
def test_matrices_of_all_sizes_are_small_files(count):
    matrix = np.random.default_rng(0).poisson(0.02, (count, count)) + np.diag(np.full(count, 50))
    chart = matrix_chart(matrix, [HOSTILE] * count)
    parse(chart)
    assert len(chart) < 1_000_000
    assert "<script" not in chart


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("color", ["blue", "orange"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_text_on_the_cells_of_a_matrix_keeps_its_contrast(theme, color, share):
    ink, ground, over = (COLORS[name][theme] for name in ("ink", "ground", color))
    assert contrast(ink, ground, MATRIX_OPACITY * np.cbrt(share), over) >= 4.5

"""The pictures in files of their own have a title and names of the axes, in letters that a phone shows large enough."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnnzoo.core.gallery import Gallery, draw_gallery
from cnnzoo.core.tiles import Tile
from cnnzoo.training.range_figure import plot_range_test

PHONE = 360  # pixels, the width of a picture on a phone
SMALLEST = 8.5  # pixels, of a letter's height there


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved."""
    saved = []
    save = Figure.savefig

    def record(figure, *arguments, **options):
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return saved


def check_letters(png, points):
    assert points / 72 * 144 * PHONE / Image.open(io.BytesIO(png)).width >= SMALLEST


def test_a_range_test_has_a_title_and_names_of_the_axes(figures):
    png = plot_range_test([1e-4, 1e-2, 1], [2.3, 1.9, 4.0], 1e-3)
    (axes,) = figures[0].axes
    assert axes.get_title() == "Learning rate range test"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "training loss, smoothed")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["suggested: 0.001", "lowest loss: 1.9"]
    check_letters(png, axes.xaxis.label.get_size())


@pytest.mark.parametrize("shares", [(), (("cat", 0.8), ("dog", 0.2))], ids=["captions", "bars"])
def test_images_have_a_title_and_captions(figures, shares):
    tiles = [Tile(np.zeros((8, 8, 3)), ("cat",), shares)] * 6
    png = draw_gallery(Gallery("6 images of pets, train", tuple(tiles)))
    assert figures[0].get_suptitle() == "6 images of pets, train"
    captions = [axes.title for axes in figures[0].axes if axes.get_title()]
    assert [caption.get_text() for caption in captions] == ["cat"] * 6
    check_letters(png, captions[0].get_size())

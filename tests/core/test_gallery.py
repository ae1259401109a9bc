"""Galleries and summaries for notebooks: small, escaped, without effect on the notebook, and saved as pictures."""

import io

import numpy as np
import pytest
from helpers.notebooks import HOSTILE, check_summary
from markupsafe import Markup
from PIL import Image

import cnnzoo
from cnnzoo.core.gallery import Gallery, draw_gallery
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.tiles import Tile, fit_thumbnails


def noise(count, side=300, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), "uint8")


def test_thumbnails_shrink_to_fit_and_the_last_are_left_out():
    tiles = [Tile(pixels, ("a",)) for pixels in noise(16)]
    wide, narrow = fit_thumbnails(tiles, 200_000), fit_thumbnails(tiles, 60_000)
    assert len(wide) == len(narrow) == 16
    assert sum(map(len, narrow)) <= 60_000 < sum(map(len, wide)) <= 200_000
    assert 0 < len(fit_thumbnails(tiles * 6, 60_000)) < 96
    assert fit_thumbnails([Tile(None, ("a",))]) == [""]


def test_a_summary_is_small_and_escaped_whatever_it_shows():
    html = render_notebook(
        HOSTILE,
        headline=HOSTILE,
        lines=[HOSTILE] * 50,
        facts={HOSTILE: HOSTILE * 100, "none": None},
        charts=[(Markup("<svg aria-label='x'>{}</svg>").format("x" * 50_000), HOSTILE)] * 3,
        tables=[NotebookTable(HOSTILE, [HOSTILE] * 4, [[HOSTILE * 20] * 4] * 500)],
        tiles=[Tile(pixels, (HOSTILE * 20,), ((HOSTILE * 20, 0.5),) * 5) for pixels in noise(40)],
        notes=[HOSTILE * 100] * 50,
    )
    page = check_summary(html)
    assert "<script>" in page.text
    assert "480 more" in page.text
    assert "more images are not shown" in page.text
    assert len(page.all("svg")) == 1
    assert "none" not in [attributes.get("class") for attributes in page.all("dt")]


def test_a_gallery_is_shown_and_saved(tmp_path):
    tiles = (
        Tile(noise(1)[0], ("cat", "$x^2$ " + HOSTILE), (("cat", 0.9), (HOSTILE, 0.1))),
        Tile(noise(1, 8, 1)[0], ("猫",)),
        Tile(None, ("gone",), problem="No such file"),
    )
    gallery = Gallery("three images", tiles)
    page = check_summary(gallery._repr_html_())
    assert [image["class"] for image in page.all("img")] == ["thumbnail", "thumbnail pixelated"]
    assert "No such file" in page.text
    assert "90.0 %" in page.text
    assert (repr(gallery), len(gallery)) == (
        '<three images: in a notebook they are shown, and save("images.png") writes them>',
        3,
    )
    gallery.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == draw_gallery(gallery)
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 200
    with pytest.raises(cnnzoo.InputError, match=r"must be a \.png file"):
        gallery.save(tmp_path / "a.jpg")


def test_a_gallery_without_images_can_be_drawn():
    gallery = Gallery("nothing", ())
    check_summary(gallery._repr_html_())
    with Image.open(io.BytesIO(draw_gallery(gallery))) as picture:
        assert picture.format == "PNG"

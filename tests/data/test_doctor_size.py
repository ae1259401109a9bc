"""A page of the doctor has at most 5 MB, whatever the images are, how many classes and however long their names."""

import base64
import io

import numpy as np
import pytest
from helpers.pages import Page
from PIL import Image

from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.findings import FINDING_KINDS, Finding
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.thumbnails import make_thumbnail, shrink_thumbnails

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e\n"


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """An image file that no format compresses."""
    path = tmp_path_factory.mktemp("noise") / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (360, 360, 3), "uint8")).save(path)
    return path


def side_of(thumbnail):
    with Image.open(io.BytesIO(base64.b64decode(thumbnail.uri.partition(",")[2]))) as picture:
        return max(picture.size)


def test_thumbnails_shrink_together_until_they_fit(noise):
    thumbnail = make_thumbnail(noise)
    size = len(thumbnail.uri)
    assert shrink_thumbnails([thumbnail] * 3, [1, 1, 1], 3 * size) == [thumbnail] * 3
    smaller = shrink_thumbnails([thumbnail] * 3, [1, 1, 1], 3 * size - 1)
    assert [side_of(one) for one in smaller] == [240] * 3
    assert side_of(shrink_thumbnails([thumbnail], [5], size)[0]) <= 160, "a picture that is shown five times"
    missing = make_thumbnail(b"no image")
    assert shrink_thumbnails([missing], [1], 0) == [missing]


@pytest.mark.slow
def test_a_page_is_bounded_and_escaped(noise):
    names = [f"{HOSTILE}{i}{'W' * 300}" for i in range(1200)]
    labels = [f"{HOSTILE}{i}{'W' * 100}" for i in range(1200)]
    listed = {name: ListedImage(noise, name, label) for name, label in zip(names, labels, strict=True)}
    findings = tuple(
        Finding(kind, tuple(names[4 * i : 4 * i + 4]), HOSTILE * 100, False)
        for kind in FINDING_KINDS
        for i in range(20)
    )
    sizes = dict.fromkeys(names, (360, 360))
    diagnosis = Diagnosis(HOSTILE, 1200, dict.fromkeys(labels, 1), findings, listed, sizes)
    html = diagnosis.to_html()
    assert len(html.encode("utf-8")) <= 5_000_000
    page = Page(html)
    page.check()
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\\x1b[2J\\u202e\\n" in page.text
    assert "The 1,000 of 1,200 classes with the fewest images" in page.text

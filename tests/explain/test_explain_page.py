"""The page of explanations, and the command that writes it."""

import re

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.pages import Page
from PIL import Image

import cnnzoo
from cnnzoo.cli.explain import METHOD_NAMES
from cnnzoo.explain.methods import METHODS
from cnnzoo.explain.page import render_explanations

ODD_NAME = "<b>x & 'y'\n\x1b[31m\u202e"


@pytest.fixture(scope="module")
def digits():
    return cnnzoo.load_data("digits").test.images


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return cnnzoo.save(cnnzoo.get("lenet5", weights="digits"), tmp_path_factory.mktemp("model") / "digits.keras")


@pytest.fixture
def photos(tmp_path, digits):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(digits[i, ..., 0].astype("uint8")).resize((40, 40)).save(folder / f"{i}.png")
    return folder


def test_the_command_knows_all_methods():
    assert tuple(METHODS) == METHOD_NAMES


def test_a_page_shows_each_photo_beside_its_map(model_file, photos, tmp_path):
    out = tmp_path / "why.html"
    answer = run_command("explain", model_file, photos, "--out", out)
    assert answer.code == 0, answer.err
    assert "Written to" in answer.out
    assert "gradcam at c3" in answer.out
    assert answer.out.count(".png: ") == 3
    page = Page(out.read_text())
    page.check()
    assert len(page.all("img")) == 6
    text = out.read_text()
    assert "Grad-CAM" in text
    assert "probability" in text
    assert 'href="photos/0.png"' in text


def test_a_contrast_names_both_classes(model_file, photos, tmp_path):
    out = tmp_path / "why.html"
    answer = run_command("explain", model_file, photos / "0.png", "--target", "4", "--target", "9", "--out", out)
    assert answer.code == 0, answer.err
    assert re.search(r"4 rather than 9: of the two, 4 has ([\d.]+) % and 9 [\d.]+ %", answer.out)
    assert "4 rather than 9" in out.read_text()


def test_names_are_escaped(digits, tmp_path):
    model = cnnzoo.get("lenet5", weights="digits")
    names = [f"{i}{ODD_NAME}" for i in range(10)]
    classifier = cnnzoo.Classifier.of(model, "keras", classes=names)
    path = tmp_path / f"{ODD_NAME.replace('/', '')}.png"
    Image.fromarray(digits[0, ..., 0].astype("uint8")).save(path)
    explanations = cnnzoo.explain(classifier, [path], target=(names[0], names[1]))
    html = render_explanations(explanations, tmp_path)
    Page(html).check()
    for dangerous in ("<b>x", "\x1b", "\u202e"):
        assert dangerous not in html.replace("<b>0", "")


def test_no_page_replaces_an_earlier_one_if_no_image_can_be_read(model_file, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    out = tmp_path / "why.html"
    out.write_text("earlier")
    answer = run_command("explain", model_file, tmp_path / "bad.png", "--out", out)
    assert (answer.code, answer.out) == (2, "")
    assert "bad.png" in answer.err
    assert out.read_text() == "earlier"


@pytest.mark.parametrize("command", ["explain", "predict"])
def test_arrays_are_for_python(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=np.zeros((2, 4, 4)), y=[0, 1])
    for source in ("digits", "own.npz"):
        answer = run_command(command, "lenet5:digits", source)
        assert (answer.code, answer.out) == (2, "")
        assert f"it names arrays, and this command takes image files. In Python, pass cnnzoo.load_data('{source}')" in (
            answer.err
        )


def test_files_that_cannot_be_read_are_named_and_the_others_shown(model_file, photos, tmp_path):
    (photos / "bad.png").write_text("no image")
    out = tmp_path / "why.html"
    answer = run_command("explain", model_file, photos, "--out", out)
    assert answer.code == 2
    assert "bad.png" in answer.err
    page = Page(out.read_text())
    page.check()
    assert len(page.all("img")) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "11"], "target must be a class of lenet5"),
        (["--target", "four"], "Unknown class"),
        (["--target", "1", "--target", "2", "--target", "3"], "once, or twice for a contrast"),
        (["--method", "grad"], "Unknown method. Did you mean gradcam"),
        (["--layer", "c5"], "'c5' of lenet5 has no feature maps"),
        (["--layer", "c33"], "Unknown layer. Did you mean c3"),
        (["--out", "page.png"], "--out must be a .html file"),
    ],
)
def test_errors_write_no_page(model_file, photos, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    if "--layer" not in words:  # the layers are known once the model is open, the rest before
        monkeypatch.setattr("cnnzoo.cli.explain.open_classifier", None)
    answer = run_command("explain", model_file, photos, *words)
    assert answer.code == 2
    assert message in answer.err
    assert not list(tmp_path.glob("*.html"))


def test_a_map_without_evidence_is_stated_on_the_page(digits):
    model = cnnzoo.get("lenet5", weights="digits")
    (explanation,) = cnnzoo.explain(model, digits[:1])
    object.__setattr__(explanation, "raw", -np.abs(explanation.raw))
    assert "no evidence" in render_explanations([explanation])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet50:imagenet", "--target", "gold fish"], "Unknown class. Did you mean goldfish"),
        (["lenet5:digits", "--target", "ten", "--classes", ",".join("abcdefghij")], "Unknown class. Allowed: a, b, c"),
    ],
)
def test_the_classes_of_published_weights_are_known_before_they_are_loaded(photos, monkeypatch, words, message):
    monkeypatch.setattr("cnnzoo.cli.explain.open_classifier", None)
    answer = run_command("explain", words[0], photos, *words[1:])
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err

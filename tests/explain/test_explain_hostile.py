"""Explanations under what users do: photos that change or go, rectangular strides, networks without gradients."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.paths import ROOT
from keras import layers
from PIL import Image

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.explain.filters import write_filters
from cnnzoo.explain.page import render_explanations, write_page


@pytest.fixture(scope="module")
def lenet():
    return cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"), "keras")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_strides_of_each_axis_place_the_map():
    """One kernel of 2x8 pixels, so that the cells of the map are 2 pixels high and 8 wide."""
    inputs = keras.Input((64, 64, 1))
    x = layers.Conv2D(1, (2, 8), strides=(2, 8), use_bias=False, kernel_initializer="ones", activation="relu")(inputs)
    outputs = layers.Dense(2, use_bias=False, kernel_initializer="ones")(layers.Flatten()(x))
    images = np.zeros((1, 64, 64, 1), "uint8")
    images[0, 40:44, 48:56] = 255
    (explanation,) = cnnzoo.explain(keras.Model(inputs, outputs), images, method="hirescam")
    center = [np.average(np.arange(64) + 0.5, weights=explanation.map.sum(axis=1 - axis)) for axis in (0, 1)]
    assert center == pytest.approx([42, 52], abs=0.5)


STOPPED = """
import keras, numpy as np, cnnzoo
from keras import layers

class Stop(layers.Layer):
    def call(self, x):
        return keras.ops.stop_gradient(x)

for end in ([], [layers.Dense(3)]):
    model = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3, name="c")])
    for layer in (layers.GlobalAveragePooling2D(), layers.Dense(3), Stop(), *end):
        model.add(layer)
    for method in ("gradcam", "integrated_gradients"):
        (explanation,) = cnnzoo.explain(model, np.full((1, 12, 12, 3), 9, "uint8"), method=method)
        assert not explanation.evidence and not explanation.map.any() and not explanation.raw.any()
print(keras.backend.backend(), "has no evidence")
"""


def test_a_network_without_gradients_has_no_evidence():
    exec(STOPPED, {})  # the same program on torch below


@pytest.mark.slow
def test_a_network_without_gradients_has_no_evidence_on_torch(monkeypatch):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=300)
    assert "torch has no evidence" in done.stdout, done.stderr


def test_a_layer_keeps_its_softmax_while_it_is_explained():
    """In a server, another thread predicts with the same layer."""
    seen = []

    class Watched(layers.Dense):
        def call(self, inputs):
            seen.append((self.activation.__name__, model.layers[-1].activation.__name__))
            return super().call(inputs)

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="c"), layers.Flatten()])
    model.add(Watched(2, activation="softmax"))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), "uint8")
    seen.clear()
    for method in ("gradcam", "integrated_gradients"):
        for explanation in cnnzoo.explain(model, images, method=method):
            assert explanation.raw.any()
    assert set(seen) == {("linear", "softmax")}


# ---- Photos that change


def test_a_photo_that_is_gone_costs_no_other_its_picture(lenet, photo, tmp_path):
    shutil.copy(photo, tmp_path / "kept.png")
    explanations = cnnzoo.explain(lenet, [str(photo), str(tmp_path / "kept.png")], verbose=False)
    photo.unlink()
    page = render_explanations(explanations)
    assert "there is no such file" in page
    assert page.count("<img") == 2
    assert "Cannot read" in explanations[0]._repr_html_()
    assert "Cannot read" in explanations._repr_html_()
    assert explanations[0].map.shape == (20, 30)


def test_a_photo_that_was_replaced_is_not_overlaid(lenet, photo):
    (explanation,) = cnnzoo.explain(lenet, str(photo))
    Image.new("RGB", (30, 10)).save(photo)
    with pytest.raises(InputError, match=r"photo\.png was replaced since it was explained: it has 10x30 pixels inst"):
        explanation.overlay()
    assert "was replaced" in render_explanations([explanation])


@pytest.mark.parametrize("kind", ["same", "link", "other spelling"])
def test_the_photo_itself_is_never_overwritten(lenet, photo, tmp_path, kind):
    (explanation,) = cnnzoo.explain(lenet, str(photo))
    content = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    path = {"same": photo, "link": tmp_path / "link.png", "other spelling": f"{tmp_path}/./photo.png"}[kind]
    with pytest.raises(InputError, match="is the photo itself, which would be lost; give another path"):
        explanation.save(path)
    assert photo.read_bytes() == content
    explanation.save(tmp_path / "other.png")
    with Image.open(tmp_path / "other.png") as picture:
        assert picture.size == (30, 20)


def test_maps_of_pages_are_not_kept_in_memory(lenet, photo):
    """The map of a photo of a phone has 50 MB; a page has 100 photos."""
    (explanation,) = cnnzoo.explain(lenet, str(photo))
    first, html = render_explanations([explanation]), explanation._repr_html_()
    assert "map" not in vars(explanation)
    assert explanation.map is explanation.map
    assert (render_explanations([explanation]), explanation._repr_html_()) == (first, html)


# ---- Wrong input


def test_a_page_needs_an_explanation(tmp_path):
    with pytest.raises(InputError, match="needs at least one explanation"):
        write_page([], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_feature_maps_are_those_of_one_image(lenet, photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        shutil.copy(photo, folder / f"{i}.png")
    with pytest.raises(InputError, match="shown of one image; .*photos' holds several. Name one file"):
        write_filters(lenet, str(folder), tmp_path / "page.html")
    Path(folder, "1.png").unlink()
    write_filters(lenet, str(folder), tmp_path / "page.html")
    assert "0.png" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("target", ["0000000012", "12345678901234", "9" * 5000])
def test_a_number_of_many_digits_is_not_cut(lenet, photo, target):
    with pytest.raises(InputError, match=r"Unknown class\. .* Received: '" + target[:9]):
        cnnzoo.explain(lenet, str(photo), target=target)

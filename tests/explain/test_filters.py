"""Pages of first kernels and of the strongest feature maps."""

import io

import keras
import numpy as np
import pytest
from helpers.commands import run_command
from helpers.pages import Page
from helpers.small_models import shrink_resnet
from PIL import Image

import cnnzoo
from cnnzoo.explain.filters import COLUMNS, GAP, KERNEL_SIDE, draw_kernels, find_strongest_maps, read_first_kernels
from cnnzoo.explain.photos import iter_photos


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    return cnnzoo.Classifier.of(cnnzoo.get(shrink_resnet("resnet18"), image_size=96, classes=3), "keras")


def test_kernels_are_drawn_around_gray():
    kernels = np.zeros((2, 2, 3, COLUMNS + 1))
    kernels[0, 0, 0, 0] = -0.5
    kernels[1, 1, 2, COLUMNS] = 2
    picture = np.asarray(Image.open(io.BytesIO(draw_kernels(kernels))))
    assert picture.shape == (2 * KERNEL_SIDE + GAP, COLUMNS * (KERNEL_SIDE + GAP) - GAP, 4)
    assert picture[0, 0].tolist() == [0, 128, 128, 255]
    assert picture[-1, KERNEL_SIDE - 1].tolist() == [128, 128, 255, 255]
    assert picture[-1, -1, 3] == 0, "places without a kernel are transparent, for pages in dark colors"
    few = np.asarray(Image.open(io.BytesIO(draw_kernels(kernels[..., :3]))))
    assert few.shape[:2] == (KERNEL_SIDE, 3 * (KERNEL_SIDE + GAP) - GAP)


def test_kernels_of_networks_that_take_bgr_are_drawn_in_rgb():
    row = shrink_resnet("resnet18")
    models = [cnnzoo.get(row, image_size=32, classes=3, preprocessing=name) for name in ("caffe", "torch")]
    kernels = [read_first_kernels(cnnzoo.Classifier.of(model, "keras"))[1] for model in models]
    weights = [model.get_layer("conv1").get_weights()[0] for model in models]
    np.testing.assert_array_equal(kernels[0], weights[0][:, :, ::-1])
    np.testing.assert_array_equal(kernels[1], weights[1])


@pytest.mark.parametrize("preprocessing", ["bvlc", "caffe"])
def test_the_layers_that_prepare_pixels_are_no_stage(preprocessing):
    model = cnnzoo.get(shrink_resnet("resnet18"), image_size=64, classes=3, preprocessing=preprocessing)
    classifier = cnnzoo.Classifier.of(model, "keras")
    (photo,) = iter_photos(np.zeros((64, 64, 3), "uint8"), classifier.transform)
    assert find_strongest_maps(classifier, photo)[0].layer == "bn1_relu"


def test_the_strongest_maps_are_those_of_the_network(classifier):
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), "uint8")
    (photo,) = iter_photos(image, classifier.transform)
    stages = find_strongest_maps(classifier, photo)
    assert [stage.layer for stage in stages] == [
        "bn1_relu",
        "layer1_0_relu",
        "layer2_0_relu",
        "layer3_0_relu",
        "layer4_0_relu",
    ]
    for stage in stages:
        layer = classifier.model.get_layer(stage.layer)
        maps = keras.Model(classifier.model.input, layer.output).predict(photo.pixels[None], verbose=0)[0]
        means = maps.mean(axis=(0, 1))
        assert sorted(means[list(stage.channels)], reverse=True) == pytest.approx(means[list(stage.channels)])
        assert means[stage.channels[0]] == pytest.approx(means.max())
        np.testing.assert_allclose(stage.maps, maps[..., list(stage.channels)], atol=1e-5)


def test_the_command_writes_a_page(tmp_path):
    digit = cnnzoo.load_data("digits").test.images[0, ..., 0].astype("uint8")
    Image.fromarray(digit).save(tmp_path / "<i>4.png")
    answer = run_command("filters", "lenet5:digits", tmp_path / "<i>4.png", "--out", tmp_path / "a.html")
    assert answer.code == 0, answer.err
    html = (tmp_path / "a.html").read_text()
    page = Page(html)
    page.check()
    assert "6 kernels of 5x5" in page.text
    assert "random weights" not in page.text
    assert "<i>4" not in html
    assert {"c1", "s2", "c3", "s4"} <= set(page.text.replace(":", "").split())

    answer = run_command("filters", "lenet5", "--out", tmp_path / "b.html")
    assert answer.code == 0, answer.err
    assert "random weights" in Page((tmp_path / "b.html").read_text()).text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lenet5:digit"], "Did you mean digits"),
        (["lenet5:digits", "none.png"], "none.png"),
        (["lenet5:digits", "--out", "a.png"], "--out must be a .html file"),
        (["lenet6"], "Did you mean lenet5"),
    ],
)
def test_errors_write_no_page(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    answer = run_command("filters", *words)
    assert answer.code == 2
    assert message in answer.err
    assert not list(tmp_path.iterdir())


def test_a_model_without_convolutions_has_no_kernels():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(cnnzoo.InputError, match="no convolution of its 1 channels"):
        read_first_kernels(cnnzoo.Classifier.of(model, "keras"))

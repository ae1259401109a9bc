"""The code in a model card prepares photos as `cnnzoo predict` does, and gives the same probabilities."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.odd_photos import odd_photos

import cnnzoo
from cnnzoo import cards
from cnnzoo.export.model_card import SNIPPET_TOLERANCE
from cnnzoo.export.snippets import write_reading_code
from cnnzoo.runtimes.choose import FORMATS

pytestmark = pytest.mark.usefixtures("saved_models_once")
TRANSFORMS = {
    "gray": cnnzoo.Transform((32, 32), 1, crop=0.875),
    "color": cnnzoo.Transform((32, 32), 3, crop=0.875),
    "whole": cnnzoo.Transform((32, 32), 3, crop=None, interpolation="bicubic"),
    "border": cnnzoo.Transform((36, 36), 1, crop=None, pad=2),
    "border-crop": cnnzoo.Transform((36, 36), 3, crop=0.9, pad=2, interpolation="lanczos3"),
    "oblong": cnnzoo.Transform((24, 40), 3, crop=0.8, interpolation="nearest"),
    "levels": cnnzoo.Transform((32, 32), 1, crop=1.0, levels=(1000, 40000)),
    "full": cnnzoo.Transform((224, 224), 3, crop=0.875),
}


@pytest.fixture(scope="module")
def photos():
    return odd_photos()


def run_reading_code(transform, **options):
    scope = {"np": np}
    exec(write_reading_code(transform, **options), scope)
    return scope["pixels"]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_code_gives_the_pixels_of_the_transform(name, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    transform = TRANSFORMS[name]
    border = slice(transform.pad, -transform.pad or None)
    for kind, content in photos.items():
        (tmp_path / "photo.jpg").write_bytes(content)
        expected = transform(content)
        np.testing.assert_array_equal(run_reading_code(transform)[0], expected, err_msg=kind)
        inner = run_reading_code(transform, pad=False)[0]
        np.testing.assert_array_equal(inner, expected[border, border], err_msg=kind)


def test_the_code_loads_an_array_where_no_photo_has_the_channels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 4), "uint8")
    np.save("image.npy", image)
    np.testing.assert_array_equal(run_reading_code(cnnzoo.Transform((32, 32), 4)), image[None])


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), [(name, p) for name, row in FORMATS.items() for p in row.precisions])
def test_the_snippet_gives_the_probabilities_of_predict(
    format, precision, export_once, load_once, original, photos, tmp_path, monkeypatch
):
    folder = tmp_path / export_once(format, precision).path.name
    shutil.copytree(export_once(format, precision).path, folder)
    # In another precision than the model's, the export itself is the reference, and test_formats compares the two.
    classifier = original if precision == "float32" else load_once(format, precision)
    monkeypatch.chdir(tmp_path)
    check_snippet(folder, classifier, photos)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx", "openvino"])  # the graph of a SavedModel reads photos itself
def test_the_snippet_of_a_color_model(format, color_model, photos, tmp_path, monkeypatch):
    cnnzoo.export(color_model, tmp_path / "out", format)
    monkeypatch.chdir(tmp_path)
    check_snippet(tmp_path / "out", cnnzoo.Classifier.of(color_model, "keras"), photos)
    if format == "openvino":
        check_shapes_in_turn(tmp_path / "out" / "model.xml", cnnzoo.Classifier.of(color_model, "keras"))


@pytest.mark.slow
def test_a_saved_model_of_other_channels_takes_arrays(tmp_path, monkeypatch):
    """No image file has four channels, so that its signatures take pixels, of any size."""
    keras.utils.set_random_seed(0)
    model = cnnzoo.get("lenet5", classes=["a", "b", "c"], input_shape=(36, 36, 4))
    cards.attach_card(model, replace(cards.card(model), pad=2))
    cnnzoo.export(model, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    classifier = cnnzoo.Classifier.of(model, "keras")
    code = re.findall(r"^```python\n(.*?)^```", Path("out/model_card.md").read_text(), re.M | re.S)[-1]
    assert "curl" not in Path("out/model_card.md").read_text()
    rng, differences = np.random.default_rng(0), []
    for size in ((32, 32), (50, 41), (36, 36)):
        image = rng.integers(0, 256, (*size, 4), "uint8")
        np.save("image.npy", image)
        scope = {"print": lambda *_: None}
        exec(code, scope)
        scores = scope["answer"]["scores"].numpy()
        differences.append(np.abs(scores - classifier.probabilities(image[None])).max())
        differences.append(np.abs(scores - cnnzoo.load("out").probabilities(image[None])).max())
    assert max(differences) <= SNIPPET_TOLERANCE


@pytest.fixture(scope="module")
def color_model():
    """A model of photos whose probabilities differ widely, as those of a trained one do."""
    keras.utils.set_random_seed(0)
    model = cnnzoo.get("lenet5", classes=["a", "b", "c"], input_shape=(32, 32, 3))
    return cards.attach_card(model, replace(cards.card(model), temperature=0.3))


def check_snippet(folder, classifier, photos):
    """Run the code of the card, as it is printed, with some of the photos as photo.jpg.

    What it reads from every photo is checked above, but for SavedModels, whose graph reads the photos.
    """
    text = (folder / "model_card.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[-1]
    assert f"{SNIPPET_TOLERANCE:g}" in text
    differences, labels = {}, []
    every = 1 if "saved_model.load" in code else 4  # another graph is compiled for each photo
    for kind, content in list(photos.items())[::every]:
        Path("photo.jpg").write_bytes(content)
        scope = {"print": lambda label, probability: labels.append((label, float(probability)))}
        exec(code, scope)
        scores = scope["answer"]["scores"].numpy()[0] if "answer" in scope else scope["scores"]
        prediction = classifier.predict("photo.jpg", top=len(classifier.classes))[0]
        by_class = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        expected = np.array([by_class[name] for name in classifier.classes])
        differences[kind] = np.abs(scores - expected).max()
        assert labels[-1] == (classifier.classes[scores.argmax()], pytest.approx(scores.max()))
    assert max(differences.values()) <= SNIPPET_TOLERANCE, differences
    assert np.ptp([probability for _, probability in labels]) > 0.05, "the photos get nearly equal answers"


def check_shapes_in_turn(file, classifier):
    """Give one graph images of its own size and of others, in batches of changing size."""
    import openvino

    graph = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rng = np.random.default_rng(0)
    for shape in ((1, 32, 32), (2, 32, 32), (1, 32, 32), (5, 32, 32), (2, 40, 50), (1, 32, 32)):
        images = rng.integers(0, 256, (*shape, 3), "uint8")
        tolerance = 1e-5 if shape[1:] == (32, 32) else 2e-2  # it rounds in another way than Pillow where it resizes
        np.testing.assert_allclose(graph(images)[0], classifier.probabilities(images), atol=tolerance)

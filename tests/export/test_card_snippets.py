"""The code in a model card prepares photos as `cnnzoo predict` does, and gives the same probabilities."""

import re
import shutil

import numpy as np
import pytest
from helpers.odd_photos import odd_photos

import cnnzoo
from cnnzoo.export.model_card import SNIPPET_TOLERANCE
from cnnzoo.export.snippets import write_reading_code
from cnnzoo.runtimes.choose import FORMATS

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
    format, precision, export_once, trained, photos, tmp_path, monkeypatch
):
    """The code of the card, as it is printed, with each of 24 photos as photo.jpg."""
    folder = tmp_path / export_once(format, precision).path.name
    shutil.copytree(export_once(format, precision).path, folder)
    text = (folder / "model_card.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[-1]
    assert f"{SNIPPET_TOLERANCE:g}" in text
    # In another precision than the model's, the export itself is the reference, and test_formats compares the two.
    is_exact = precision == "float32"
    classifier = cnnzoo.load(trained.folder, crop=export_once.crop) if is_exact else cnnzoo.load(folder)
    _open_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    differences, labels = {}, []
    for kind, content in photos.items():
        (tmp_path / "photo.jpg").write_bytes(content)
        scope = {"print": lambda label, probability: labels.append((label, float(probability)))}
        exec(code, scope)
        scores = scope["answer"]["scores"].numpy()[0] if format == "saved_model" else scope["scores"]
        prediction = classifier.predict(tmp_path / "photo.jpg", top=len(classifier.classes))[0]
        by_class = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        expected = np.array([by_class[name] for name in classifier.classes])
        differences[kind] = np.abs(scores - expected).max()
        assert labels[-1] == (classifier.classes[scores.argmax()], pytest.approx(scores.max()))
    assert max(differences.values()) <= SNIPPET_TOLERANCE, differences
    assert len({label for label, _ in labels}) > 1, "the photos do not tell the classes apart"


def _open_once(monkeypatch):
    """Let the code open each model once, not once for each photo."""
    import openvino
    import tensorflow as tf

    for module, name in ((tf.saved_model, "load"), (openvino, "compile_model")):
        original, models = getattr(module, name), {}

        def open_model(path, *options, original=original, models=models):
            if path not in models:
                models[path] = original(path, *options)
            return models[path]

        monkeypatch.setattr(module, name, open_model)

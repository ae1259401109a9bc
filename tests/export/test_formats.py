"""Every export format gives the answers of its model, in its own runtime, and as its model card says."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.processes import run_code
from PIL import Image

from cnnzoo.export.check import TOLERANCES, sample_photos
from cnnzoo.runtimes.choose import FORMATS

pytestmark = pytest.mark.usefixtures("saved_models_once")
FORMATS_AND_PRECISIONS = [(name, precision) for name, row in FORMATS.items() for precision in row.precisions]

# The only module, of those that an export might use, that each may import
OWN_MODULE = {
    "saved_model": "tensorflow",
    "litert": "ai_edge_litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
RUN_ALONE = """
import sys
for name in {"cnnzoo", "keras", "tensorflow", "onnxruntime", "openvino", "ai_edge_litert", "sklearn"} - {sys.argv[1]}:
    sys.modules[name] = None  # any import of these fails
exec(sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), FORMATS_AND_PRECISIONS)
def test_an_export_answers_as_its_model(format, precision, export_once, load_once, original, data):
    exported, classifier = export_once(format, precision), load_once(format, precision)
    tolerance = TOLERANCES.get(precision, 0.15)
    assert exported.difference <= tolerance
    predicted = original.probabilities(data.validation.images).argmax(axis=1)
    assert exported.before == pytest.approx((predicted == data.validation.labels).mean())
    assert exported.accuracy >= exported.before - 0.1
    assert classifier.card == original.card
    assert classifier.precision == precision
    for images in (data.test.images, np.random.default_rng(0).integers(0, 256, (3, 50, 20, 1), "uint8")):
        np.testing.assert_allclose(classifier.probabilities(images), original.probabilities(images), atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_the_model_card_describes_the_export(format, export_once):
    text = (export_once(format).path / "model_card.md").read_text()
    assert f"{format}, float32, 32x32 pixels" in text
    assert "95 % interval" in text
    assert re.search(r"^\| data \| arrays: 36 train, 12 validation, 12 test images \|$", text, re.M)
    assert not re.search(r"[{}]'|None|\[\]", text.split("## How to use it")[0]), (
        "Python values were printed as they are"
    )


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_the_snippets_of_the_model_card_run(format, export_once, original, data, tmp_path, monkeypatch, capsys):
    """The snippet without cnnzoo runs in a process where only the runtime of the format can be imported."""
    folder = tmp_path / export_once(format).path.name
    shutil.copytree(export_once(format).path, folder)
    Image.fromarray(data.test.images[0, ..., 0]).save(tmp_path / "photo.jpg", "PNG")
    expected = original.predict(tmp_path / "photo.jpg")[0]
    snippets = re.findall(r"^```python\n(.*?)^```", (folder / "model_card.md").read_text(), re.M | re.S)
    with_cnnzoo, without_cnnzoo = snippets

    monkeypatch.chdir(tmp_path)
    exec(with_cnnzoo, {})
    assert capsys.readouterr().out.startswith(f"{expected.label} ")

    if format == "saved_model":  # a fork has TensorFlow already, whose import takes long
        output = run_code(RUN_ALONE, OWN_MODULE[format], without_cnnzoo, cwd=tmp_path)
    else:
        command = [sys.executable, "-c", RUN_ALONE, OWN_MODULE[format], without_cnnzoo]
        answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        output = answer.stdout
    assert re.search(r"\b\d\b", output)[0] == expected.label
    probability = float(re.search(r"\d\.\d+(e-\d+)?", output)[0])
    assert probability == pytest.approx(expected.probabilities[0], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "saved_model"])
def test_graphs_resize_pixels_of_any_size(format, export_once, original):
    photos = sample_photos(replace(original.transform, size=(90, 70), pad=0))
    path = export_once(format).path
    if format == "onnx":
        import onnxruntime

        (scores,) = onnxruntime.InferenceSession(path / "model.onnx").run(None, {"images": photos})
    elif format == "openvino":
        import openvino

        scores = openvino.compile_model(path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(photos)[0]
    else:
        import tensorflow as tf

        answer = tf.saved_model.load(str(path)).signatures["pixels"](images=tf.constant(photos))
        scores = answer["scores"].numpy()
        best = answer["probabilities"].numpy()
        np.testing.assert_array_equal(best, -np.sort(-scores, axis=1)[:, : best.shape[1]])
        names = np.array(original.classes)[np.argsort(-scores, axis=1, kind="stable")]
        np.testing.assert_array_equal(answer["class_names"].numpy().astype(str), names[:, : best.shape[1]])
    np.testing.assert_allclose(scores, original.probabilities(photos), atol=1e-3)


def encode_png(image):
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def to_json_value(value):
    """A value as the REST interface of TensorFlow Serving returns it."""
    if isinstance(value, np.ndarray):
        return [to_json_value(item) for item in value]
    return value.decode() if isinstance(value, bytes) else float(value)


@pytest.mark.slow
def test_a_saved_model_answers_requests_of_tensorflow_serving(export_once, original, data):
    """The REST protocol, as documented, around the signature: instances of {"b64": ...} to rows of predictions."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(export_once("saved_model").path)).signatures["serving_default"]

    def serve(request):
        contents = [base64.b64decode(instance["b64"]) for instance in json.loads(request)["instances"]]
        ((name, spec),) = signature.structured_input_signature[1].items()
        assert (spec.dtype, spec.shape.rank) == (tf.string, 1), "with one input, an instance may be its value alone"
        columns = {key: value.numpy() for key, value in signature(**{name: tf.constant(contents)}).items()}
        rows = [{key: to_json_value(column[i]) for key, column in columns.items()} for i in range(len(contents))]
        return json.dumps({"predictions": rows})

    for rows in signature(**{next(iter(signature.structured_input_signature[1])): tf.constant([], tf.string)}).values():
        assert len(rows) == 0  # "any number of files" includes none

    contents = [encode_png(image) for image in data.test.images[:3]]
    instances = [{"b64": base64.b64encode(content).decode()} for content in [*contents, b"no image"]]
    *answers, broken = json.loads(serve(json.dumps({"instances": instances})))["predictions"]
    expected = original.predict(contents)
    for answer, prediction in zip(answers, expected, strict=True):
        assert answer["errors"] == ""
        assert tuple(answer["class_names"]) == prediction.classes
        assert answer["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
    assert "not a JPEG" in broken["errors"]
    assert broken["class_names"] == ["", "", ""]
    assert not any(broken["scores"])

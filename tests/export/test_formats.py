"""Every format answers as its model does, in its own runtime, alone; and what cannot be exported is told."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from PIL import Image

import cnnzoo
from cnnzoo.export import check, export
from cnnzoo.runtimes import choose

ALL = [(name, precision) for name, row in export.FORMATS.items() for precision in row.precisions]
IDS = [f"{name}-{precision}" for name, precision in ALL]

# What each export needs, where none of the others can be imported
ALONE = {
    "saved_model": "tensorflow",
    "litert": "ai_edge_litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
STRANGER = """
import sys
for name in {"cnnzoo", "keras", "tensorflow", "onnxruntime", "openvino", "ai_edge_litert", "sklearn"} - {sys.argv[1]}:
    sys.modules[name] = None  # any import of these fails
import numpy as np
images = np.load(sys.argv[3])
path = sys.argv[2]
if sys.argv[1] == "tensorflow":
    import tensorflow as tf
    scores = tf.saved_model.load(path).signatures["network"](images=tf.constant(images))["scores"].numpy()
elif sys.argv[1] == "onnxruntime":
    import onnxruntime
    scores = onnxruntime.InferenceSession(f"{path}/model.onnx").run(None, {"images": images})[0]
elif sys.argv[1] == "openvino":
    import openvino
    scores = openvino.compile_model(f"{path}/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(images)[0]
else:
    from ai_edge_litert.interpreter import Interpreter
    model = Interpreter(f"{path}/model.tflite")
    image, output = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    model.resize_tensor_input(image, images.shape)
    model.allocate_tensors()
    model.set_tensor(image, images)
    model.invoke()
    scores = model.get_tensor(output)
np.save(sys.argv[4], scores)
"""


@pytest.fixture(scope="module")
def exported(trained, data, tmp_path_factory):
    """A function from a format and a precision to the folder of an export of the trained run, made once."""
    folder, exports = tmp_path_factory.mktemp("exports"), {}

    def make(name, precision="float32"):
        if (name, precision) not in exports:
            path = folder / f"{name}-{precision}"
            exports[name, precision] = cnnzoo.export(
                trained.folder, path, name, precision=precision, data=data, max_drop=0.1
            )
        return exports[name, precision]

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), ALL, ids=IDS)
def test_an_export_gives_the_probabilities_of_its_model(name, precision, exported, trained, data):
    done = exported(name, precision)
    tolerance = check.TOLERANCES.get(precision, 0.15)
    assert done.difference <= tolerance
    assert done.before == pytest.approx(trained.report.history["val_accuracy"][trained.report.best_epoch - 1])
    assert done.accuracy >= done.before - 0.1
    loaded, original = cnnzoo.load(done.path), cnnzoo.load(trained.folder, "keras")
    assert loaded.card == original.card
    assert loaded.precision == precision
    for images in (data.test.images, np.random.default_rng(0).integers(0, 256, (3, 50, 20, 1), "uint8")):
        np.testing.assert_allclose(loaded.probabilities(images), original.probabilities(images), atol=tolerance)
    guide = (done.path / "model_card.md").read_text()
    assert f"{name}, {precision}" in guide
    assert "95 % interval" in guide
    assert re.search(r"^\| data \| arrays: 36 train, 12 validation, 12 test images \|$", guide, re.M)
    assert not re.search(r"[{}]'|None|\[\]", guide.split("## How to use it")[0]), (
        "nothing that a person would not write"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", export.FORMATS)
def test_the_snippets_of_the_model_card_run(name, exported, trained, data, tmp_path):
    """Its Python, as printed, beside a picture."""
    folder = tmp_path / exported(name).path.name
    shutil.copytree(exported(name).path, folder)
    Image.fromarray(data.test.images[0, ..., 0]).save(tmp_path / "photo.jpg", "PNG")
    label = cnnzoo.load(trained.folder, "keras").predict(tmp_path / "photo.jpg")[0].label
    snippets = re.findall(r"^```python\n(.*?)^```", (folder / "model_card.md").read_text(), re.M | re.S)
    assert len(snippets) == 2
    for snippet in snippets:
        answer = subprocess.run(
            [sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert re.search(r"\b\d\b", answer.stdout)[0] == label


@pytest.mark.slow
@pytest.mark.parametrize("name", export.FORMATS)
def test_an_export_runs_with_its_own_runtime_alone(name, exported, trained, data, tmp_path):
    images = data.test.images
    sized = cnnzoo.load(trained.folder, "keras").transform.transform_arrays(images)
    np.save(tmp_path / "images.npy", sized)
    command = [sys.executable, "-c", STRANGER, ALONE[name], exported(name).path, tmp_path / "images.npy"]
    subprocess.run([*command, tmp_path / "scores.npy"], check=True, capture_output=True)
    expected = cnnzoo.load(trained.folder, "keras").probabilities(images)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_pixels_of_any_size_are_resized_inside(name, exported, trained):
    photo = check.sample_photos(replace(cnnzoo.load(trained.folder, "keras").transform, size=(90, 70), pad=0))
    original = cnnzoo.load(trained.folder, "keras")
    path = exported(name).path
    if name == "onnx":
        import onnxruntime

        (probabilities,) = onnxruntime.InferenceSession(path / "model.onnx").run(None, {"images": photo})
    else:
        import openvino

        probabilities = openvino.compile_model(path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(photo)[0]
    np.testing.assert_allclose(probabilities, original.probabilities(photo), atol=1e-3)


@pytest.mark.slow
def test_tensorflow_serving_gets_its_answers(exported, trained, data, tmp_path):
    """The REST protocol, as documented, around the signature: instances of {"b64": ...} to rows of predictions."""
    import base64
    import io

    import tensorflow as tf

    def served(request):
        instances = json.loads(request)["instances"]
        contents = [base64.b64decode(instance["b64"]) for instance in instances]
        signature = tf.saved_model.load(str(exported("saved_model").path)).signatures["serving_default"]
        ((name, spec),) = signature.structured_input_signature[1].items()
        assert (spec.dtype, spec.shape.rank) == (tf.string, 1), "one input, so that an instance may be its value alone"
        columns = {key: value.numpy() for key, value in signature(**{name: tf.constant(contents)}).items()}
        text = lambda v: v.decode() if isinstance(v, bytes) else v.astype(object).tolist()  # noqa: E731
        texts = lambda v: [t.decode() for t in v] if v.dtype == object else v.tolist()  # noqa: E731
        rows = [
            {key: texts(column[i]) if column.ndim > 1 else text(column[i]) for key, column in columns.items()}
            for i in range(len(contents))
        ]
        return json.dumps({"predictions": rows})

    contents = []
    for image in data.test.images[:3]:
        out = io.BytesIO()
        Image.fromarray(image[..., 0]).save(out, "PNG")
        contents.append(out.getvalue())
    asked = [*contents, b"no image"]
    request = json.dumps({"instances": [{"b64": base64.b64encode(content).decode()} for content in asked]})
    answers = json.loads(served(request))["predictions"]
    expected = cnnzoo.load(trained.folder, "keras").predict(contents)
    for answer, prediction in zip(answers, expected, strict=False):
        assert answer["errors"] == ""
        assert tuple(answer["class_names"]) == prediction.classes
        assert answer["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
    assert "no JPEG" in answers[3]["errors"]
    assert answers[3]["class_names"] == ["", "", ""]
    assert not any(answers[3]["scores"])


def test_images_that_are_not_levels_run_on_keras_only(data):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    model = cnnzoo.get("resnet20", preprocessing="none")
    assert len(cnnzoo.Classifier.of(model, "keras").probabilities(images)) == 2
    with pytest.raises(cnnzoo.InputError, match="levels of 0 to 255. Received: -.*runtime='keras'"):
        cnnzoo.Classifier.of(model, "openvino").probabilities(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "photos/"}, "data is what cnnzoo.load_data gives. Received: 'photos/'"),
        ({"max_drop": float("nan")}, "max_drop is a share of accuracy"),
        ({"format": ["onnx"]}, "Unknown format"),
    ],
)
def test_wrong_types_are_refused_at_once(trained, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.export(trained.model, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "savedmodel"}, "Did you mean saved_model"),
        ({"format": "onnx", "precision": "float16"}, "Unknown precision of onnx.*Allowed: float32, int8"),
        ({"format": "onnx", "precision": "int8"}, "int8 needs data"),
    ],
)
def test_impossible_requests_are_refused_at_once(trained, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.export(trained.model, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_data_may_have_some_of_the_models_classes():
    classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="mnist"), "keras")
    images, labels = make_blobs(classes=2)
    for names, compatible in ((("7", "3"), True), (("cat", "3"), False)):
        data = cnnzoo.load_data((images, np.array(names)[labels]), splits=(0.6, 0.2, 0.2))
        if compatible:
            assert set(check.sample_inputs(classifier, data).validation.labels) == {3, 7}
        else:
            with pytest.raises(cnnzoo.InputError, match="classes that the model has not: cat. The model's are 0, 1"):
                check.sample_inputs(classifier, data)


@pytest.mark.slow
def test_int8_that_loses_too_much_accuracy_is_refused(trained, data, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_measure_accuracy", lambda classifier, split: 0.9 if classifier.model else 0.85)
    with pytest.raises(cnnzoo.InputError, match=r"falls from 90\.00 to 85\.00 %, by more than max_drop=0\.01"):
        cnnzoo.export(trained.model, tmp_path / "out", "openvino", precision="int8", data=data)
    assert not list(tmp_path.iterdir())


def test_runtimes_are_chosen_and_named(trained, exported, monkeypatch):
    of = dict.fromkeys(choose.RUNTIME_MODULES)
    assert choose.choose_runtime("auto", None, of).name == "openvino"
    assert choose.choose_runtime("auto", "bfloat16", of).name == "openvino"
    monkeypatch.setattr(choose, "is_installed", lambda name: name == "keras")
    assert choose.choose_runtime("auto", None, of).name == "keras"
    with pytest.raises(ImportError, match=r"onnxruntime is not installed: pip install 'cnnzoo\[export\]'"):
        choose.choose_runtime("onnxruntime", None, of)
    with pytest.raises(cnnzoo.InputError, match="Unknown runtime. Did you mean openvino"):
        choose.choose_runtime("openvin", None, of)
    with pytest.raises(cnnzoo.InputError, match="bfloat16 is for OpenVINO"):
        choose.choose_runtime("keras", "bfloat16", of)
    with pytest.raises(cnnzoo.InputError, match="This is float32, not int8"):
        choose.choose_runtime("keras", "int8", of)
    with pytest.raises(cnnzoo.InputError, match="This is run by keras. Received: runtime='onnxruntime'"):
        choose.choose_runtime("onnxruntime", None, {"keras": None})


class Doubling(keras.layers.Layer):
    """A layer that nobody has registered."""

    def call(self, x):
        return 2 * x


def test_a_layer_that_is_not_registered_is_named(tmp_path):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(Doubling(name="twice")(inputs)))
    with pytest.raises(cnnzoo.InputError, match="twice.*Doubling.*register_keras_serializable"):
        cnnzoo.export(keras.Model(inputs, outputs), tmp_path / "out")


TELLTALE = """
import socket, sys
asked = []
def nobody(*arguments, **options):
    asked.append(arguments)
    raise OSError("no network")
socket.getaddrinfo = socket.socket.connect = nobody
import cnnzoo, os
data = cnnzoo.load_data("digits")
model = cnnzoo.get("lenet5", weights="digits")
cnnzoo.export(model, sys.argv[1], "openvino", precision="int8", data=data, max_drop=1)
import time; time.sleep(1)
assert not asked, asked
assert not {"NNCF_CI"} & os.environ.keys()
"""


@pytest.mark.slow
def test_runtimes_send_no_telemetry(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "NNCF_CI")}
    command = [sys.executable, "-c", TELLTALE, str(tmp_path / "out")]
    answer = subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_keras_runs_models_that_no_other_runtime_can(data):
    inputs = keras.Input((12, 12, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(Doubling(name="twice")(inputs)))
    model = keras.Model(inputs, outputs)
    classifier = cnnzoo.Classifier.of(model)
    with pytest.warns(UserWarning, match=r"openvino cannot run .*twice.*; Keras does"):
        probabilities = classifier.probabilities(data.test.images)
    assert classifier.runtime == "keras"
    np.testing.assert_allclose(probabilities, keras.ops.softmax(model.predict(data.test.images, verbose=0)), atol=1e-6)
    with pytest.raises(cnnzoo.InputError, match="openvino cannot run"):
        cnnzoo.Classifier.of(model, "openvino").predict(data.test.images)


@pytest.mark.parametrize("runtime", ["openvino", "litert"])
def test_threads_may_share_a_classifier(runtime, trained, data):
    classifier = cnnzoo.load(trained.folder, runtime)
    expected = [prediction.classes for prediction in classifier.predict(data.test.images)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: classifier.predict(data.test.images[i : i + 1])[0], range(12)))
    assert [answer.classes for answer in answers] == expected[:12]


ON_JAX = """
import sys
import numpy as np
import cnnzoo
classifier = cnnzoo.load(sys.argv[1])
np.save(sys.argv[3], classifier.probabilities(np.load(sys.argv[2])))
assert (classifier.runtime, "tensorflow" in sys.modules) == ("keras", False)
try:
    cnnzoo.export(sys.argv[1], "out", "onnx")
except cnnzoo.InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_other_backends_of_keras_predict(trained, data, tmp_path):
    pytest.importorskip("jax")
    np.save(tmp_path / "images.npy", data.test.images)
    command = [sys.executable, "-c", ON_JAX, trained.folder, tmp_path / "images.npy", tmp_path / "scores.npy"]
    env = os.environ | {"KERAS_BACKEND": "jax"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert "on Keras' TensorFlow backend. Received: KERAS_BACKEND=jax" in answer.stdout
    expected = cnnzoo.load(trained.folder, "keras").probabilities(data.test.images)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-5)


def test_an_incomplete_export_is_refused(exported, tmp_path):
    shutil.copytree(exported("onnx").path, tmp_path / "a")
    (tmp_path / "a" / "model.onnx").write_bytes(b"torn")
    with pytest.raises(cnnzoo.InputError, match="Cannot run the export"):
        cnnzoo.load(tmp_path / "a").predict(np.zeros((1, 12, 12, 1), "uint8"))
    (tmp_path / "a" / "cnnzoo.json").write_text("{")
    with pytest.raises(cnnzoo.InputError, match="Cannot read"):
        cnnzoo.load(tmp_path / "a")

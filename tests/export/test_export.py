"""A SavedModel that answers as the model does, where cnnzoo is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.export import check

STRANGER = """
import sys, json
for name in ("cnnzoo", "keras", "sklearn"):
    sys.modules[name] = None  # any import of these fails
import numpy as np, tensorflow as tf
export, images = tf.saved_model.load(sys.argv[1]), np.load(sys.argv[2])
answer = export.signatures["pixels"](images=tf.constant(images))
names = [[name.decode() for name in row] for row in answer["class_names"].numpy()]
print(json.dumps({"names": names, "p": answer["probabilities"].numpy().tolist()}))
"""


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "out"
    done = cnnzoo.export(trained.model, path)
    assert done.difference <= check.TOLERANCES["float32"]
    return path


@pytest.mark.slow
def test_a_saved_model_runs_with_tensorflow_alone(exported, trained, data, tmp_path):
    images = data.test.images  # as they came: 12x12, the export resizes
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", STRANGER, exported, tmp_path / "images.npy"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    p = trained.report.probabilities
    np.testing.assert_allclose(answer["p"], -np.sort(-p, axis=1), atol=1e-5)
    assert [row[0] for row in answer["names"]] == [trained.report.classes[i] for i in p.argmax(axis=1)]


def test_an_export_loads_as_the_same_classifier(exported, trained, data):
    classifier, original = cnnzoo.load(exported), cnnzoo.load(trained.folder)
    assert classifier.card == original.card
    for images in (data.test.images, np.random.default_rng(0).uniform(0, 255, (3, 50, 20, 1))):
        np.testing.assert_allclose(
            classifier.probabilities(np.rint(images)), original.probabilities(np.rint(images)), atol=1e-5
        )


# One of each kind of graph, and those with layers of our own
EXPORTED = ["lenet5", "lenet5_1998", "resnet20", "resnext50_32x4d", "resnet18d", "preresnet18", "googlenet_2014"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_models_export(name, tmp_path):
    keras.utils.set_random_seed(0)
    row = cnnzoo.info(name).row
    shape = (*(min(side, 64) for side in row.input_shape[:2]), row.input_shape[2])
    activation = "softmax" if name == "resnet20" else None
    model = cnnzoo.get(name, classes=["a", "b"], input_shape=shape, classifier_activation=activation)
    cnnzoo.export(model, tmp_path / "out")
    assert {"a", "b"} == set(
        cnnzoo.load(tmp_path / "out").predict(np.zeros((1, 40, 40, model.input_shape[3])))[0].classes
    )


def test_a_run_and_a_file_export_too(trained, tmp_path):
    for i, path in enumerate([trained.folder, trained.folder / "model.keras"]):
        assert cnnzoo.export(path, tmp_path / str(i)).path.exists()
    with pytest.raises(cnnzoo.InputError, match="not exported again"):
        cnnzoo.export(tmp_path / "0", tmp_path / "again")


def test_existing_files_are_not_replaced_by_an_export(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(cnnzoo.InputError, match="is there already"):
            cnnzoo.export(trained.model, tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"
    cnnzoo.export(trained.model, tmp_path / "new")
    with pytest.raises(cnnzoo.InputError, match="overwrite=True .*replaces"):
        cnnzoo.export(trained.model, tmp_path / "new")
    cnnzoo.export(trained.model, tmp_path / "new", overwrite=True)
    (tmp_path / "new" / "notes.txt").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="is there already"):
        cnnzoo.export(trained.model, tmp_path / "new", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"], "no scratch is left"


def test_an_export_that_differs_is_not_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "TOLERANCES", {"float32": -1.0})
    with pytest.raises(cnnzoo.InputError, match="differ from the model's by"):
        cnnzoo.export(trained.model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_comparison_detects_a_wrong_graph(trained):
    one = cnnzoo.Classifier.of(trained.model, "keras")
    other = cnnzoo.Classifier(one.card, one.shape, lambda: lambda images: one.probabilities(255 - images), "", "")
    with pytest.raises(cnnzoo.InputError, match="differ from the model's by"):
        check.compare_outputs(one, other, check.sample_inputs(one, None), "float32", 0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "savedmodel"}, "Did you mean saved_model"),
        ({"format": "tflite"}, "Allowed: litert, onnx, openvino, saved_model"),
    ],
)
def test_an_unknown_format_is_named(trained, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.export(trained.model, tmp_path / "out", **options)


def test_probabilities_are_recognized_under_any_activation(data):
    """A softmax within a model inside, or before a cast, is not taken twice; a sigmoid is refused."""
    inputs = keras.Input((12, 12, 1))
    whole = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(inputs)))
    nested = keras.Model(inputs, whole(inputs))
    cast = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(whole(inputs)))
    expected = whole.predict(data.test.images, verbose=0)
    for model in (whole, nested, cast):
        probabilities = cnnzoo.Classifier.of(model, "keras").probabilities(data.test.images)
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    for units in (1, 3):
        model = keras.Model(inputs, keras.layers.Dense(units, "sigmoid")(keras.layers.Flatten()(inputs)))
        with pytest.raises(cnnzoo.InputError, match="by sigmoid, which are no probabilities"):
            cnnzoo.Classifier.of(model)


def test_a_model_that_is_not_a_classifier_is_refused(tmp_path):
    with pytest.raises(cnnzoo.InputError, match="no image classifier of a fixed input size"):
        cnnzoo.export(cnnzoo.get("resnet20", include_top=False), tmp_path / "out")
    with pytest.raises(cnnzoo.InputError, match="no image classifier of a fixed input size"):
        cnnzoo.export(cnnzoo.get("resnet20", input_shape=(None, None, 3)), tmp_path / "out")
    assert not list(Path(tmp_path).iterdir())

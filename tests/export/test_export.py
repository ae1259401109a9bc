"""`export`: accepted and refused arguments, and the files that it writes."""

import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.export import check
from cnnzoo.runtimes.keras import Keras


class Doubling(keras.layers.Layer):
    """A layer that is not registered with Keras."""

    def call(self, x):
        return 2 * x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "photos/"}, "data must be what cnnzoo.load_data returns. Received: 'photos/'"),
        ({"max_drop": float("nan")}, "max_drop must be a share of accuracy"),
        ({"format": ["onnx"]}, "Unknown format"),
        ({"format": "savedmodel"}, "Did you mean saved_model"),
        ({"format": "tflite"}, "Allowed: litert, onnx, openvino, saved_model"),
        (
            {"format": "onnx", "precision": "float16"},
            "no precision float16; .*openvino.* Precisions of onnx: float32, int8",
        ),
        ({"format": "onnx", "precision": "int8"}, "int8 requires data"),
    ],
)
def test_wrong_arguments_are_refused_at_once(trained, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr(Keras, "open", lambda *_: pytest.fail("the model was opened first"))
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.export(trained.model, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "precision", "missing", "message"),
    [
        ("onnx", "float32", ("onnx", "tf2onnx"), "Writing ONNX requires onnx and tf2onnx: pip install"),
        ("openvino", "int8", ("nncf",), "Writing OpenVINO in int8 requires nncf: pip install"),
        ("litert", "float32", ("ai_edge_litert",), "Writing LiteRT requires ai_edge_litert: pip install"),
    ],
)
def test_a_missing_package_is_told_before_the_model_is_loaded(
    data, tmp_path, monkeypatch, format, precision, missing, message
):
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "model.keras").write_bytes(b"not read")
    with pytest.raises(ImportError, match=message):
        cnnzoo.export(tmp_path / "model.keras", tmp_path / "out", format, precision=precision, data=data)


def test_validation_images_of_the_training_are_told(trained, data, tmp_path):
    mixed = replace(data, validation=data.train.take(np.arange(4)))
    with pytest.warns(UserWarning, match=r"4 of the 4 validation images are training images of .*--splits, --seed"):
        cnnzoo.export(trained.folder, tmp_path / "out", "litert", data=mixed)


@pytest.mark.slow
def test_a_keras_file_is_exported_but_an_export_is_not(trained, tmp_path):
    exported = cnnzoo.export(trained.folder / "model.keras", tmp_path / "out", "litert")
    assert exported.difference < check.TOLERANCES["float32"]
    with pytest.raises(cnnzoo.InputError, match="cannot be exported again"):
        cnnzoo.export(exported.path, tmp_path / "again")


@pytest.mark.slow
def test_existing_files_are_kept(trained, tmp_path):
    """Only an export is ever replaced, and only on request."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(cnnzoo.InputError, match="already exists"):
            cnnzoo.export(trained.model, tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"
    cnnzoo.export(trained.model, tmp_path / "new", "litert")
    with pytest.raises(cnnzoo.InputError, match="overwrite=True .*replaces"):
        cnnzoo.export(trained.model, tmp_path / "new", "litert")
    cnnzoo.export(trained.model, tmp_path / "new", "litert", overwrite=True)
    (tmp_path / "new" / "notes.txt").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="already exists"):
        cnnzoo.export(trained.model, tmp_path / "new", "litert", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"], "temporary files are left"


@pytest.mark.slow
def test_an_export_that_differs_is_not_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "TOLERANCES", {"float32": -1.0})
    with pytest.raises(cnnzoo.InputError, match="differ from the model's by"):
        cnnzoo.export(trained.model, tmp_path / "out", "litert")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_that_loses_too_much_accuracy_is_not_kept(trained, data, tmp_path, monkeypatch):
    predict = check._predict

    def predict_worse(classifier, images, progress):
        scores = predict(classifier, images, progress)
        return scores if classifier.model or len(images) != len(data.validation) else np.roll(scores, 1, axis=1)

    monkeypatch.setattr(check, "_predict", predict_worse)
    with pytest.raises(cnnzoo.InputError, match=r"drops from [\d.]+ to [\d.]+ %, by more than max_drop=0\.01"):
        cnnzoo.export(trained.model, tmp_path / "out", "openvino", precision="int8", data=data)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_no_classifier_is_refused(tmp_path):
    for options in ({"include_top": False}, {"input_shape": (None, None, 3)}):
        with pytest.raises(cnnzoo.InputError, match="not an image classifier with a fixed input size"):
            cnnzoo.export(cnnzoo.get("resnet20", **options), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_unregistered_layer_is_named(tmp_path):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(Doubling(name="twice")(inputs)))
    with pytest.raises(cnnzoo.InputError, match="twice.*Doubling.*register_keras_serializable"):
        cnnzoo.export(keras.Model(inputs, outputs), tmp_path / "out")

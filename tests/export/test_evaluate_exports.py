"""`evaluate` measures exports as they run, and gives the report of their model."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.images import make_blobs

import cnnzoo
from cnnzoo.evaluation.classifiers import describe_classifier
from cnnzoo.evaluation.evaluations import read_evaluations
from cnnzoo.export.check import TOLERANCES
from cnnzoo.export.export import find_relative_run
from cnnzoo.inference.exported import read_export
from cnnzoo.runtimes.choose import FORMATS, prefer_own_runtime

pytestmark = pytest.mark.usefixtures("saved_models_once")
HEAVY = ("keras", "tensorflow")


@pytest.fixture(scope="module")
def expected(trained, data, export_once):
    """The report of the model."""
    return cnnzoo.evaluate(trained.folder, data, crop=export_once.crop)


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), [(name, p) for name, row in FORMATS.items() for p in row.precisions])
def test_an_export_has_the_report_of_its_model(format, precision, export_once, load_once, expected, data):
    exported = export_once(format, precision)
    report = cnnzoo.evaluate(exported.path, data, verbose=False)
    assert report.model == f"lenet5 ({format} {precision})"
    assert f"the {FORMATS[format].format_title} export in {precision}, run by" in str(report)
    assert f"the {FORMATS[format].format_title} export in {precision}, run by" in report.to_json()
    np.testing.assert_array_equal(report.labels, expected.labels)
    assert report.temperature == expected.temperature
    np.testing.assert_allclose(report.probabilities, expected.probabilities, atol=TOLERANCES.get(precision, 0.15))
    np.testing.assert_allclose(report.probabilities.sum(axis=1), 1, atol=1e-9)
    assert not report.training_images.any(), "the export knows the digests of the training images"
    # What is measured is what predict answers.
    predictions = load_once(format, precision).predict(data.test.images)
    assert [prediction.label for prediction in predictions] == [report.classes[i] for i in report.predicted]


@pytest.mark.slow
def test_training_images_in_the_data_of_an_export_are_counted(export_once):
    other = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), seed=1)
    with pytest.warns(UserWarning, match="are training images of lenet5"):
        report = cnnzoo.evaluate(cnnzoo.load(export_once("litert").path), other)
    assert "training images of lenet5 (litert float32)" in str(report)


def test_a_classifier_is_measured_on_its_runtime(trained, data):
    report = cnnzoo.evaluate(cnnzoo.Classifier.of(trained.model, "litert"), data)
    assert report.model == "lenet5 (litert float32)"
    np.testing.assert_allclose(report.probabilities, trained.report.probabilities, atol=1e-5)


@pytest.mark.slow
def test_an_export_keeps_its_border(export_once, data):
    with pytest.raises(cnnzoo.InputError, match=r"adds its border of 0 pixels itself. Received: pad=2"):
        cnnzoo.evaluate(cnnzoo.load(export_once("litert").path), data, pad=2)


@pytest.mark.parametrize(
    ("format", "runtime", "expected"),
    [
        ("onnx", "onnxruntime", "the ONNX export in int8, run by ONNX Runtime"),
        (
            "onnx",
            "openvino",
            "the ONNX export in int8, run by OpenVINO (ONNX Runtime, the runtime of the format, was not chosen)",
        ),
        ("saved_model", "keras", "the SavedModel export in int8, run by TensorFlow"),
        ("litert", "litert", "the LiteRT export in int8, run by LiteRT"),
        ("", "keras", "the model in int8, run by Keras"),
    ],
)
def test_the_runtime_is_named_in_words(format, runtime, expected):
    assert describe_classifier(SimpleNamespace(format=format, runtime=runtime, precision="int8")) == expected


def test_a_missing_runtime_of_the_format_is_named(monkeypatch):
    for module in ("cnnzoo.runtimes.choose", "cnnzoo.evaluation.classifiers"):
        monkeypatch.setattr(f"{module}.is_installed", lambda name: name != "onnxruntime")
    assert prefer_own_runtime("onnx") == "auto"
    assert prefer_own_runtime("litert") == "litert"
    classifier = SimpleNamespace(format="onnx", runtime="openvino", precision="float32")
    assert "OpenVINO (ONNX Runtime, the runtime of the format, is not installed)" in describe_classifier(classifier)


@pytest.mark.slow
def test_an_onnx_export_is_evaluated_on_onnx_runtime(export_once, data):
    """Although OpenVINO, which `load` chooses, is faster."""
    path = export_once("onnx").path
    assert "Measured: the ONNX export in float32, run by ONNX Runtime." in cnnzoo.evaluate(path, data).remarks
    assert cnnzoo.load(path).runtime == "openvino"


@pytest.mark.slow
def test_an_onnx_export_is_evaluated_without_keras(export_once, data, tmp_path):
    np.savez(tmp_path / "test.npz", x=data.test.images, y=data.test.labels)
    words = ["evaluate", str(export_once("onnx").path), str(tmp_path / "test.npz"), "--classes", ",".join(data.classes)]
    code = (
        f"import sys; from cnnzoo.cli.main import main; main({words}); print([m for m in {HEAVY} if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (process.returncode, process.stdout.splitlines()[-1]) == (0, "[]"), process.stderr


def test_evaluations_of_an_export_are_counted_by_its_run(trained, data, tmp_path, monkeypatch):
    """If both are below the working directory; the export says nothing about other folders."""
    folder = shutil.copytree(trained.folder, tmp_path / "project" / "runs" / "a")
    monkeypatch.chdir(tmp_path / "project")
    exported = cnnzoo.export("runs/a", "served/litert", "litert", verbose=False)
    assert read_export(exported.path).run == "../../runs/a"
    count = len(read_evaluations(folder))
    cnnzoo.evaluate(exported.path, data, verbose=False)
    assert read_evaluations(folder)[count:][0]["split"] == "test"
    assert len(read_evaluations(folder)) == count + 1

    # A run of other images in that place is not the one.
    np.save(folder / "training_images.npy", np.arange(3, dtype="uint64"))
    cnnzoo.evaluate(exported.path, data, verbose=False)
    assert len(read_evaluations(folder)) == count + 1

    outside = find_relative_run(folder, tmp_path / "elsewhere")
    assert (outside, find_relative_run(tmp_path / "net.keras", exported.path)) == ("", "")

"""Keras models in each runtime."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from helpers.processes import run_code

import cnnzoo
from cnnzoo.runtimes.base import to_uint8
from cnnzoo.runtimes.choose import RUNTIMES
from cnnzoo.runtimes.network import build_graph, make_probability_function
from cnnzoo.runtimes.onnx import explain_missing_module
from cnnzoo.runtimes.quantization import telemetry_off


@pytest.mark.parametrize("runtime", ["openvino", "litert"])
def test_threads_may_share_a_classifier(runtime, trained, data):
    classifier = cnnzoo.load(trained.folder, runtime)
    expected = [prediction.classes for prediction in classifier.predict(data.test.images)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: classifier.predict(data.test.images[i : i + 1])[0], range(12)))
    assert [answer.classes for answer in answers] == expected[:12]


def test_only_keras_takes_other_values_than_0_to_255():
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    with pytest.raises(cnnzoo.InputError, match="values from 0 to 255. Received: -.*runtime='keras'"):
        to_uint8(images)
    model = cnnzoo.get("resnet20", preprocessing="none")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert len(cnnzoo.Classifier.of(model, "keras").probabilities(images)) == 2


def test_a_softmax_is_not_applied_twice(data):
    """It is found inside a nested model, and before a change of type."""
    inputs = keras.Input((12, 12, 1))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(inputs)))
    nested = keras.Model(inputs, model(inputs))
    cast = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(model(inputs)))
    expected = model.predict(data.test.images, verbose=0)
    for variant in (model, nested, cast):
        np.testing.assert_allclose(make_probability_function(variant)(data.test.images), expected, atol=1e-6)


def test_other_backends_cannot_convert(trained, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(cnnzoo.InputError, match="requires Keras' TensorFlow backend. Received: KERAS_BACKEND=jax"):
        build_graph(trained.model)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)  # as where TensorFlow is missing, which tf2onnx imports
    with pytest.raises(cnnzoo.InputError, match="Received: KERAS_BACKEND=jax. Save the model"):
        RUNTIMES["onnxruntime"].convert(trained.model)


def test_what_is_missing_for_onnx_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"requires onnx and tf2onnx: pip install .*export"):
        RUNTIMES["onnxruntime"].convert(trained.model)
    missing = ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.python")
    assert explain_missing_module(missing).startswith("Writing ONNX models requires tensorflow, which tf2onnx imports")


# OpenVINO reports from a process of its own, so the attempts are counted in a file.
QUANTIZE_WITHOUT_NETWORK = """
import os, socket, sys, time
assert not {"openvino", "nncf", "openvino_telemetry"} & sys.modules.keys()
def refuse(*arguments, **options):
    with open("attempts.txt", "a") as attempts:
        print(arguments, file=attempts)
    raise OSError("no network")
socket.getaddrinfo = socket.socket.connect = refuse
import numpy as np
import cnnzoo
from cnnzoo.runtimes.choose import RUNTIMES
model = cnnzoo.get("lenet5", weights="digits")
images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
RUNTIMES["openvino"].convert(model, precision="int8", images=images)
cnnzoo.Classifier.of(model, "openvino").probabilities(images)
time.sleep(1)
assert not {"NNCF_CI"} & os.environ.keys()
"""


@pytest.mark.slow
def test_no_use_is_reported_over_the_network(tmp_path, monkeypatch):
    """In a process that has imported neither OpenVINO nor NNCF before."""
    for name in ("CI", "NNCF_CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    run_code(QUANTIZE_WITHOUT_NETWORK, cwd=tmp_path)
    assert not (tmp_path / "attempts.txt").exists(), (tmp_path / "attempts.txt").read_text()


def test_threads_that_turn_telemetry_off_restore_the_environment(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("NNCF_CI", "no")

    def turn_off(_):
        with telemetry_off():
            time.sleep(0.01)
            return os.environ["CI"], os.environ["NNCF_CI"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(turn_off, range(8))) == {("true", "true")}
    assert "CI" not in os.environ
    assert os.environ["NNCF_CI"] == "no"

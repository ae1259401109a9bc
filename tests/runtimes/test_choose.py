"""The choice of a runtime, and what happens when it cannot run a model."""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.runtimes import choose
from cnnzoo.runtimes.choose import RUNTIMES, choose_runtime


def test_auto_is_the_fastest_installed_runtime(monkeypatch):
    def chosen(*arguments):
        return choose_runtime(*arguments).runtime.name

    assert chosen("auto", None, tuple(RUNTIMES)) == "openvino"
    assert chosen("auto", "bfloat16", tuple(RUNTIMES)) == "openvino"
    monkeypatch.setattr(choose, "is_installed", lambda name: name == "keras")
    assert chosen("auto", None, tuple(RUNTIMES)) == "keras"
    with pytest.raises(ImportError, match=r"onnxruntime is not installed: pip install -e '?\S*\[export\]"):
        choose_runtime("onnxruntime", None, tuple(RUNTIMES))


@pytest.mark.parametrize(
    ("runtime", "precision", "readers", "message"),
    [
        ("openvin", None, tuple(RUNTIMES), "Unknown runtime. Did you mean openvino"),
        ("keras", "float", tuple(RUNTIMES), "Unknown precision. Did you mean float"),
        ("keras", "bfloat16", tuple(RUNTIMES), "bfloat16 requires OpenVINO"),
        ("keras", "int8", tuple(RUNTIMES), "The network is float32, not int8; set the precision when exporting"),
        ("onnxruntime", None, ("keras",), "The network can only be run by keras. Received: runtime='onnxruntime'"),
    ],
)
def test_impossible_choices_are_refused(runtime, precision, readers, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        choose_runtime(runtime, precision, readers)


class Doubling(keras.layers.Layer):
    """A layer that is not registered with Keras."""

    def call(self, x):
        return 2 * x


def test_keras_runs_models_that_no_other_runtime_can_run(data):
    inputs = keras.Input((12, 12, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(Doubling(name="twice")(inputs)))
    model = keras.Model(inputs, outputs)
    classifier = cnnzoo.Classifier.of(model)
    with pytest.warns(UserWarning, match=r"openvino cannot run .*twice.*; using Keras instead"):
        probabilities = classifier.probabilities(data.test.images)
    assert classifier.runtime == "keras"
    np.testing.assert_allclose(probabilities, keras.ops.softmax(model.predict(data.test.images, verbose=0)), atol=1e-6)
    with pytest.raises(cnnzoo.InputError, match="openvino cannot run"):
        cnnzoo.Classifier.of(model, "openvino").predict(data.test.images)

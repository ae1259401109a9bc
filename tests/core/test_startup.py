"""TensorFlow starts without messages about the machine; everything else is passed on."""

import logging
import os
import re
import subprocess
import sys

import pytest

from cnnzoo.core.startup import without_start_messages

NOISE = "I0000 00:00:17 7 port.cc:153] oneDNN custom operations are on. You may see"
SCRIPT = """
import sys
import cnnzoo, numpy
assert "tensorflow" not in sys.modules
model = cnnzoo.get("lenet5", weights="mnist")
for runtime in ("keras", "litert"):
    cnnzoo.Classifier.of(model, runtime=runtime)._network.run(numpy.zeros((1, 32, 32, 1), "uint8"))
assert not type(sys.modules["tensorflow"].__loader__).__module__.startswith("cnnzoo")
"""


def test_only_start_messages_are_held_back(capfd):
    with without_start_messages():
        os.write(2, f"{NOISE}\nW0000 disk quota exceeded\n".encode())
    os.write(2, NOISE.encode())
    assert capfd.readouterr().err == f"W0000 disk quota exceeded\n{NOISE}"


def test_messages_before_an_error_are_passed_on(capfd):
    with pytest.raises(ZeroDivisionError), without_start_messages():
        os.write(2, b"the reason\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "the reason\n"


def test_advice_about_the_functions_of_keras_is_dropped(caplog, monkeypatch):
    logger = logging.getLogger("tensorflow")
    caplog.set_level("WARNING", "tensorflow")  # whatever earlier tests and libraries set
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logger, "disabled", False)
    for function in ("TensorFlowTrainer.make_predict_function.<locals>.one_step", "my_function"):
        logger.warning("%s out of the last %s calls to %s triggered tf.function retracing.", 5, 9, function)
    assert [record.args[2] for record in caplog.records if record.name == "tensorflow"] == ["my_function"]


@pytest.mark.slow
def test_a_script_is_quiet():
    """With Keras, and when it converts a model."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    script = [sys.executable, "-c", SCRIPT]
    process = subprocess.run(script, capture_output=True, text=True, env=environment)
    others = [line for line in process.stderr.splitlines() if not re.match(r"(Building|Importing|Converting) ", line)]
    assert (process.returncode, process.stdout, others) == (0, "", [])


def test_a_level_that_the_user_has_set_stays():
    code = "import cnnzoo, os, sys; print(os.environ['TF_CPP_MIN_LOG_LEVEL'], len(sys.meta_path))"
    printed = []
    for level in ("0", "3"):
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": level}
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        printed.append(process.stdout.split())
    assert [level for level, _ in printed] == ["0", "3"]
    assert int(printed[1][1]) == int(printed[0][1]) + 1

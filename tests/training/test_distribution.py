"""Several devices train one model: here two logical CPUs, in a separate process."""

from dataclasses import replace

import pytest
from helpers.processes import run_code
from helpers.training import RECIPE, fit, new_lenet

import cnnzoo
from cnnzoo.training.distribution import resolve_devices

TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from dataclasses import replace
import numpy as np
import cnnzoo
from helpers.images import make_blobs
from helpers.training import RECIPE, fit, new_lenet

data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))
recipe = replace(RECIPE, epochs=2, augment="none", ema=0.5)
run_dir = sys.argv[1] + "/two"
model_of_two, model_of_one = new_lenet(), new_lenet()
two = fit(model_of_two, data, recipe=recipe, devices=["CPU:0", "CPU:1"], run_dir=run_dir)
one = fit(model_of_one, data, recipe=recipe)
again = fit(new_lenet(), data, recipe=recipe, devices="CPU:0,CPU:1", run_dir=run_dir, resume=True)
assert again.history == two.history
for a, b in zip(model_of_two.get_weights(), model_of_one.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4)
np.testing.assert_allclose(two.history["loss"], one.history["loss"], rtol=1e-3)
print("equal")
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_does(tmp_path):
    assert run_code(TWO_DEVICES, tmp_path) == "equal\n"


def test_an_unknown_device_raises_an_error(data):
    with pytest.raises(cnnzoo.InputError, match=r"Unknown device.*Allowed: .*CPU:0"):
        fit(new_lenet(), data, devices=["CPU:0", "GPU:7"])


def test_a_device_named_twice_raises_an_error(data):
    with pytest.raises(cnnzoo.InputError, match="devices must be distinct"):
        fit(new_lenet(), data, devices="CPU:0,CPU:0")


def test_auto_makes_no_copy_without_gpus():
    assert resolve_devices("auto") == resolve_devices(None) == []


def test_one_named_device_trains(data):
    assert fit(new_lenet(), data, devices=["CPU:0"], recipe=replace(RECIPE, epochs=1)).accuracy > 0

"""Several devices train one model: here two logical CPUs, in a process of their own."""

import subprocess
import sys

import pytest
from helpers.training import fit, new_lenet

import cnnzoo

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from helpers.images import make_blobs
from dataclasses import replace
from helpers.training import RECIPE, fit, new_lenet
import cnnzoo, numpy as np
data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))
recipe = replace(RECIPE, augment="none", ema=0.5)
both, one = new_lenet(), new_lenet()
two = fit(both, data, recipe=recipe, devices=["CPU:0", "CPU:1"], run_dir=sys.argv[2] + "/two")
alone = fit(one, data, recipe=recipe)
again = fit(new_lenet(), data, recipe=recipe, devices="CPU:0,CPU:1", run_dir=sys.argv[2] + "/two", resume=True)
assert again.history == two.history
for a, b in zip(both.get_weights(), one.get_weights()):
    np.testing.assert_allclose(a, b, atol=2e-4)
np.testing.assert_allclose(two.history["loss"], alone.history["loss"], rtol=1e-3)
print("equal", two.accuracy)
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_does(tmp_path):
    folder = str(__import__("pathlib").Path(__file__).parents[1])
    answer = subprocess.run(
        [sys.executable, "-c", CODE, folder, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("equal")


def test_missing_devices_are_named(data):
    with pytest.raises(cnnzoo.InputError, match=r"Unknown device.*Allowed: .*CPU:0"):
        fit(new_lenet(), data, devices=["CPU:0", "GPU:7"])


def test_auto_is_no_copy_where_there_is_no_gpu(data):
    assert fit(new_lenet(), data, devices="auto").history == fit(new_lenet(), data).history


def test_a_device_by_name_is_used_and_named_once(data):
    assert fit(new_lenet(), data, devices=["CPU:0"]).accuracy > 0
    with pytest.raises(cnnzoo.InputError, match="devices must be distinct"):
        fit(new_lenet(), data, devices="CPU:0,CPU:0")

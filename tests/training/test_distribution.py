"""Several devices train one model: here virtual CPU devices, in processes of their own."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.jax_processes import jax_variables, run_module
from helpers.processes import run_code
from helpers.training import RECIPE, fit, new_lenet

import cnnzoo
from cnnzoo.training.devices import check_batch_size, resolve_devices
from cnnzoo.training.distribution import read_metric, restore_metric

FOUR_DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
from helpers import devices
"""
OVERFLOW = """
import keras
from cnnzoo.training.optimizer import make_optimizer
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()).scope():
    model = devices.new_network()
    strategy = tf.distribute.get_strategy()
    optimizer = make_optimizer(model, devices.replace(devices.RECIPE, precision="float16"), 3)
    before = model.get_weights()

    @tf.function
    def step(value):
        gradients = [tf.fill(v.shape, value) for v in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)

    infinite_on_the_second = lambda context: [1.0, float("inf")][context.replica_id_in_sync_group]
    strategy.run(step, args=(strategy.experimental_distribute_values_from_function(infinite_on_the_second),))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert optimizer.dynamic_scale.numpy() == optimizer.initial_scale / 2
"""


@pytest.mark.slow
def test_one_two_and_four_devices_give_the_same_numbers(tmp_path):
    """The statistics of batch norms are among them."""
    code = f"{FOUR_DEVICES}\ndevices.check_small_network()\nprint('equal')\n{OVERFLOW}\nprint('skipped')"
    assert run_code(code, cwd=tmp_path) == "equal\nskipped\n"


@pytest.mark.slow
def test_devices_of_jax_give_the_same_numbers(tmp_path):
    pytest.importorskip("jax")
    variables = jax_variables(tmp_path)
    variables["XLA_FLAGS"] += " --xla_force_host_platform_device_count=4"
    variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1"  # small programs are compiled sooner than kept
    answers = run_module("devices", folder=tmp_path, variables=variables)
    equal, absent, indivisible, foreign, evaluated = answers.splitlines()
    assert equal == "equal"
    assert absent.endswith("Allowed: CPU:0, CPU:1, CPU:2, CPU:3, auto. Received: 'GPU:0'")
    assert "4 devices cannot share batches of 6 images equally. Use batch_size=4 (" in indivisible
    assert evaluated == "14 images"
    assert foreign.startswith("A distribution is set with keras.distribution.set_distribution. Remove it")


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["CPU:0", "GPU:7"], r"Unknown device.*Allowed: .*CPU:0"),
        ("CPU:0,CPU:0", "devices must be distinct"),
        ([], 'devices must be "auto" or names of devices'),
        (2, 'devices must be "auto" or names of devices. Received: 2'),
        ([0], r"Unknown device.*Received: 0"),
    ],
)
def test_devices_that_do_not_exist_raise_an_error(data, devices, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        fit(new_lenet(), data, devices=devices)


def test_batches_that_devices_cannot_share_raise_an_error():
    check_batch_size(32, 1000, 4)
    with pytest.raises(
        cnnzoo.InputError, match=r"3 devices cannot share batches of 32 .*batch_size=30 .*batch_size=33"
    ):
        check_batch_size(32, 1000, 3)
    with pytest.raises(
        cnnzoo.InputError, match=r"batches of 101 images equally. Use batch_size=100 \(--batch-size 100"
    ):
        check_batch_size(128, 101, 2)
    with pytest.raises(cnnzoo.InputError, match="Use fewer devices"):
        check_batch_size(32, 3, 4)


def test_metrics_of_several_devices_are_summed_if_one_goes_on():
    variable = keras.Variable(0.0)
    restore_metric(variable, np.array([1.5, 2.0], "float32"))
    assert float(variable) == 3.5
    assert read_metric(variable).shape == ()


def test_auto_makes_no_copy_without_gpus():
    assert resolve_devices("auto") == resolve_devices(None) == resolve_devices("cpu:0") == []


def test_the_default_device_trains_by_its_name(data):
    assert fit(new_lenet(), data, devices=["cpu:0"], recipe=replace(RECIPE, epochs=1)).accuracy > 0

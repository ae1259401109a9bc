"""A server uses as many cores as its container has, and not all of the machine."""

import asyncio
import os

import numpy as np
import pytest

import cnnzoo
from cnnzoo.core import threads
from cnnzoo.serve.server import Server

needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be limited")


@pytest.fixture
def one_core(monkeypatch):
    """A container with a quota of one core."""
    monkeypatch.setattr(threads, "_container_limit", lambda: 1)


@needs_two_cores
def test_openvino_starts_no_more_threads_than_the_container_has_cores(one_core, digits_export, monkeypatch):
    import openvino

    compiled = []
    original = openvino.Core.compile_model

    def compile_model(self, *arguments):
        compiled.append(original(self, *arguments))
        return compiled[-1]

    pixels = np.zeros((2, *cnnzoo.load(digits_export).shape), "uint8")
    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    limited = cnnzoo.load(digits_export).scores(pixels)
    monkeypatch.setattr(threads, "_container_limit", lambda: None)
    free = cnnzoo.load(digits_export).scores(pixels)
    numbers = [network.get_property("INFERENCE_NUM_THREADS") for network in compiled]
    assert numbers[0] == 1
    assert numbers[1] != 1
    np.testing.assert_allclose(limited, free, atol=1e-6)


@needs_two_cores
def test_images_are_decoded_on_the_cores_of_the_container(one_core, classifiers):
    async def count_threads():
        server = Server({"digits": classifiers["digits"]})
        server.start()
        threads = server._decoders._max_workers
        await server.wait_until_ready()
        await server.stop()
        return threads

    assert asyncio.run(count_threads()) == 1


def test_limit_is_told_only_where_there_is_one(monkeypatch):
    monkeypatch.delenv(threads.CORES, raising=False)
    monkeypatch.setattr(threads, "_cores_of_process", lambda: 64)
    for quota, expected in ((None, None), (64, None), (2, 2)):
        monkeypatch.setattr(threads, "_container_limit", lambda quota=quota: quota)
        assert threads.limited_cores() == expected
    monkeypatch.setattr(threads, "_container_limit", lambda: None)
    monkeypatch.setenv(threads.CORES, "4")
    assert threads.limited_cores() == 4

"""The batcher: turns between requests, images that fail alone, images that nobody waits for any more."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnnzoo.core.errors import InputError
from cnnzoo.serve.batcher import Batcher, FairLine, Item


def decode(source):
    if source == b"torn":
        raise InputError("It is torn")
    return np.frombuffer(source, "uint8")


@pytest.fixture
def start_batcher():
    """A function that makes a batcher for a function that predicts; all are ended after the test."""
    running = []

    def start(predict, size=4, decode=decode):
        decoders = ThreadPoolExecutor(2)
        running.append((Batcher(decode, predict, size, decoders), decoders))
        return running[-1][0]

    yield start
    for batcher, decoders in running:
        decoders.shutdown()
        batcher.close()


def run_requests(batcher, *requests, seconds=30.0):
    """Predict the images of several requests; return the results of each."""

    async def run():
        futures = [batcher.submit(images, time.monotonic() + seconds) for images in requests]
        return [await asyncio.gather(*each) for each in futures]

    return asyncio.run(run())


class Gate:
    """A network whose first batch waits until `open` is called, and which remembers what it has predicted."""

    def __init__(self):
        self.batches, self.is_busy, self._is_open = [], threading.Event(), threading.Event()

    def __call__(self, images):
        self.is_busy.set()
        self._is_open.wait()
        self.batches.append([int(image[0]) for image in images])
        return images.astype("float32")

    def open(self):
        self._is_open.set()


def test_a_small_request_takes_its_turn_within_a_large_one(start_batcher):
    gate = Gate()
    batcher = start_batcher(gate, size=1)

    async def run():
        first = batcher.submit([b"\x00"], time.monotonic() + 30)
        await asyncio.to_thread(gate.is_busy.wait)
        large = batcher.submit([bytes([10 + i]) for i in range(8)], time.monotonic() + 30)
        small = batcher.submit([b"\x01"], time.monotonic() + 30)
        while batcher._decoded._heap is None or len(batcher._decoded._heap) < 9:
            await asyncio.sleep(0.01)
        gate.open()
        await asyncio.gather(*first, *large, *small)

    asyncio.run(run())
    order = [number for batch in gate.batches for number in batch]
    assert order[:3] in ([0, 10, 1], [0, 1, 10])
    assert order[3:] == [11, 12, 13, 14, 15, 16, 17]


def test_a_large_request_is_not_overtaken_for_ever():
    line, loop = FairLine(), asyncio.new_event_loop()
    large = [Item(b"", loop.create_future(), 0, i) for i in range(4)]
    for item in large:
        line.put(item)
    served = 0
    while large[-1] not in line.take(1) and served < 100:
        line.put(Item(b"", loop.create_future(), 0, line.now))  # small requests keep coming, one for each answer
        served += 1
    loop.close()
    assert served < 50


def test_one_image_that_fails_leaves_the_others_alone(start_batcher):
    def predict(images):
        if 13 in images[:, 0]:
            raise RuntimeError("A number that the network does not bear")
        if len(images) > 2:
            raise MemoryError
        return images.astype("float32")

    results = run_requests(start_batcher(predict), [b"\x01", b"torn", b"\x0d", b"\x02"])[0]
    assert results[0] == 1
    assert isinstance(results[1], InputError)
    assert isinstance(results[2], RuntimeError)
    assert results[3] == 2
    assert results[1].__traceback__ is results[2].__traceback__ is None  # which would keep the images in memory


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, StopIteration])
def test_no_error_ends_the_threads(start_batcher, error):
    def fail(*_):
        raise error

    assert isinstance(run_requests(start_batcher(fail), [b"\x01"])[0][0], Exception)
    assert isinstance(run_requests(start_batcher(lambda images: images, decode=fail), [b"\x01"])[0][0], Exception)


def test_too_few_results_are_an_error_and_not_a_mix_up(start_batcher):
    results = run_requests(start_batcher(lambda images: images[1:]), [b"\x01", b"\x02"])[0]
    assert all(isinstance(result, ValueError) for result in results)


def test_images_that_nobody_waits_for_are_neither_decoded_nor_predicted_nor_kept(start_batcher):
    gate = Gate()
    batcher = start_batcher(gate)

    async def run():
        first = batcher.submit([b"\x00"], time.monotonic() + 30)
        await asyncio.to_thread(gate.is_busy.wait)
        late = batcher.submit([b"\x01"], time.monotonic() - 1)
        left = batcher.submit([b"\x02", b"\x03"], time.monotonic() + 30)
        while len(batcher._decoded._heap) < 2:
            await asyncio.sleep(0.01)
        for future in (*late, *left):
            future.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        assert all(not item.pixels.size for _, _, item in batcher._decoded._heap)
        gate.open()
        await asyncio.gather(*first)
        await asyncio.gather(*batcher.submit([b"\x04"], time.monotonic() + 30))

    asyncio.run(run())
    assert gate.batches == [[0], [4]]
    assert batcher.waiting == 0


def test_a_stopped_pool_leaves_no_image_waiting(start_batcher):
    batcher = start_batcher(lambda images: images)

    async def run():
        batcher._decoders.shutdown()
        with pytest.raises(RuntimeError):
            batcher.submit([b"\x01"], time.monotonic() + 30)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert batcher.waiting == 0

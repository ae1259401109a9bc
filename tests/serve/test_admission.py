"""Requests that could not be answered before their deadline are refused at once, and those that could are not."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnnzoo.cards import Card
from cnnzoo.inference.classifier import Classifier
from cnnzoo.runtimes.choose import OpenRuntime
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.pace import WINDOW, Pace
from cnnzoo.serve.served_model import ServedModel

IMAGE = np.zeros((8, 8, 1), "uint8")


@pytest.fixture
def model():
    """A model whose predictions wait until `go_on` is set."""
    go_on = threading.Event()

    def run(images):
        go_on.wait(60)
        return np.full((len(images), 2), 0.5, "float32")

    classifier = Classifier(
        Card(name="any", classes=("a", "b")), (8, 8, 1), lambda: OpenRuntime("openvino", "float32", run), "openvino", ""
    )
    model = ServedModel("any", classifier, deadline=50)
    model.go_on = go_on
    with ThreadPoolExecutor(2) as decoders:
        model.start(decoders)
        model.batcher.size = 1
        yield model
        go_on.set()
        decoders.shutdown()
        model.close()


def ask_beside(model, seconds, waiting, count):
    """Return the answer to a request of `count` images, beside others that wait, if an image takes so many seconds."""

    async def ask():
        others = [asyncio.create_task(model.classify([IMAGE] * number)) for number in waiting]
        await asyncio.sleep(0)  # the tasks begin
        model.batcher.pace.seconds = seconds
        request = asyncio.create_task(model.classify([IMAGE] * count))
        await asyncio.sleep(0)
        model.go_on.set()
        answers = await asyncio.gather(*others, request, return_exceptions=True)
        assert all(len(answer) == number for answer, number in zip(answers, waiting, strict=False))
        return answers[-1]

    return asyncio.run(ask())


def test_request_that_would_be_late_is_refused_at_once(model):
    refused = ask_beside(model, 1.0, [1] * 60, 1)
    assert isinstance(refused, RequestError)
    assert refused.status == 503
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert "an answer would take about" in refused.reason


def test_time_of_an_image_is_known_from_the_start(model):
    """The first requests may be more than can be answered."""
    model.go_on.set()
    model.warm_up()
    assert model.batcher.pace.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "waiting", "count"),
    [
        (0.0, [1] * 60, 1),  # nothing is known yet
        (0.5, [1] * 60, 1),
        (1.0, [60], 1),  # it takes turns with the large request
        (1.0, [], 60),  # nothing waits, so it is tried
    ],
)
def test_request_that_may_be_in_time_is_accepted(model, seconds, waiting, count):
    assert len(ask_beside(model, seconds, waiting, count)) == count


def test_pace_is_the_time_of_an_image_while_others_wait():
    pace = Pace()
    pace.note(4, 10.0, 12.0, True)
    assert pace.seconds == 0.5
    pace.note(WINDOW, 13.0, 12.0 + WINDOW, True)  # it counts from the end of the last one, as the images were decoded
    assert pace.seconds == 1.0
    pace.note(WINDOW // 2, 50.0, 12.0 + WINDOW + 3 * WINDOW / 2, False)
    assert pace.seconds == 2.0
    pace.note(WINDOW, 500.0, 500.0 + WINDOW, False)  # the server was idle before
    assert pace.seconds == 1.0

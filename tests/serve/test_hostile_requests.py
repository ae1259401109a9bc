"""A server under attack: it answers every hostile request with a 4xx, keeps its memory, and serves others meanwhile."""

import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.hostile_requests import hostile_requests, slow_requests
from helpers.image_files import encode
from helpers.raw_http import connect, read_answer, request, send
from helpers.serving import run_command_serve
from PIL import Image

import cnnzoo

LIMITS = ("header_seconds=1", "body_seconds=1.5", "idle_seconds=2")
GROWTH = 50_000_000  # bytes
PATIENCE = 60  # seconds until a request counts as never answered, on a machine that does other things


@pytest.fixture(scope="module")
def attacked(digits_export):
    """A server in a process of its own, with short time limits."""
    settings = [word for limit in LIMITS for word in ("--limit", limit)]
    with run_command_serve(f"digits={digits_export}", "--no-access-log", *settings) as process:
        yield process


@pytest.fixture(scope="module")
def photo():
    digit = np.zeros((32, 32), "uint8")
    digit[4:28, 14:18] = 255
    return encode(Image.fromarray(digit), "PNG")


def attack(port, case):
    """Send a hostile request; return its answer."""
    with connect(port, PATIENCE) as connection:
        with contextlib.suppress(OSError):  # the server has refused the rest
            connection.sendall(case.content)
        if case.trickle:
            threading.Thread(target=trickle, args=(connection, case.trickle), daemon=True).start()
        return read_answer(connection)


def trickle(connection, content):
    """Send bytes again and again, until the server ends the connection."""
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(content)
            time.sleep(0.05)


def test_the_server_survives_hostile_requests_and_serves_others_beside_them(attacked, digits_export, photo):
    prediction = cnnzoo.load(digits_export).predict([photo], top=10, verbose=False)[0]
    right = dict(zip(prediction.classes, prediction.probabilities, strict=True))
    good = request("/v2/models/digits/infer", photo, Inference_Header_Content_Length=0)
    first = send(attacked.port, good)
    before = attacked.resident_bytes

    slow = list(slow_requests())
    fast = [case for case in hostile_requests() if case not in slow]
    random.Random(0).shuffle(fast)
    answers, others = {}, []
    with ThreadPoolExecutor(len(slow)) as slow_clients, ThreadPoolExecutor(2) as clients:
        pending = [slow_clients.submit(attack, attacked.port, case) for case in slow]
        for begin in range(0, len(fast), 50):
            cases = fast[begin : begin + 50]
            answers.update(zip(cases, clients.map(lambda case: attack(attacked.port, case), cases), strict=True))
            others.append(send(attacked.port, good))
        answers.update(zip(slow, (future.result() for future in pending), strict=True))

    wrong = {case.name: answer for case, answer in answers.items() if answer.status not in case.statuses}
    assert not wrong
    assert attacked.process.poll() is None
    assert attacked.resident_bytes - before < GROWTH
    assert {answer.body for answer in others} == {first.body}
    assert read_scores(first) == pytest.approx([right[name] for name in map(str, range(10))], abs=1e-6)
    metrics = send(attacked.port, request("/metrics")).body.decode()
    assert 'cnnzoo_waiting_images{model="digits"} 0.0' in metrics
    assert 'status="500"' not in metrics


def read_scores(answer):
    outputs = {output["name"]: output["data"] for output in answer.json["outputs"]}
    return outputs["scores"]


def test_every_refusal_has_a_reason_in_json_and_the_headers_of_security(attacked):
    for case in [
        *(case for case in hostile_requests() if case.name.startswith(("HTTP", "Host", "Origin", "form"))),
        *list(slow_requests())[:2],
    ]:
        answer = attack(attacked.port, case)
        if answer.status and b"HEAD" not in case.content[:4]:
            assert answer.reason, case.name
            assert answer.reason.isprintable(), case.name
            assert answer.headers["x-content-type-options"] == "nosniff", case.name
            assert answer.headers["content-type"] == "application/json", case.name

"""More than a server can do: full queues, late answers, too many connections, and clients that leave."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
from helpers.image_files import encode
from helpers.raw_http import connect, form_request, read_answer, request, send
from PIL import Image

import cnnzoo
from cnnzoo.core.errors import InputError

pytest.importorskip("fastapi")
PATIENCE = 60


@pytest.fixture(scope="module")
def digit():
    return encode(Image.linear_gradient("L").resize((32, 32)), "PNG")


class Network:
    """The network of a classifier, which can be made to wait, and remembers how many images it has predicted."""

    def __init__(self, classifier):
        self.scores, self.images = classifier.scores, 0
        self.is_busy, self.is_free = threading.Event(), threading.Event()
        self.is_free.set()

    def __call__(self, images):
        self.is_busy.set()
        self.is_free.wait()
        self.images += len(images)
        return self.scores(images)


@pytest.fixture
def serve_digits(digits_export, monkeypatch):
    """A function that serves digits with the protocol of the command; returns its port, network and application."""
    from cnnzoo.serve.run import bind, make_server, serve

    running = []

    def start(limits=None, **settings):
        classifier = cnnzoo.load(digits_export)
        network = Network(classifier)
        monkeypatch.setattr(classifier, "scores", network)
        app = cnnzoo.serve.create_app({"digits": classifier}, limits=cnnzoo.serve.Limits(**(limits or {})), **settings)
        server, listener, ready = make_server(app), bind("127.0.0.1", 0), threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(serve(server, app, listener, ready.set),), daemon=True)
        thread.start()
        assert ready.wait(PATIENCE)
        network.images = 0
        network.is_busy.clear()
        running.append((server, thread, network))
        return listener.getsockname()[1], network, app

    yield start
    for server, thread, network in running:
        network.is_free.set()
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def wait_for(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_queue_sheds_and_late_answers_are_given_up(serve_digits, digit):
    port, network, app = serve_digits(queue=3, deadline=1.5)
    batcher = app.state.server.models["digits"].batcher
    network.is_free.clear()
    with connect(port, PATIENCE) as first, connect(port, PATIENCE) as second:
        first.sendall(request("/models/digits", digit))
        assert network.is_busy.wait(PATIENCE)
        second.sendall(form_request([(b"a.png", digit), (b"b.png", digit)]))
        wait_for(lambda: batcher.waiting == 3)
        shed = send(port, request("/models/digits", digit))
        assert (shed.status, shed.headers["retry-after"]) == (503, "1")
        assert (
            send(port, form_request([(b"a.png", digit)] * 4)).status == 413
        )  # which no queue of 3 takes, however idle
        assert send(port, request("/healthz")).status == 200
        assert read_answer(first).status == read_answer(second).status == 504
    wait_for(lambda: batcher.waiting == 0)
    network.is_free.set()
    assert send(port, request("/models/digits", digit)).status == 200
    wait_for(lambda: app.state.traffic.held == 0)
    metrics = send(port, request("/metrics")).body.decode()
    assert 'cnnzoo_waiting_images{model="digits"} 0.0' in metrics
    for route, status, count in (("/models/{name}", 503, 1), ("/models/{name}", 504, 1), ("/predict", 413, 1)):
        assert f'cnnzoo_requests_total{{method="POST",route="{route}",status="{status}"}} {count}.0' in metrics


def test_images_of_a_client_that_has_left_are_not_predicted(serve_digits, digit):
    port, network, app = serve_digits()
    batcher = app.state.server.models["digits"].batcher
    network.is_free.clear()
    with connect(port, PATIENCE) as first:
        first.sendall(request("/models/digits", digit))
        assert network.is_busy.wait(PATIENCE)
        with connect(port, PATIENCE) as second:
            second.sendall(form_request([(b"a.png", digit)] * 5))
            wait_for(lambda: batcher.waiting == 6)
        wait_for(lambda: batcher.waiting == 1)
        network.is_free.set()
        assert read_answer(first).status == 200
    assert send(port, request("/models/digits", digit)).status == 200
    assert network.images == 2
    assert 'route="/predict",status="499"} 1.0' in send(port, request("/metrics")).body.decode()


def test_one_wrong_score_and_one_torn_file_leave_the_others_alone(serve_digits, digit):
    port, network, _ = serve_digits()
    right, scores = send(port, form_request([(b"a.png", digit)])).json["results"][0], network.scores
    dark = encode(Image.new("L", (32, 32)), "PNG")

    def predict(images):
        answers = scores(images)
        if not images.reshape(len(images), -1).any(axis=1).all():
            raise InputError("The network returns NaN for this image")
        return answers

    network.scores = predict
    files = [(b"a.png", digit)] * 15 + [(b"torn.png", digit[:50]), (b"dark.png", dark)] + [(b"a.png", digit)] * 15
    results = send(port, form_request(files)).json["results"]
    assert [bool(result["error"]) for result in results] == [False] * 15 + [True] * 2 + [False] * 15
    assert "NaN" in results[16]["error"]
    for result in results[:15] + results[17:]:
        assert [entry["class"] for entry in result["classes"]] == [entry["class"] for entry in right["classes"]]
        first, second = ([entry["probability"] for entry in one["classes"]] for one in (result, right))
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit])
def test_a_network_that_fails_is_an_error_of_the_server_which_lives_on(serve_digits, digit, error):
    port, network, _ = serve_digits()
    scores = network.scores

    def fail(images):
        raise error

    network.scores = fail
    answer = send(port, request("/models/digits", digit))
    assert (answer.status, "fault of the server" in answer.reason) == (500, True)
    network.scores = scores
    assert send(port, request("/models/digits", digit)).status == 200


def test_idle_connections_make_place_and_others_are_told_to_come_back(serve_digits, digit):
    port, network, app = serve_digits({"connections": 4})
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(port, PATIENCE))
        time.sleep(1.2)  # from then on they make place
        assert send(port, request("/models/digits", digit)).status == 200
    network.is_free.clear()
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(port, PATIENCE)) for _ in range(4)]
        for connection in busy:
            connection.sendall(request("/models/digits", digit))
        wait_for(lambda: app.state.server.models["digits"].batcher.waiting == 4)
        answer = send(port, request("/healthz"))
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        network.is_free.set()
        assert [read_answer(connection).status for connection in busy] == [200] * 4


def test_all_bodies_together_have_a_bound(serve_digits):
    port, _, app = serve_digits({"image_bytes": 1000, "request_bytes": 1000, "total_bytes": 1500})
    with connect(port, PATIENCE) as first:
        content = request("/models/digits", b"a" * 1000)
        first.sendall(content[:-10])
        wait_for(lambda: app.state.traffic.held >= 900)
        answer = send(port, content)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        first.sendall(content[-10:])
        assert read_answer(first).status == 422
    wait_for(lambda: app.state.traffic.held == 0)


def test_a_client_that_reads_no_answers_is_disconnected(serve_digits):
    port, _, _ = serve_digits({"answer_seconds": 0.5})
    content = request("/openapi.json")
    with connect(port, PATIENCE) as connection:
        connection.settimeout(0.1)
        end = time.monotonic() + PATIENCE
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < end:  # each answer has tens of thousands of bytes, which fill the buffers
                with contextlib.suppress(TimeoutError):
                    connection.sendall(content * 100)
    assert send(port, request("/healthz")).status == 200


def test_requests_in_a_row_on_one_connection_are_answered_in_order(serve_digits, digit):
    port, _, _ = serve_digits()
    with connect(port, PATIENCE) as connection:
        connection.sendall(request("/healthz") + request("/nothing", b"abc") + request("/models/digits", digit))
        content = b""
        while content.count(b"HTTP/1.1 ") < 3 or not content.endswith(b"]"):
            content += connection.recv(65_536)
    assert [int(part[:3]) for part in content.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


def test_a_refused_method_names_all_that_the_path_has(serve_digits):
    port, _, _ = serve_digits()
    assert send(port, request("/", method="OPTIONS")).headers["allow"] == "GET, HEAD, POST"
    assert send(port, request("/predict", method="DELETE")).headers["allow"] == "POST"
    assert "GET" in send(port, request("/healthz", method="DELETE")).headers["allow"]

"""A server that is told to stop: what it has accepted is answered, and it ends in time with exit code 0."""

import contextlib
import shutil
import signal
import threading
import time

import pytest
from helpers.image_files import encode
from helpers.processes import ForkedProcess
from helpers.raw_http import connect, read_answer, request, send
from helpers.serving import ServerProcess, run_command_serve
from PIL import Image

PATIENCE = 60  # seconds until the end counts as never, on a machine that does other things
SLOW_BODY = b"POST /models/digits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"


@pytest.fixture
def digit():
    return encode(Image.linear_gradient("L").resize((32, 32)), "PNG")


def ask_until_closed(port, content, answers):
    """Send a request again and again on one connection, until an answer says that it is the last one."""
    with connect(port, PATIENCE) as connection:
        while not answers or answers[-1].headers.get("connection") != "close":
            connection.sendall(content)
            answers.append(read_answer(connection))
            if not answers[-1].status:
                return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_accepted_requests_are_answered_before_the_end(digits_export, digit, number):
    with run_command_serve(f"digits={digits_export}", "--no-access-log") as server, contextlib.ExitStack() as stack:
        idle, half, slow = (stack.enter_context(connect(server.port, PATIENCE)) for _ in range(3))
        idle.sendall(request("/healthz"))
        assert read_answer(idle).status == 200
        half.sendall(b"GET /healthz HTTP/1.1\r\n")
        if number == signal.SIGTERM:
            slow.sendall(SLOW_BODY)  # which is given some seconds
        lists = [[] for _ in range(6)]
        content = request("/models/digits", digit)
        clients = [threading.Thread(target=ask_until_closed, args=(server.port, content, each)) for each in lists]
        for client in clients:
            client.start()
        while min(map(len, lists)) < 3:
            time.sleep(0.01)

        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        for client in clients:
            client.join()
        assert {answer.status for answers in lists for answer in answers} == {200}
        refusal = read_answer(slow)
        if number == signal.SIGTERM:
            assert (refusal.status, refusal.reason) == (503, "The server is stopping. Try again later")
        assert read_answer(idle).status == read_answer(half).status == 0
        assert "Traceback" not in server.read_error()


def test_a_request_that_comes_while_the_server_stops_is_answered_on_an_open_connection(digits_export, digit):
    with run_command_serve(f"digits={digits_export}", "--no-access-log") as server, connect(server.port) as idle:
        idle.sendall(request("/healthz"))
        assert read_answer(idle).status == 200
        with connect(server.port) as slow:  # keeps the server from ending at once
            slow.sendall(SLOW_BODY)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            wait_until_refused(server.port)
            idle.sendall(request("/models/digits", digit))
            answer = read_answer(idle)
            # The server gives such connections half a second, which a busy machine may need for itself
            assert (answer.status, answer.headers.get("connection")) in ((200, "close"), (0, None))


def wait_until_refused(port):
    """Wait until a server accepts no connections any more."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            connect(port).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)


def test_a_second_signal_ends_the_server_at_once(digits_export):
    with run_command_serve(f"digits={digits_export}") as server, connect(server.port, PATIENCE) as slow:
        slow.sendall(SLOW_BODY)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        wait_until_refused(server.port)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert read_answer(slow).status == 0


def test_a_model_that_cannot_answer_ends_the_command_with_one_line(digits_export, tmp_path):
    folder = tmp_path / "digits"
    shutil.copytree(digits_export, folder)
    (folder / "model.bin").write_bytes(b"")
    server = ServerProcess(folder)
    try:
        assert server.process.wait(PATIENCE) == 2
        assert server.read_error().count("\n") == 1
        assert server.read_error().startswith("Error: ")
    finally:
        server.end()


def serve_hanging_network(folder):
    """Serve a network that never answers after it was opened."""
    import cnnzoo
    from cnnzoo.serve.run import bind, run_server

    classifier = cnnzoo.load(folder)
    app = cnnzoo.serve.create_app({"digits": classifier})
    listener = bind("127.0.0.1", 0)

    def hang():
        classifier.scores = lambda images: threading.Event().wait()
        app.state.server.models["digits"].batcher._predict = classifier.scores
        print(listener.getsockname()[1], flush=True)

    run_server(app, listener, hang)


@pytest.mark.slow
def test_a_network_that_hangs_cannot_keep_the_server_from_ending(digits_export, digit):
    process = ForkedProcess(serve_hanging_network, digits_export)
    while not (port := process.read_output().strip()):
        assert process.poll() is None, process.read_error()
        time.sleep(0.05)
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(send(int(port), request("/models/digits", digit), PATIENCE))
    )
    client.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    client.join()
    assert answers[0].status == 503

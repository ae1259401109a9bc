"""The command `cnnzoo serve`: its warning, its key, and a log that cannot stop it."""

import json
import os

import pytest
from helpers.image_files import encode
from helpers.raw_http import json_request, request, send
from helpers.serving import run_command_serve
from PIL import Image

KEY = "a secret of more than 16 letters"
SECRET = b"content that is in no log"


@pytest.fixture(scope="module")
def digit():
    return encode(Image.linear_gradient("L").resize((32, 32)), "PNG")


def test_a_server_for_all_without_a_key_works_with_a_warning(digits_export, digit):
    with run_command_serve(f"digits={digits_export}", "--host", "0.0.0.0") as server:
        assert "Warning: anyone who can reach this machine can use this server; require a key" in server.read_error()
        assert send(server.port, request("/models/digits", digit)).status == 200

        # The log has a line of JSON for each request, with nothing that a client could forge or that it sent
        send(server.port, request("/models/%0d%0a%1b[31m%00x", SECRET, X_Secret="hidden"))
        send(server.port, json_request("/models/digits?secret=hidden", {"inputs": SECRET.decode()}))
        send(server.port, b"\x1b[31mnonsense\r\n\r\n")
        while server.read_output().count("\n") < 4:  # a line is written after its answer was sent
            assert server.process.poll() is None
        lines = [json.loads(line) for line in server.read_output().splitlines()]
        assert [(line["status"], line["path"]) for line in lines] == [
            (200, "/models/digits"),
            (404, "/models/\r\n\x1b[31m\0x"),
            (400, "/models/digits"),
            (400, ""),
        ]
        assert lines[0]["bytes_received"] == len(digit)
        assert lines[0]["client"] == "127.0.0.1"
        text = server.read_output()
        assert "\x1b" not in text
        assert "hidden" not in text
        assert SECRET.decode() not in text


def test_a_key_is_needed_for_all_but_the_page_and_the_health(digits_export, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    with run_command_serve(f"digits={digits_export}", "--host", "0.0.0.0", "--api-key-file", file) as server:
        assert "Warning" not in server.read_error()
        for path, status in {"/": 200, "/healthz": 200, "/readyz": 200, "/v1/models": 401, "/metrics": 401}.items():
            assert send(server.port, request(path)).status == status, path
        for given in ("", "a", KEY[:-1], KEY + "x", KEY.upper(), "\xe4" * 32, "Bearer", KEY + "\t" + KEY):
            for header in ({"X_API_Key": given}, {"Authorization": f"Bearer {given}"}, {"Authorization": given}):
                answer = send(server.port, request("/v1/models", **header))
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        for header in ({"X_API_Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}):
            assert send(server.port, request("/v1/models", **header)).status == 200


@pytest.mark.parametrize("kind", ["reader gone", "full disk", "reader asleep"])
def test_a_log_that_cannot_be_written_does_not_stop_the_server(digits_export, kind):
    reading, writing = os.pipe()
    if kind == "reader gone":
        os.close(reading)
    elif kind == "full disk":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    try:
        with run_command_serve(f"digits={digits_export}", stdout=writing) as server:
            count = 600 if kind == "reader asleep" else 5  # 200 bytes each, of the 65,536 that fit into a pipe
            assert {send(server.port, request("/v1/models/none")).status for _ in range(count)} == {404}
            if kind == "reader asleep":
                os.read(reading, 2**20)
                send(server.port, request("/healthz"))
                text = ""  # a line is written after its answer was sent
                while "/healthz" not in text:
                    text += os.read(reading, 2**20).decode()
                assert sum(json.loads(line).get("lines_lost", 0) for line in text.splitlines()) > 0
            server.process.terminate()
            assert server.process.wait(60) == 0
            assert "Traceback" not in server.read_error()
    finally:
        os.close(writing)
        if kind != "reader gone":
            os.close(reading)

"""The benchmarks of the data pipelines and of accelerators run, skip what is missing, and never hang."""

import asyncio
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The modules `data` and `accelerator` of the folder benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import accelerator
    import data

    yield data, accelerator
    for name in ("data", "accelerator"):
        sys.modules.pop(name)


@pytest.fixture
def photos(tmp_path):
    """Twelve photos of two classes."""
    for i in range(12):
        path = tmp_path / "photos" / f"class{i % 2}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 60, 3), 20 * i, "uint8")).save(path)
    return tmp_path / "photos"


def test_pipelines_are_measured_and_missing_peers_are_skipped(scripts, photos, tmp_path):
    arguments = [str(photos), "--size", "32", "--policies", "basic,trivial", "--workers", "0", "--turns", "1"]
    arguments += ["--seconds", "0.2", "--pipelines", "pillow_pool,grain_dataset"]
    arguments += ["--grain-python", str(tmp_path / "python")]
    result = CliRunner().invoke(scripts[0].main, arguments)
    assert result.exit_code == 0, result.output
    assert "grain_dataset basic 0: skipped" in result.output
    assert "pillow_pool trivial 0: skipped, it has no operations for this policy" in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("| pillow_pool | basic | 0 |"))
    rate, processor, startup, memory = (float(cell) for cell in row.split("|")[4:8])
    assert rate > 0
    assert 0 < processor < 100
    assert startup >= 0
    assert memory > 5


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--policies", "basic,trival", "'trival' is none of none, gentle, basic, trivial, rand, erase"),
        ("--pipelines", "torch", "'torch' is none of cnnzoo_batches"),
        ("--workers", "two", "'two' is not a list such as 0,1,2,auto"),
    ],
)
def test_wrong_options_are_refused(scripts, photos, option, value, message):
    result = CliRunner().invoke(scripts[0].main, [str(photos), option, value])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())


def test_results_are_kept_if_a_process_fails_or_hangs(scripts):
    def results(command, seconds):
        return list(scripts[1].iter_results(command, {}, time.monotonic() + seconds))

    row = '{"name": "a", "rate": 5}'
    assert results([sys.executable, "-c", f"print('{row}')"], 60) == [{"name": "a", "rate": 5}]
    failed = results([sys.executable, "-c", f"print('{row}'); raise OSError('no device')"], 60)
    assert failed[0] == {"name": "a", "rate": 5}
    assert failed[1]["error"] == "OSError: no device"
    started = time.monotonic()
    hanging = ["/bin/sh", "-c", f"echo '{row}'; exec /bin/sleep 600"]  # which starts at once, on any machine
    assert results(hanging, 1.5) == [{"name": "a", "rate": 5}]
    assert time.monotonic() - started < 300


def test_table_of_an_accelerator_shows_ratios_and_what_is_missing(scripts):
    results = {
        "training step": {"name": "training step", "rate": 300},
        "torch eager training step": {"name": "torch eager training step", "rate": 200},
        "keras fit": {"name": "keras fit", "error": "OutOfMemoryError"},
    }
    lines = scripts[1].table_lines(results)
    assert lines[2].endswith(
        "| 300 | torch.compile training step not measured; torch eager training step 200 | -; 1.50 |"
    )
    assert lines[3].endswith("| not measured | training step 300; keras fit OutOfMemoryError | -; - |")


def test_efficiency_of_processes_is_against_as_many_times_one(scripts):
    import scale

    lines = scale.table_lines([(1, 1000, 10.0, True), (2, 1000, 5.5, True), (4, 1000, 5.0, False)])
    assert lines[2:] == ["| 1 | 100 | 1.00 | own |", "| 2 | 182 | 0.91 | own |", "| 4 | 200 | 0.50 | shared |"]
    assert set(scale.PARTS) >= {"predict"}


@pytest.fixture(scope="module")
def answering_port():
    """The port of a server that answers 200 and 503 in turns, with bodies in two pieces."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answered = 0

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/predict"
            assert b'name="file"; filename="0.jpg"' in body
            type(self).answered += 1
            self.send_response(200 if self.answered % 2 else 503)
            self.send_header("Content-Length", "10")
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b"x" * 4)
            self.wfile.flush()
            self.wfile.write(b"x" * 6)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_load_generator_counts_every_answer(answering_port, photos, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "serving"))
    import generate_load

    requests = [generate_load.make_request(photos / "class0" / "0.jpg", "/predict", answering_port)]
    result = asyncio.run(generate_load.generate(requests, answering_port, clients=3, seconds=60, count=20))
    assert sum(result["answers"].values()) == 20
    assert result["answers"] == {"200": 10, "503": 10}
    assert 0 < result["p50_ms"] <= result["p99_ms"]


def test_load_generator_notices_connections_that_end(photos, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "serving"))
    import generate_load

    async def run():
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await generate_load.generate([b"POST / HTTP/1.1\r\n\r\n"], port, clients=2, seconds=60, count=10)

    result = asyncio.run(run())
    assert result["answers"] == {"lost": 2}
    assert result["rate"] == 0

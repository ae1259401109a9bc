"""Downloads from a local HTTP server that simulates faults."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from cnnzoo.checkpoints import http_download
from cnnzoo.checkpoints.download import fetch
from cnnzoo.core import progress
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
OTHER = CONTENT[::-1]


class Publisher(ThreadingHTTPServer):
    """Serve CONTENT under every path, with the faults that a test switches on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.ranges, self.conditions, self.length = CONTENT, '"1"', True, True, True
        self.statuses, self.cuts, self.delays = deque(), deque(), deque()  # of the next requests
        self.redirect = None
        self.requests, self.sent = [], 0  # (path, range) of each; bytes
        self.stalled, self.ended = threading.Event(), threading.Event()

    def handle_error(self, *_):
        pass  # some tests let the client hang up

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/a.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, requested_range = self.server, self.headers.get("Range")
        server.requests.append((self.path, requested_range))
        if server.delays:
            time.sleep(server.delays.popleft())
        status = server.statuses.popleft() if server.statuses else 200
        body, headers = server.content, {}
        if server.redirect and self.path.startswith("/v1/"):
            status, headers = 302, {"Location": server.redirect}
        elif status == 200 and server.ranges and requested_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", requested_range)[1])
            if server.conditions and self.headers.get("If-Range") != server.etag:
                start = 0
            elif start >= len(body):
                status, headers = 416, {"Content-Range": f"bytes */{len(body)}"}
            else:
                status, headers = 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            body = body[start:]
        if status in (200, 206):
            headers |= {"ETag": server.etag} if server.etag else {}
        else:
            body, headers = b"<html>no</html>", {"Retry-After": "3600"} | headers
        self.send_response(status)
        for name, value in (headers | ({"Content-Length": len(body)} if server.length else {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        part = body[: server.cuts.popleft()] if server.cuts and status < 300 else body
        server.sent += len(part)  # counted first, because the client may be done before the next line runs
        self.wfile.write(part)
        self.wfile.flush()
        if part != body and server.stalled.is_set():
            server.ended.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("CNNZOO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setattr(http_download, "BACKOFF_SECONDS", 0.001)
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "weights"


def file_names(folder):
    return sorted(path.name for path in folder.iterdir())


def fetch_command(url, digest):
    """Return a command that fetches in another process, which Ctrl-C stops even if the tests run in the background."""
    code = f"""
import signal
from cnnzoo.checkpoints.download import fetch
signal.signal(signal.SIGINT, signal.default_int_handler)
fetch({url!r}, "a.bin", {digest!r})
"""
    return [sys.executable, "-c", code]


def test_module_imports_nothing_heavy():
    heavy = "{'requests', 'urllib3', 'rich', 'filelock', 'keras', 'tensorflow', 'numpy'}"
    code = f"import sys, cnnzoo.checkpoints.download; assert not sys.modules.keys() & {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("CNNZOO_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir() == tmp_path / ".cache" / "cnnzoo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x" / "cnnzoo"
    monkeypatch.setenv("CNNZOO_HOME", "~/zoo")
    assert cache_dir() == tmp_path / "zoo"


def test_a_file_is_downloaded_once_and_recorded(server, weights):
    for _ in range(2):
        path, sha256 = fetch(server.url, "a.bin", SHA256, len(CONTENT))
        assert path == weights / "a.bin"
        assert f"sha256:{sha256}" == SHA256
        assert path.read_bytes() == CONTENT
    assert server.requests == [("/v1/a.bin", None)]
    assert [name for name in file_names(weights) if name[0] != "."] == ["a.bin", "a.bin.sha256"]
    assert (weights / "a.bin.sha256").read_text() == f"{sha256}  a.bin\n"


def test_progress_is_shown_of_long_downloads(server, monkeypatch, capsys):
    server.content = bytes(2**21)
    fetch(server.url, "a.bin", f"md5:{hashlib.md5(server.content).hexdigest()}")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "DELAY", 0.0)
    fetch(server.url, "b.bin", f"md5:{hashlib.md5(server.content).hexdigest()}")
    out, err = capsys.readouterr()
    assert not out
    assert "Downloading b.bin: 2.1/2.1 MB in 0 s" in err


def test_hash_of_an_archive_is_that_of_the_file_in_it(server, weights):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tf2.h5", CONTENT)
    server.content = packed.getvalue()
    url = server.url.replace("a.bin", "a.zip")
    with pytest.raises(InputError, match="is not the published file"):
        fetch(url, "a.zip", f"sha1:{hashlib.sha1(OTHER).hexdigest()}")
    assert not list(weights.glob("a.zip*"))
    path, sha256 = fetch(url, "a.zip", f"sha1:{hashlib.sha1(CONTENT).hexdigest()}")
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    server.content = CONTENT
    with pytest.raises(InputError, match="Received: not an intact archive of one file"):
        fetch(url, "b.zip", f"sha1:{hashlib.sha1(CONTENT).hexdigest()}")


@pytest.mark.parametrize("kind", ["sha1", "md5", "sha256-prefix"])
def test_every_kind_of_published_hash_is_checked(server, weights, kind):
    right = f"sha256-prefix:{SHA256[7:17]}" if "-" in kind else f"{kind}:{hashlib.new(kind, CONTENT).hexdigest()}"
    name, _, digits = right.partition(":")
    wrong = f"{name}:{digits[::-1]}"
    message = f"is not the published file. Expected: {wrong}. Received: "
    with pytest.raises(InputError, match=f"a.bin as downloaded {message}"):
        fetch(server.url, "a.bin", wrong)
    assert file_names(weights) == [".a.bin.lock"] or not file_names(weights)
    assert fetch(server.url, "a.bin", right.upper())[1] == SHA256[7:]
    with pytest.raises(InputError, match=message):
        fetch(server.url, "a.bin", wrong)
    assert (weights / "a.bin").exists()


def test_wrong_bytes_are_deleted_and_do_not_affect_the_next_attempt(server, weights):
    server.content = OTHER
    with pytest.raises(InputError, match="It was deleted"):
        fetch(server.url, "a.bin", SHA256)
    server.content = CONTENT
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    assert [requested_range for _, requested_range in server.requests] == [None, None]


def test_cut_connections_are_resumed(server):
    server.cuts.extend([100_000, 1, 0, 0, 77_777])
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    assert server.sent == len(CONTENT)
    starts = [requested_range for _, requested_range in server.requests]
    assert starts == [None, *(f"bytes={n}-" for n in (100_000, 100_001, 100_001, 100_001, 177_778))]


def test_a_stalled_connection_is_retried(server, monkeypatch):
    monkeypatch.setattr(http_download, "TIMEOUT_SECONDS", (1, 0.2))
    server.stalled.set()
    server.cuts.append(2 * http_download.CHUNK_BYTES)
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    ranges = [requested_range for _, requested_range in server.requests]
    assert ranges == [None, f"bytes={2 * http_download.CHUNK_BYTES}-"]


def test_attempts_without_progress_are_limited_and_the_part_is_kept(server, weights):
    server.cuts.extend([1000, *[0] * 50])
    with pytest.raises(
        InputError, match=r"[Cc]onnection.*, 5 times in a row; 1,000 bytes are kept for the next attempt\. To"
    ):
        fetch(server.url, "a.bin", SHA256)
    assert len(server.requests) == 6
    server.cuts.clear()
    fetch(server.url, "a.bin", SHA256)
    assert server.sent == len(CONTENT)


def test_download_restarts_if_the_server_ignores_ranges(server):
    server.ranges = False
    server.cuts.extend([1000, 2000])
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    assert server.sent == len(CONTENT) + 3000


@pytest.mark.parametrize("conditions", [True, False])
def test_download_restarts_if_the_file_changed_on_the_server(server, weights, conditions):
    server.conditions = conditions  # whether the server heeds If-Range
    server.cuts.extend([1000, *[0] * 50])
    with pytest.raises(InputError):
        fetch(server.url, "a.bin", SHA256)
    server.cuts.clear()
    server.content, server.etag = OTHER, '"2"'
    with pytest.warns(UserWarning):
        assert fetch(server.url, "a.bin")[0].read_bytes() == OTHER


@pytest.mark.parametrize("change", ["weak", "other url", "no length"])
def test_parts_of_an_unknown_version_are_not_resumed(server, change):
    server.etag = 'W/"1"' if change == "weak" else '"1"'
    server.length = change != "no length"
    server.cuts.extend([1000, *[0] * 50])
    with pytest.raises(InputError):
        fetch(server.url, "a.bin", SHA256, len(CONTENT))
    server.cuts.clear()
    count = len(server.requests)
    url = server.url.replace("v1", "v2") if change == "other url" else server.url
    assert fetch(url, "a.bin", SHA256, len(CONTENT))[0].read_bytes() == CONTENT
    assert server.requests[count][1] == ("bytes=1000-" if change == "no length" else None)


def test_download_restarts_if_the_part_is_too_long(server, weights):
    weights.mkdir()
    (weights / "a.bin.part").write_bytes(CONTENT + b"more")
    (weights / "a.bin.part.from").write_text(f'{server.url}\n"1"')
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    assert [requested_range for _, requested_range in server.requests] == ["bytes=300004-", None]


def test_a_failing_server_is_retried_and_then_named(server, weights):
    server.statuses.extend([500, 503, 429])
    server.delays.append(0.3)
    fetch(server.url, "a.bin", SHA256)
    assert len(server.requests) == 4
    for status, text, count in ((404, "404 Not Found", 1), (503, "503 Service Unavailable", 5)):
        server.requests.clear()
        server.statuses.extend([status] * count)
        by_hand = f"To add it by hand, save {server.url} as {weights / 'b.bin'}; its {SHA256.replace(':', ' is ')}"
        with pytest.raises(InputError, match=re.escape(f"Cannot get {server.url}: {text}. {by_hand}")):
            fetch(server.url, "b.bin", SHA256)
        assert len(server.requests) == count


def test_a_slow_answer_is_retried(server, monkeypatch):
    monkeypatch.setattr(http_download, "TIMEOUT_SECONDS", (1, 0.3))
    server.delays.extend([0.6, 0.1])
    fetch(server.url, "a.bin", SHA256)
    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a", "http://nowhere.invalid/a", "http:///a", "https://[/a"])
def test_an_unreachable_url_raises_an_input_error(server, url):
    with pytest.raises(InputError, match=re.escape(f"Cannot get {url}: ")) as caught:
        fetch(url, "a.bin", SHA256)
    assert "\n" not in str(caught.value)
    assert "Connection(" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "", "a.bin"])
def test_other_schemes_are_refused(server, url):
    with pytest.raises(InputError, match="by https or http only"):
        fetch(url, "a.bin", SHA256)


def test_redirects_are_followed_to_the_web_only_and_never_from_https_to_http(server, weights):
    server.redirect = "/cdn/a.bin"
    fetch(server.url, "a.bin", SHA256)
    assert server.requests == [("/v1/a.bin", None), ("/cdn/a.bin", None)]
    for target in ("file:///etc/passwd", "ftp://example.org/a", "http://[/"):
        server.redirect = target
        with pytest.raises(InputError, match=re.escape(f"redirects to {target!r}, which is not followed")):
            fetch(server.url, "b.bin", SHA256)

    import requests

    response = requests.Response()
    response.raw = io.BytesIO()
    response.status_code, response.url = 302, "https://example.org/a"
    for target in ("https://cdn.example.org/a", "//cdn.example.org/a", "b"):
        response.headers["Location"] = target
        http_download._check_redirect(response)
    response.headers["Location"] = "http://example.org/a"
    with pytest.raises(InputError, match="redirects to 'http://example.org/a'"):
        http_download._check_redirect(response)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT) - 1, None])
def test_too_many_bytes_raise_at_once(server, weights, monkeypatch, length, size):
    monkeypatch.setattr(http_download, "MAX_DOWNLOAD_BYTES", 200_000)
    server.length = length
    with pytest.raises(InputError, match=r"300,000 bytes; expected: |more bytes than expected: (299,999|200,000)"):
        fetch(server.url, "a.bin", SHA256, size)
    assert len(server.requests) == 1
    server.content = CONTENT[:1000]
    with pytest.warns(UserWarning):
        assert fetch(server.url, "a.bin")[0].read_bytes() == CONTENT[:1000]


def test_a_file_that_is_too_short_is_refused(server):
    with pytest.raises(InputError, match="has 300,000 bytes; expected: 300,001"):
        fetch(server.url, "a.bin", size=len(CONTENT) + 1)
    server.length = False
    with pytest.raises(InputError, match="cut"):
        fetch(server.url, "a.bin", size=len(CONTENT) + 1)


def test_disk_space_is_checked(server, monkeypatch):
    monkeypatch.setattr(http_download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="needs 300,000 bytes of disk space"):
        fetch(server.url, "a.bin", SHA256)


def test_two_processes_download_once(server):
    server.delays.append(1)
    command = fetch_command(server.url, SHA256)
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert len(server.requests) == 1


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_keeps_the_part(server, weights):
    server.stalled.set()
    server.cuts.append(2 * http_download.CHUNK_BYTES + 5)
    process = subprocess.Popen(fetch_command(server.url, SHA256), stderr=subprocess.PIPE)
    while not any(path.stat().st_size == 2 * http_download.CHUNK_BYTES for path in weights.rglob("*.*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    fetch(server.url, "a.bin", SHA256)
    assert server.requests[1][1] == f"bytes={2 * http_download.CHUNK_BYTES}-"


def test_a_replaced_file_is_detected(server, weights):
    path, sha256 = fetch(server.url, "a.bin", SHA256)
    path.write_bytes(OTHER)
    actual = hashlib.sha256(OTHER).hexdigest()
    message = (
        f"{path} is not the published file. Expected: {SHA256}. Received: {actual}. Delete it and run cnnzoo fetch"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        fetch(server.url, "a.bin", SHA256)
    message = f"{path} has changed since its first use: {path}.sha256 records sha256 {sha256}. Received: {actual}"
    with pytest.raises(InputError, match=re.escape(message)):
        fetch(server.url, "a.bin")
    path.unlink()
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    (weights / "a.bin.sha256").write_bytes(b"\xff")
    with pytest.raises(InputError, match="has changed since its first use"):
        fetch(server.url, "a.bin", SHA256)


def test_without_a_published_hash_the_first_use_warns_and_records_one(server, weights):
    with pytest.warns(UserWarning, match=f"No hash of a.bin is published; from now on its sha256 must be {SHA256[7:]}"):
        path, _ = fetch(server.url, "a.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch(server.url, "a.bin")
    path.unlink()
    server.content = OTHER
    with pytest.raises(InputError, match="a.bin as downloaded has changed since its first use"):
        fetch(server.url, "a.bin")
    assert not path.exists()
    server.content = CONTENT
    fetch(server.url, "a.bin")


def test_a_mirror_is_used_instead(server, monkeypatch):
    monkeypatch.setenv("CNNZOO_MIRROR", server.url.replace("v1/a.bin", "mirror/"))
    fetch("https://example.org/v1/a.bin", "b.bin", SHA256)
    assert server.requests == [("/mirror/b.bin", None)]
    server.content = OTHER
    with pytest.raises(InputError, match="not the published file"):
        fetch("https://example.org/v1/a.bin", "c.bin", SHA256)


def test_offline_nothing_is_requested_and_the_message_has_a_remedy(server, weights, monkeypatch):
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    by_hand = f"To add it by hand, save {server.url} as {weights / 'a.bin'}; its "
    cases = {SHA256: SHA256.replace(":", " is "), f"sha256-prefix:{SHA256[7:15]}": f"sha256 begins with {SHA256[7:15]}"}
    for digest, shown in {**cases, "": "hash is not published"}.items():
        with pytest.raises(InputError, match=re.escape(f"CNNZOO_OFFLINE is set. {by_hand}{shown}")):
            fetch(server.url, "a.bin", digest)
    (weights / "a.bin").write_bytes(OTHER)
    with pytest.raises(InputError, match="is not the published file"):
        fetch(server.url, "a.bin", SHA256)
    assert not (weights / "a.bin.sha256").exists()
    (weights / "a.bin").write_bytes(CONTENT)
    (weights / "a.bin.part").write_bytes(CONTENT[:1000])
    path, sha256 = fetch(server.url, "a.bin", SHA256)
    assert (weights / "a.bin.sha256").read_text() == f"{sha256}  a.bin\n"
    assert not (weights / "a.bin.part").exists()
    path.unlink()
    with pytest.raises(InputError, match=SHA256.replace(":", " is ")):
        fetch(server.url, "a.bin")
    assert not server.requests
    monkeypatch.setenv("CNNZOO_OFFLINE", "0")
    fetch(server.url, "a.bin", SHA256)


def test_a_cache_may_be_read_only(server, monkeypatch):
    fetch(server.url, "a.bin", SHA256)
    monkeypatch.setattr("filelock.FileLock", None)  # nothing is written, no lock either
    fetch(server.url, "a.bin", SHA256)


def test_an_unusable_cache_raises_an_error_that_names_it(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="Cannot write to the cache folder .*"):
        fetch(server.url, "a.bin", SHA256)
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    (tmp_path / "weights" / "a.bin").mkdir(parents=True)
    with pytest.raises(InputError, match="Cannot read"):
        fetch(server.url, "a.bin", SHA256)


@pytest.mark.parametrize("file", ["", ".", "..", "../a", "a/b", "/a", "a\\b", "C:a", ".a", "a\n", "a.part", "é"])
def test_file_names_cannot_leave_the_cache(server, tmp_path, file):
    with pytest.raises(InputError, match="must have a plain name"):
        fetch(server.url, file, SHA256)
    assert not server.requests
    assert not file_names(tmp_path)


@pytest.mark.parametrize("digest", ["abc", "sha256:abc", "sha256-prefix:abc", "sha512:" + "0" * 128, SHA256 + "\n"])
def test_malformed_hashes_are_refused(server, digest):
    with pytest.raises(InputError, match="A hash must be sha256:"):
        fetch(server.url, "a.bin", digest)


class SlowHandler(BaseHTTPRequestHandler):
    """Send the header, or the body, byte by byte, and never end."""

    def do_GET(self):
        try:
            if self.server.part == "body":
                self.send_response(200)
                self.send_header("Content-Length", "300000")
                self.end_headers()
            else:
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            while not self.server.done.is_set():
                self.wfile.write(b"x")
                self.server.done.wait(0.02)
        except OSError:
            pass  # the client hung up

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("part", "message"), [("body", "only .* bytes have arrived"), ("header", "did not answer")])
def test_a_server_that_sends_byte_by_byte_is_given_up(part, message, server, monkeypatch):
    monkeypatch.setattr(http_download, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(http_download, "SPEED_SECONDS", 0.3)
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as slow:
        slow.daemon_threads, slow.part, slow.done = True, part, threading.Event()
        threading.Thread(target=slow.serve_forever, args=(0.01,), daemon=True).start()
        start = time.monotonic()
        with pytest.raises(InputError, match=message):
            fetch(f"http://127.0.0.1:{slow.server_port}/a.bin", "a.bin", SHA256)
        assert time.monotonic() - start < 60
        slow.done.set()
        slow.shutdown()


def test_connections_that_bring_a_byte_each_come_to_an_end(server, monkeypatch):
    """Each of them is progress, so the number of attempts alone is no limit."""
    monkeypatch.setattr(http_download, "CHUNK_BYTES", 1)
    monkeypatch.setattr(http_download, "SPEED_SECONDS", 0.2)
    server.cuts.extend([1] * 10_000)
    with pytest.raises(InputError, match="only .* bytes have arrived"):
        fetch(server.url, "a.bin", SHA256)


@pytest.mark.parametrize("name", ["a.bin.part", "a.bin.part.from", "a.bin.sha256", ".a.bin.lock"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nothing_is_written_through_links(name, link, server, weights):
    weights.mkdir()
    victim = weights.parent / "victim"
    victim.write_bytes(b"precious")
    link(victim, weights / name)
    if name == "a.bin.sha256":
        with pytest.raises(InputError):  # what it says is not the hash
            fetch(server.url, "a.bin", SHA256)
    else:
        assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    assert victim.read_bytes() == b"precious"


def test_a_part_with_a_link_for_its_origin_starts_again(server, weights):
    weights.mkdir()
    (weights.parent / "victim").write_text(f"{server.url}\n{server.etag}")
    (weights / "a.bin.part").write_bytes(OTHER[:1000])
    (weights / "a.bin.part.from").symlink_to(weights.parent / "victim")
    assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["a.bin", "a.bin.part", "a.bin.part.from", "a.bin.sha256", ".a.bin.lock"])
def test_pipes_and_folders_in_the_cache_neither_hang_nor_crash(name, make, server, weights):
    weights.mkdir()
    make(weights / name)
    replaced = make is os.mkfifo and name not in ("a.bin", "a.bin.sha256")
    if replaced:
        assert fetch(server.url, "a.bin", SHA256)[0].read_bytes() == CONTENT
    else:
        with pytest.raises(InputError, match=re.escape(name)):
            fetch(server.url, "a.bin", SHA256)

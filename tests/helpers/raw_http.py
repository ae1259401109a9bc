"""HTTP over plain sockets, for requests that no client library sends."""

import contextlib
import json
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """An answer; status 0 if the server closed the connection without one."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        """The value of the body."""
        return json.loads(self.body)

    @property
    def reason(self):
        """The reason of an error."""
        return self.json["error"]


def connect(port, timeout=20):
    """Return a connection to a server on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout)


def send(port, content, timeout=20):
    """Send bytes on a connection of their own; return the answer."""
    with connect(port, timeout) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server refused the rest, with an answer
            connection.sendall(content)
        return read_answer(connection)


def read_answer(connection):
    """Read one answer from a connection."""
    content = b""
    try:
        while b"\r\n\r\n" not in content:
            received = connection.recv(65_536)
            if not received:
                return Answer(0, {}, content)
            content += received
        head, _, body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            received = connection.recv(65_536)
            if not received:
                break
            body += received
    except ConnectionResetError:
        return Answer(0, {}, b"")
    return Answer(int(first.split()[1]), headers, body)


def request(path, body=b"", content_type="application/octet-stream", method="", host="localhost", **headers):
    """Return the bytes of a request; `headers` are further headers, with _ for -."""
    lines = [f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1", f"Host: {host}"]
    if body:
        lines += [f"Content-Length: {len(body)}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def json_request(path, value, **headers):
    """Return the bytes of a request with JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return request(path, body, "application/json", **headers)


def chunked_request(path, *chunks, end=b"0\r\n\r\n", content_type="application/json"):
    """Return the bytes of a request in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def form_request(files, path="/predict", **headers):
    """Return the bytes of a form of files, by name."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n' % (name, content)
        for name, content in files
    ]
    return request(path, b"".join(parts) + b"--limit--\r\n", "multipart/form-data; boundary=limit", **headers)

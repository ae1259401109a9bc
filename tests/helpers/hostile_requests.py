"""Requests that a public server receives from those who want to stop it, and from clients that are broken."""

import base64
import io
import json
import random
import struct
from dataclasses import dataclass

from PIL import Image

from helpers.image_kinds import image_kinds, png_chunk
from helpers.raw_http import chunked_request, form_request, json_request, request

CLIENT_ERRORS = frozenset(range(400, 500))
PREDICT = "/v1/models/digits:predict"
INFER = "/v2/models/digits/infer"
RAW = "/models/digits"


@dataclass(frozen=True)
class HostileRequest:
    """A request and how the server may answer it.

    Attributes:
        name: what is wrong with it.
        content: its bytes.
        statuses: the allowed answers.
        trickle: bytes that are sent afterwards, one by one, until the server has had enough.
    """

    name: str
    content: bytes
    statuses: frozenset = CLIENT_ERRORS
    trickle: bytes = b""


def hostile_requests():
    """Return all of them."""
    return [*bad_images(), *bad_json(), *bad_tensors(), *bad_forms(), *bad_http(), *bad_access(), *slow_requests()]


def _encode(content):
    return base64.b64encode(content).decode()


def bomb(side=30_000):
    """Return a PNG file that states a huge size, and has few bytes."""
    return make_png_header(side, side) + png_chunk(b"IDAT", b"\x78\x9c" + b"\0" * 1000) + png_chunk(b"IEND", b"")


def make_png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def bad_images():
    """Return files that are no images, or far too large ones, over every protocol."""
    photo = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(photo, "JPEG")
    files = {
        "a PNG bomb": bomb(),
        "a flat bomb": make_png_header(60_000, 2) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""),
        "a GIF bomb": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,\0\0\0\0",
        "a BMP bomb": b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, 30_000, 30_000, 1, 24) + b"\0" * 99,
        "a JPEG bomb": photo.getvalue().replace(
            b"\xff\xc0\x00\x0b\x08\x00\x40\x00\x40", b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff"
        ),
        "a torn JPEG": photo.getvalue()[:-1000],
        "the start of a JPEG": photo.getvalue()[:20],
        "an SVG with a script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "a program": b"\x7fELF" + bytes(100),
        "an archive": b"PK\x03\x04" + bytes(100),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "nothing but zeros": bytes(10_000),
        "text": b"../../etc/passwd\r\n",
    }
    for name, content in files.items():
        yield HostileRequest(f"{name} (raw)", request(RAW, content))
        yield HostileRequest(f"{name} (Hugging Face)", json_request(RAW, {"inputs": _encode(content)}))
        yield HostileRequest(f"{name} (form)", form_request([(b"a.jpg", content)]))
        instances = [{"b64": _encode(content)}]
        yield HostileRequest(f"{name} (TensorFlow Serving)", json_request(PREDICT, {"instances": instances}))
        tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [_encode(content)]}
        yield HostileRequest(f"{name} (Open Inference)", json_request(INFER, {"inputs": [tensor]}))
    for i, kind in enumerate(image_kinds()):  # animated, transparent, deep: of every format, cut off in the middle
        yield HostileRequest(f"half of {kind.name}", request(RAW, kind.content[: len(kind.content) // 2]), ANY_ANSWER)
        damaged = bytearray(kind.content)
        for position in random.Random(i).sample(range(len(damaged)), 9):
            damaged[position] ^= 255
        yield HostileRequest(f"damaged {kind.name}", request(RAW, bytes(damaged)), ANY_ANSWER)


ANY_ANSWER = CLIENT_ERRORS | {200}


def bad_json():
    """Return bodies that are no JSON, or JSON of another form."""
    bodies = {
        "nothing": b" ",
        "100 levels": b"[" * 100 + b"]" * 100,
        "100,000 levels": b"[" * 100_000,
        "100,000 objects": b'{"a":' * 100_000,
        "many levels of instances": b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
        "NaN": b'{"instances": [NaN]}',
        "Infinity": b'{"instances": [[[Infinity]]]}',
        "a huge float": b'{"instances": [[[1e999]]]}',
        "a huge integer": b'{"instances": [' + b"9" * 100_000 + b"]}",
        "a large integer": b'{"instances": [[[' + b"9" * 300 + b"]]]}",
        "two keys": b'{"instances": [], "instances": 5}',
        "half of a string": b'{"instances": ["',
        "another encoding": '{"instances": ["é"]}'.encode("utf-16"),
        "bad UTF-8": b'{"instances": ["\xff\xfe"]}',
        "half of a character": b'{"instances": {"\\ud800": 1, "b": 2}}',
        "half of a character as a name": b'{"inputs": {"\\ud800": 1, "b": 2}}',
        "half of a character as a signature": b'{"signature_name": "\\ud800", "instances": [1]}',
        "a list": b"[]",
        "a number": b"5",
        "null": b"null",
        "no images": b'{"instances": []}',
        "a string": b'{"instances": "abc"}',
        "bad base64": b'{"instances": [{"b64": "!!!!"}]}',
        "base64 of nothing": b'{"instances": [{"b64": ""}]}',
        "a number as base64": b'{"instances": [{"b64": 5}]}',
        "a path": b'{"instances": [{"b64": "file:///etc/passwd"}]}',
        "an address": b'{"instances": ["http://127.0.0.1/secret"]}',
        "an empty object as signature": b'{"signature_name": {}, "instances": [1]}',
        "a list as signature": b'{"signature_name": [[1]], "instances": [1]}',
        "a deep signature": b'{"signature_name": ' + b"[" * 900 + b"]" * 900 + b', "instances": [1]}',
        "rows of other lengths": b'{"instances": [[[1, 2], [3]]]}',
        "strings as pixels": b'{"instances": [[["' + b"a" * 100_000 + b'"], ["a"]]]}',
        "many strings as pixels": json.dumps({"instances": [[["a" * 1_000_000, *"a" * 10_000]]]}).encode(),
        "negative pixels": b'{"instances": [[[-1]]]}',
        "too many images": json.dumps({"instances": [{"b64": "aaaa"}] * 65}).encode(),
        "too many values": b'{"instances": [' + b"{}," * 6_000_000 + b"{}]}",
        "a long strip": json.dumps({"instances": [[[0] * 300_000]]}).encode(),
    }
    for name, body in bodies.items():
        yield HostileRequest(f"JSON: {name}", json_request(PREDICT, body))
        if len(body) < 1_000_000:
            body = body.replace(b'"instances"', b'"inputs"')
            yield HostileRequest(f"JSON for Hugging Face: {name}", json_request(RAW, body))
            yield HostileRequest(f"JSON for Triton: {name}", json_request(INFER, body))
    for name, parameters in {
        "a huge top_k": {"top_k": 10**30},
        "top_k of text": {"top_k": "five"},
        "no top_k": {"top_k": 0},
        "a list": [1],
        "a function": {"function_to_apply": ["softmax"]},
    }.items():
        yield HostileRequest(
            f"parameters: {name}", json_request(RAW, {"inputs": _encode(b"x"), "parameters": parameters})
        )


def bad_tensors():
    """Return requests of the Open Inference Protocol that contradict themselves."""
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [_encode(b"abc")]}
    pixels = {"name": "images", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [1, 2, 3, 4]}
    tensors = {
        "a huge shape": {**tensor, "shape": [2**30] * 100_000},
        "a huge shape of pixels": {**pixels, "shape": [2**30] * 100_000},
        "negative sides": {**pixels, "shape": [-1, -2, -2, 1]},
        "a shape of text": {**pixels, "shape": ["1"]},
        "no shape": {"name": "images"},
        "too few values": {**pixels, "shape": [1, 2000, 2000, 3]},
        "strings as pixels": {**pixels, "data": ["a" * 100_000, "a", "a", "a"]},
        "nested pixels": {**pixels, "data": [[[[[[[1, 2, 3, 4]]]]]]]},
        "another type": {**pixels, "datatype": "FP64"},
        "a list as type": {**pixels, "datatype": [1]},
        "an object as name": {**tensor, "name": {"a": 1}},
        "binary data that are missing": {**tensor, "parameters": {"binary_data_size": 100}},
        "binary data of negative size": {**tensor, "parameters": {"binary_data_size": -1}},
    }
    for name, values in tensors.items():
        yield HostileRequest(f"tensor: {name}", json_request(INFER, {"inputs": [values]}))
    outputs = {
        "a list as output": [{"name": [1]}],
        "an unknown output": [{"name": "weights"}],
        "an output that is no object": [5],
        "an output many times": [{"name": "scores"}] * 10_000,
        "parameters that are no object": [{"name": "scores", "parameters": 5}],
        "a huge classification": [{"name": "scores", "parameters": {"classification": 10**20}}],
    }
    for name, values in outputs.items():
        yield HostileRequest(f"outputs: {name}", json_request(INFER, {"inputs": [tensor], "outputs": values}))
    for length in ("-1", "99999999999999999999", "abc", "\xb2", "1e3"):
        yield HostileRequest(
            f"header length {length!r}",
            json_request(INFER, {"inputs": [tensor]}, Inference_Header_Content_Length=length),
        )
    binary = {"inputs": [{**tensor, "parameters": {"binary_data_size": 8}}]}
    del binary["inputs"][0]["data"]
    head = json.dumps(binary).encode()
    for end in (b"\xff\xff\xff\xffabcd", b"\0\0\0\0\0\0\0\0", b"\1\0\0\0aaaa"):
        yield HostileRequest(
            f"binary tensor {end!r}", request(INFER, head + end, Inference_Header_Content_Length=len(head))
        )
    for encoding, body in {"gzip": b"\x1f\x8b" + b"abc", "br": b"abc", "gzip, gzip": b"abc", "deflate": b"abc"}.items():
        yield HostileRequest(f"encoding {encoding}", json_request(INFER, body, Content_Encoding=encoding))


def bad_forms():
    """Return forms that are none, or have odd parts."""
    part = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nabc\r\n'
    field = b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n'
    end = b"--limit--\r\n"
    kind = "multipart/form-data; boundary=limit"
    bodies = {
        "no boundary": (part + end, "multipart/form-data"),
        "an empty boundary": (part + end, 'multipart/form-data; boundary=""'),
        "another boundary": (part + end, "multipart/form-data; boundary=other"),
        "a long boundary": (part + end, "multipart/form-data; boundary=" + "a" * 5000),
        "a boundary that is no ASCII": (part + end, "multipart/form-data; boundary=\xe4"),
        "no end": (part, kind),
        "no parts": (end, kind),
        "no files": (field + end, kind),
        "100,000 parts": (part * 100_000 + end, kind),
        "100,000 fields": (field * 100_000 + end, kind),
        "100,000 line ends": (b"\r\n" * 100_000, kind),
        "a huge header": (part.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n") + end, kind),
        "many headers": (part.replace(b"\r\n\r\n", b"\r\n" + b"X: a\r\n" * 10_000 + b"\r\n") + end, kind),
        "no headers": (b"--limit\r\n\r\nabc\r\n" + end, kind),
        "no name": (part.replace(b'name="file"; ', b"") + end, kind),
        "a form within": (part.replace(b"abc", part) + end, kind),
        "a huge field": (field.replace(b"abc", b"a" * 1_000_000) + end, kind),
        "the boundary again and again": (b"\r\n--limi" * 100_000 + end, kind),
        "text": (b"abc", "text/plain"),
        "fields of a page": (b"a=1&b=2", "application/x-www-form-urlencoded"),
        "an unknown encoding": (part + end, kind + "; charset=idna"),
        "a model that does not exist": (
            part + b'--limit\r\nContent-Disposition: form-data; name="model"\r\n\r\n../../x\r\n' + end,
            kind,
        ),
    }
    for name, (body, content_type) in bodies.items():
        yield HostileRequest(f"form: {name}", request("/predict", body, content_type))
    for name in (b"../../etc/passwd", b"a\0b.jpg", b"a\\\r\nX: y", b"C:\\a.jpg", b"\xff\xfe", b"=cmd()", b"a" * 3000):
        yield HostileRequest(f"file name {name[:20]!r}", form_request([(name, b"abc")]))


def bad_http():
    """Return what is not HTTP, or only almost."""
    host = b"Host: localhost\r\n"
    good = json_request(PREDICT, {"instances": []})
    lines = {
        "zeros": bytes(1000),
        "a TLS greeting": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
        "no request line": b"\r\n\r\n",
        "no version": b"GET /\r\n\r\n",
        "no host": b"GET / HTTP/1.1\r\n\r\n",
        "two hosts": b"GET / HTTP/1.1\r\n" + host + b"Host: evil\r\n\r\n",
        "a space before a colon": b"GET / HTTP/1.1\r\n" + host + b"X : y\r\n\r\n",
        "a zero in a header": b"GET / HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n",
        "a long address": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        "a long header": b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        "many headers": b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n" * 10_000 + b"\r\n",
        "headers without end": b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n" * 100_000,
        "an unknown method": b"BREW / HTTP/1.1\r\n" + host + b"\r\n",
        "a long method": b"A" * 10_000 + b" / HTTP/1.1\r\n" + host + b"\r\n",
        "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + host + b"\r\n",
        "TRACE": b"TRACE /healthz HTTP/1.1\r\n" + host + b"\r\n",
        "a proxy request": b"GET http://evil/ HTTP/1.1\r\n" + host + b"\r\n",
        "a star": b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "1 GB": b"POST /predict HTTP/1.1\r\n" + host + b"Content-Length: 1000000000\r\n\r\n",
        "a length of 30 digits": b"POST /predict HTTP/1.1\r\n" + host + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        "a negative length": b"POST /predict HTTP/1.1\r\n" + host + b"Content-Length: -5\r\n\r\n",
        "two lengths": good.replace(b"Content-Length", b"Content-Length: 5\r\nContent-Length"),
        "a length and chunks": good.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        "an unknown encoding": good.replace(b"Content-Length", b"Transfer-Encoding: gzip\r\nContent-Length"),
        "chunks twice": good.replace(b"Content-Length", b"Transfer-Encoding: chunked, chunked\r\nContent-Length"),
        "chunks in HTTP/1.0": chunked_request(PREDICT, b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
        "no size of a chunk": chunked_request(PREDICT, end=b"\r\n\r\n"),
        "a size of text": chunked_request(PREDICT, end=b"xyz\r\n\r\n"),
        "a huge size": chunked_request(PREDICT, end=b"f" * 30 + b"\r\n\r\n"),
        "a negative size": chunked_request(PREDICT, end=b"-1\r\n\r\n"),
        "a long extension": chunked_request(PREDICT, end=b"1;" + b"a" * 100_000 + b"\r\na\r\n0\r\n\r\n"),
        "no end of a chunk": chunked_request(PREDICT, end=b"1\r\naaaa0\r\n\r\n"),
        "long trailers": chunked_request(PREDICT, b"{}", end=b"0\r\n" + b"X: a\r\n" * 10_000 + b"\r\n"),
        "tiny chunks": chunked_request(PREDICT, *[b"["] * 30_000),
    }
    for name, content in lines.items():
        yield HostileRequest(f"HTTP: {name}", content)
    paths = [
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/static/../app.py", "//evil.com/",
        "/%00", "/models/%00", "/models/digits%00.jpg", "/models/%ff%fe", "/models/" + "a" * 5000, "/models/digits/..",
        "/v1/models/digits:predict:predict", "/v1/models/:predict", "/v1/models/digits:classify",
        "/v1/models/digits/versions/2:predict", "/v1/models/digits/versions/999999999999999999999:predict",
        "/v1/models/digits%3Apredict%0d%0aX:y", "/v2/models/digits/infer/", "/v2/models/digits/versions/%2e%2e/infer",
        "/v2/repository/models/digits/unload", "/docs/..", "/openapi.json/x", "/predict?top=" + "9" * 5000,
        "/predict?top=\xe4", "/predict?model=" + "%00" * 1000, "/metrics/x", "/models/digits?top=-1", "/%", "/%zz",
    ]  # fmt: skip
    for path in paths:
        for method, body in (("GET", b""), ("POST", b"abc"), ("DELETE", b""), ("PUT", b"abc")):
            name = f"{method} {path[:40]!r}"
            yield HostileRequest(name, request(path, body, method=method))


def bad_access():
    """Return requests from pages and under names that may not use the server."""
    hosts = [
        "evil.com",
        "localhost.evil.com",
        "evil.com:80",
        "127.0.0.1.evil.com",
        "[::1]evil.com",
        "@localhost",
        "a b",
    ]
    for host in [*hosts, "", "localhost@evil", "[::1", "localhost:80:80", "\xe4", "localhost/x", "a" * 9000]:
        yield HostileRequest(f"Host {host[:30]!r}", request("/healthz", host=host))
    for origin in [
        "null",
        "https://evil.com",
        "http://localhost.evil.com",
        "http://[",
        "file://",
        "http://",
        "a" * 9000,
    ]:
        yield HostileRequest(f"Origin {origin[:30]!r}", request("/healthz", Origin=origin))
        preflight = request(
            "/predict", method="OPTIONS", Origin=origin, Access_Control_Request_Method="POST",
            Access_Control_Request_Private_Network="true",
        )  # fmt: skip
        yield HostileRequest(f"preflight of {origin[:30]!r}", preflight)


def slow_requests():
    """Return requests that never end."""
    head = b"POST /models/digits HTTP/1.1\r\nHost: localhost\r\n"
    timeout = frozenset({408})
    yield HostileRequest("headers that trickle", b"GET / HTTP/1.1\r\n", timeout, b"X: aaaaaa\r\n")
    yield HostileRequest("headers that stop", b"GET / HT", timeout)
    yield HostileRequest("nothing at all", b"", frozenset({0}))
    yield HostileRequest("a body that trickles", head + b"Content-Length: 1000\r\n\r\n", timeout, b"a")
    yield HostileRequest("a body that stops", head + b"Content-Length: 1000\r\n\r\nabc", timeout)
    yield HostileRequest(
        "a body that waits", head + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", frozenset({100, 408})
    )
    chunks = head + b"Transfer-Encoding: chunked\r\n\r\n"
    yield HostileRequest("chunks that trickle", chunks, timeout, b"1\r\na\r\n")
    yield HostileRequest("chunks that stop", chunks + b"5\r\nab", timeout)
    lost = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    yield HostileRequest("a body that nobody reads", lost, frozenset({404}), b"a")

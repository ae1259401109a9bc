"""Bodies of requests and answers that are compressed."""

from __future__ import annotations

import asyncio
import gzip
import zlib

from fastapi import Request, Response

from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import LARGE_BODY, reserve_memory, run_if_large, server_of

WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # of zlib, for each encoding
MIN_COMPRESSED = 10_000  # bytes of an answer that is worth the time
MAX_RATIO = 1032  # of a body to what zlib makes of it
FASTEST = 1  # compression level: text of numbers halves, at some 100 MB/s


async def read_body_without_form(request: Request) -> bytes:
    """Return the body as `read_body` for a route that takes no form; raise RequestError 415 for a form."""
    if request.headers.get("content-type", "").casefold().startswith("multipart/"):
        raise RequestError(415, "This address takes no form. Forms go to ADDRESS/predict: curl -F file=@photo.jpg")
    return await read_body(request)


async def read_body(request: Request) -> bytes:
    """Return the body of a request, decompressed if its header `Content-Encoding` says so.

    Raises:
        RequestError: 400 if it cannot be decompressed, 413 if it is too large then, 415 for another encoding.
    """
    chunks = [chunk async for chunk in request.stream()]  # `request.body` would keep it until the answer
    body = b"".join(chunks)
    chunks.clear()
    encoding = request.headers.get("content-encoding", "identity").strip().casefold()
    if encoding in ("", "identity"):
        return body
    if encoding not in WINDOW_BITS:
        raise RequestError(415, f"Content-Encoding may be gzip or deflate. Received: {encoding!r:.50}")
    limit = server_of(request).limits.request_bytes
    reserved = min(limit, MAX_RATIO * len(body))
    reserve_memory(request, reserved)
    content = await run_if_large(reserved, decompress, body, encoding, limit)
    reserve_memory(request, len(content) - reserved)
    return content


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return what a body holds, of at most `limit` bytes; raise RequestError if it cannot be read or is larger."""
    decompressor = zlib.decompressobj(WINDOW_BITS[encoding])
    try:
        content = decompressor.decompress(body, limit + 1)
    except zlib.error:
        raise RequestError(400, f"The body is not {encoding}, as its Content-Encoding says") from None
    if len(content) > limit:
        raise RequestError(413, f"The body is larger than the {limit:,} bytes allowed once it is decompressed")
    if not decompressor.eof or decompressor.unused_data:
        raise RequestError(400, f"The body is not complete, or has bytes after its end, as {encoding}")
    return content


async def compress_answer(request: Request, response: Response) -> Response:
    """Return an answer, with gzip if the client accepts it and the answer is large."""
    response.headers["Vary"] = "Accept-Encoding"
    body = bytes(response.body)
    if len(body) < MIN_COMPRESSED or not accepts_gzip(request.headers.get("accept-encoding", "")):
        return response
    if len(body) < LARGE_BODY:
        compressed = gzip.compress(body, FASTEST, mtime=0)
    else:
        compressed = await asyncio.to_thread(gzip.compress, body, FASTEST, mtime=0)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(compressed, response.status_code, {**headers, "Content-Encoding": "gzip"})


def accepts_gzip(header: str) -> bool:
    """Return whether a header `Accept-Encoding` allows gzip."""
    for choice in header.casefold().split(","):
        name, _, weight = choice.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False

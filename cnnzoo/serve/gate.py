"""What every request passes before its route: who may ask, and how large and how slow a body may be."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.requests import ClientDisconnect

from cnnzoo.serve.access import Access
from cnnzoo.serve.errors import BodyError, RequestError
from cnnzoo.serve.journal import SECURITY_HEADERS, Journal
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.traffic import Application, Message, Receive, Send, Traffic, send_json_error

log = logging.getLogger(__name__)

# Read without a key
OPEN_PATHS = frozenset({"/", "/docs", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
CLIENT_GONE = 499  # status in the log and the metrics of a request whose client left before the answer
SMALL_BODY = 1_000_000  # bytes that are still read after an answer, so that the connection can be used again


def find_route_path(scope: Message) -> str:
    """Return the path of a request without the prefix that the application is mounted under."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


class Gate:
    """ASGI middleware: refuses requests that may not pass, limits bodies, answers errors, counts and logs."""

    def __init__(self, app: Application, access: Access, limits: Limits, traffic: Traffic, journal: Journal) -> None:
        self.app, self.access, self.limits, self.traffic, self.journal = app, access, limits, traffic, journal

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self, scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        self.traffic.begin(task, lambda: not exchange.is_complete)
        try:
            try:
                if not await exchange.answer_preflight():
                    exchange.check()
                    await self.app(scope, exchange.receive, exchange.send)
            except RequestError as error:
                await exchange.answer_error(error)
            except ClientDisconnect:
                log.debug("A client left before the end of its request")
            except asyncio.CancelledError:
                reason_to_end = self.traffic.take_error(task)
                if reason_to_end is None:
                    raise
                await exchange.answer_error(reason_to_end)
            except Exception as error:
                if exchange.status:
                    raise
                log.exception("A request could not be answered")
                is_full = isinstance(error, MemoryError)
                reason = "has too little memory for this request" if is_full else "failed at this request"
                await exchange.answer_error(RequestError(500, f"The server {reason}; its log says more"))
        finally:
            self.traffic.finish(task)
            exchange.finish()


class Exchange:
    """A request and its answer."""

    def __init__(self, gate: Gate, scope: Message, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self._receive, self._send = gate, scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = time.perf_counter()
        self.received = self.reserved = self.sent = self.status = 0
        length = self.headers.get(b"content-length", b"")
        self.length = int(length[:20]) if length.isdigit() else 0
        states_body = scope.get("http_version", "1.1") in ("1.0", "1.1")  # by one of two headers
        self.is_complete = states_body and not self.length and b"transfer-encoding" not in self.headers
        self.origin = self.headers.get(b"origin", b"").decode("latin-1")
        scope["cnnzoo.exchange"] = self

    def check(self) -> None:
        """Raise RequestError unless the request may pass."""
        access, limits = self.gate.access, self.gate.limits
        host = self.headers.get(b"host", b"").decode("latin-1")
        if not access.allows_host(host):
            raise RequestError(
                400, f"This server is not called {host!r:.100}. To allow the name, start it with --allow-host"
            )
        if self.origin and not access.allows_origin(self.origin, host):
            raise self.forbidden_origin()
        is_open = self.scope["method"] in ("GET", "HEAD") and find_route_path(self.scope) in OPEN_PATHS
        if not is_open and not access.allows_key(self.headers):
            raise RequestError(
                401,
                "This server needs a key, in the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                {"WWW-Authenticate": "Bearer"},
            )
        if self.length > limits.request_bytes:
            raise self.too_large(self.length)

    def forbidden_origin(self) -> RequestError:
        """Return the error for a page of another site."""
        return RequestError(
            403, f"Pages of {self.origin!r:.100} may not use this server. To allow them: --allow-origin"
        )

    def too_large(self, size: int) -> BodyError:
        """Return the error for a body of so many bytes."""
        return BodyError(413, f"A body of {size:,} bytes is larger than the {self.gate.limits.request_bytes:,} allowed")

    async def answer_preflight(self) -> bool:
        """Answer the question of a browser whether a page of another site may send a request; False if it is none."""
        if self.scope["method"] != "OPTIONS" or b"access-control-request-method" not in self.headers:
            return False
        if not self.gate.access.is_other_site(self.origin):
            raise self.forbidden_origin()
        headers = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
            (b"access-control-max-age", b"600"),
        ]
        await self.send({"type": "http.response.start", "status": 204, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})
        return True

    async def receive(self) -> Message:
        """Return the next part of the body.

        Raises:
            BodyError: 413 if the body is too large, 408 if it takes too long, 503 if all bodies together are too large.
        """
        if self.is_complete:  # what follows is the end of the connection, for which there is no limit
            return await self._receive()
        limits = self.gate.limits
        remaining = self.started + limits.body_seconds - time.perf_counter()
        try:
            async with asyncio.timeout(remaining):
                message = await self._receive()
        except TimeoutError:
            raise BodyError(408, f"The body did not arrive within {limits.body_seconds:g} seconds") from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.received += size
            self.is_complete = not message.get("more_body", False)
            if self.received > limits.request_bytes:
                raise self.too_large(self.received)
            self.reserve(size)
        return message

    def reserve(self, size: int) -> None:
        """Count so many bytes of memory more until the answer; raise BodyError 503 if there is no room for them."""
        self.gate.traffic.reserve(size)
        self.reserved += size

    async def send(self, message: Message) -> None:
        """Send a part of the answer; its start gets the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            names = {name.lower() for name, _ in headers}
            headers += [pair for pair in SECURITY_HEADERS if pair[0] not in names]
            if self.origin and self.gate.access.is_other_site(self.origin):
                headers += [(b"access-control-allow-origin", self.origin.encode("latin-1")), (b"vary", b"origin")]
            is_unread = not self.is_complete and not 0 < self.length < SMALL_BODY
            if (is_unread or self.gate.traffic.is_stopping) and b"connection" not in names:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def answer_error(self, error: RequestError) -> None:
        """Answer with an error; if an answer has begun, raise it, so that the connection is closed."""
        if self.status:
            raise error
        await send_json_error(self.send, error)

    def finish(self) -> None:
        """Give back the memory of the body, and record the request."""
        self.gate.traffic.release(self.reserved)
        seconds = time.perf_counter() - self.started
        self.gate.journal.record(self.scope, self.status or CLIENT_GONE, seconds, self.received, self.sent)

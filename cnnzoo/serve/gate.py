"""What every request passes before its route: who may ask, how large and how slow a body may be, and the access log."""

from __future__ import annotations

import asyncio
import datetime
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO
from urllib.parse import urlsplit

from cnnzoo.core.errors import InputError
from cnnzoo.serve.errors import BodyError, RequestError
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset(
    {"/", "/docs", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
)  # read without a key
MIN_KEY = 16  # characters
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
UNKNOWN_ROUTE = "other"


@dataclass(frozen=True)
class Access:
    """Who may use a server.

    Attributes:
        key: the secret that requests must carry; empty if none is needed.
        hosts: names of the server that requests may give, beside IP addresses, localhost and the name of this machine;
            "*" allows all.
        origins: other sites whose pages may send requests, as in "https://example.com".
    """

    key: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.key and (len(self.key) < MIN_KEY or not self.key.isascii() or not self.key.isprintable()):
            raise InputError(
                f"An API key has at least {MIN_KEY} characters of ASCII, without line ends. Received: {len(self.key)} "
                'characters. To make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        for origin in self.origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
                raise InputError(f"An origin is written as https://example.com. Received: {origin!r:.200}")
        names = {"localhost", socket.gethostname().casefold(), *(host.casefold() for host in self.hosts)}
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_key", self.key.encode())

    _names: frozenset[str] = frozenset()
    _key: bytes = b""

    def allows_host(self, host: str) -> bool:
        """Return whether a request may name the server so: DNS rebinding needs a name of the attacker's own."""
        name = split_host(host)
        if "*" in self._names or name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether the page that sends a request is one of the server itself, or of an allowed site."""
        return urlsplit(origin).netloc.casefold() == host.casefold() or self.is_other_site(origin)

    def is_other_site(self, origin: str) -> bool:
        """Return whether an origin is one of the other sites that are allowed."""
        return origin in self.origins

    def allows_key(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether a request has the key; how long this takes does not depend on what it has instead."""
        given = headers.get(b"x-api-key", b"")
        scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given = value.strip()
        return not self._key or hmac.compare_digest(given, self._key)


def split_host(host: str) -> str:
    """Return the name in a Host header, without its port and in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].casefold()
    return host.rpartition(":")[0].casefold() if host.count(":") == 1 else host.casefold()


def find_route_path(scope: Message) -> str:
    """Return the path of a request without the prefix that the application is mounted under."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


class Gate:
    """ASGI middleware: refuses requests that may not pass, limits bodies, counts and logs.

    The log has one line of JSON for each request: time, client, method, path, status, milliseconds, and the bytes
    received and sent; nothing of the content.
    """

    def __init__(
        self, app: Application, access: Access, limits: Limits, metrics: Metrics, log: TextIO | None = None
    ) -> None:
        self.app, self.access, self.limits, self.metrics, self.log = app, access, limits, metrics, log

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self, scope, receive, send)
        try:
            try:
                if not await exchange.answer_preflight():
                    exchange.check()
                    await self.app(scope, exchange.receive, exchange.send)
            except RequestError as error:
                if exchange.status:  # the answer has begun
                    raise
                await exchange.send_error(error)
        finally:
            exchange.finish()


class Exchange:
    """A request and its answer."""

    def __init__(self, gate: Gate, scope: Message, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self._receive, self._send = gate, scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = time.perf_counter()
        self.received = self.sent = self.status = 0
        self.is_complete = False
        self.origin = self.headers.get(b"origin", b"").decode("latin-1")

    def check(self) -> None:
        """Raise RequestError unless the request may pass."""
        access, limits = self.gate.access, self.gate.limits
        host = self.headers.get(b"host", b"").decode("latin-1")
        if not access.allows_host(host):
            raise RequestError(
                400, f"This server is not called {host!r:.100}. To allow the name, start it with --allow-host"
            )
        if self.origin and not access.allows_origin(self.origin, host):
            raise RequestError(
                403, f"Pages of {self.origin!r:.100} may not use this server. To allow them: --allow-origin"
            )
        is_open = self.scope["method"] in ("GET", "HEAD") and find_route_path(self.scope) in OPEN_PATHS
        if not is_open and not access.allows_key(self.headers):
            raise RequestError(
                401,
                "This server needs a key, in the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                {"WWW-Authenticate": "Bearer"},
            )
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > limits.request_bytes:
            raise self.too_large(int(length[:20]))

    def too_large(self, size: int) -> BodyError:
        """Return the error for a body of so many bytes."""
        return BodyError(413, f"A body of {size:,} bytes is larger than the {self.gate.limits.request_bytes:,} allowed")

    async def answer_preflight(self) -> bool:
        """Answer the question of a browser whether a page of another site may send a request; False if it is none."""
        if self.scope["method"] != "OPTIONS" or b"access-control-request-method" not in self.headers:
            return False
        if not self.gate.access.is_other_site(self.origin):
            raise RequestError(
                403, f"Pages of {self.origin!r:.100} may not use this server. To allow them: --allow-origin"
            )
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
            BodyError: 413 if the body is too large, 408 if it takes too long.
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
            self.received += len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
            if self.received > limits.request_bytes:
                raise self.too_large(self.received)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; its start gets the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            names = {name.lower() for name, _ in headers}
            headers += [pair for pair in SECURITY_HEADERS if pair[0] not in names]
            if self.origin and self.gate.access.is_other_site(self.origin):
                headers += [(b"access-control-allow-origin", self.origin.encode("latin-1")), (b"vary", b"origin")]
            message = {**message, "headers": headers}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def send_error(self, error: RequestError) -> None:
        """Answer with an error."""
        body = json.dumps({"error": error.reason}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})

    def finish(self) -> None:
        """Count the request and write its line to the log."""
        seconds = time.perf_counter() - self.started
        route = getattr(self.scope.get("route"), "path", UNKNOWN_ROUTE)
        method = self.scope["method"] if self.scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else UNKNOWN_ROUTE
        self.gate.metrics.requests.labels(method, route, str(self.status or 499)).inc()
        self.gate.metrics.request_seconds.labels(route).observe(seconds)
        if self.gate.log is None:
            return
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "client": (self.scope.get("client") or ("",))[0],
            "method": self.scope["method"][:20],
            "path": self.scope["path"][:200],
            "status": self.status or 499,  # the client has gone
            "milliseconds": round(1000 * seconds, 1),
            "bytes_received": self.received,
            "bytes_sent": self.sent,
        }
        print(json.dumps(line), file=self.gate.log, flush=True)


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Return origins without a slash at their end."""
    return tuple(origin.rstrip("/") for origin in origins)

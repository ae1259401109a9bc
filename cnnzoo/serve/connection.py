"""A connection whose headers must arrive in time, and as many connections as the limits allow."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cnnzoo.serve.limits import Limits

SPARE_CONNECTIONS = 64  # above the limit, that get an answer before they are closed


def make_protocol(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol with the limits that it has no setting for."""

    class TimedProtocol(H11Protocol):
        """Closes connections whose headers do not arrive in time, and those that are far too many."""

        header_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections + SPARE_CONNECTIONS:
                transport.abort()
                return
            self.start_timer()

        def data_received(self, data: bytes) -> None:
            if self.header_timer is None and self.conn.their_state is h11.IDLE:  # the next request begins
                self.start_timer()
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self.stop_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_timer()
            super().connection_lost(exc)

        def start_timer(self) -> None:
            self.header_timer = self.loop.call_later(limits.header_seconds, self.end_late_connection)

        def stop_timer(self) -> None:
            if self.header_timer is not None:
                self.header_timer.cancel()
                self.header_timer = None

        def end_late_connection(self) -> None:
            """Answer 408, if a request has begun, and close the connection."""
            self.header_timer = None
            if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
                return
            if self.conn.trailing_data[0] and self.conn.our_state is h11.IDLE:
                body = b'{"error": "The headers did not arrive in time"}'
                headers: list[tuple[bytes, bytes]] = [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                    (b"connection", b"close"),
                ]
                events: list[Any] = [
                    h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
                    h11.Data(data=body),
                    h11.EndOfMessage(),
                ]
                for event in events:
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return TimedProtocol

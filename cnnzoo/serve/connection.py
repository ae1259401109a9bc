"""Connections that no client can keep for long: time limits, strict parsing, and an end that lets answers arrive."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from cnnzoo.serve.errors import BodyError, busy
from cnnzoo.serve.journal import SECURITY_HEADERS, Journal
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.traffic import Message, Receive, Send, Traffic, send_json_error

SPARE_CONNECTIONS = 64  # above the limit, that get an answer before they are closed
LINGER_SECONDS = 3  # after the answer, in which what a client still sends is dropped, so that it can read the answer
UNREAD_BYTES = 1_000_000  # of a body that nobody reads, after which the connection is closed
STOP_GRACE = 0.5  # seconds in which an idle connection may still send a request while the server stops
EVICTION_AGE = 1.0  # seconds after which an idle connection makes place for a new one, if there are too many
SLOW_AGE, SLOW_RATE = 5.0, 1000  # a body is slow if after so many seconds it has had fewer bytes per second
MIN_CHUNK, MAX_SMALL_CHUNKS = 64, 20_000  # bytes, and how many smaller chunks a body may have


class StrictConnection(h11.Connection):
    """An HTTP/1.1 connection that refuses some of what h11 accepts.

    These are headers that are too long but arrive at once, bodies whose length is given twice, which a proxy may read
    in another way, and bodies in very many tiny chunks.

    Attributes:
        fault: the last error of the client.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.header_bytes)
        self._header_bytes, self._small_chunks = limits.header_bytes, 0
        self.fault = h11.RemoteProtocolError("No request", 400)

    def next_event(self) -> Any:
        """Return the next event; see `h11.Connection.next_event`."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._small_chunks = 0
                self._check_request(event)
            elif isinstance(event, h11.Data) and len(event.data) < MIN_CHUNK and event.chunk_end:
                self._small_chunks += 1
                if self._small_chunks > MAX_SMALL_CHUNKS:
                    raise h11.RemoteProtocolError("The body has too many tiny chunks", 413)
        except h11.RemoteProtocolError as error:
            self.fault = error
            raise
        return event

    def _check_request(self, event: h11.Request) -> None:
        size = len(event.method) + len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
        if size > self._header_bytes:
            raise h11.RemoteProtocolError(f"The headers have more than {self._header_bytes:,} bytes", 431)
        names = {name for name, _ in event.headers}
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
            raise h11.RemoteProtocolError("The length of the body is given in two ways", 400)


class PatientTransport:
    """A transport of asyncio whose `close` is decided by the protocol."""

    def __init__(self, transport: asyncio.Transport, protocol: Any) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close once the client has had the chance to read the last answer."""
        self._protocol.close()

    def is_closing(self) -> bool:
        """Return whether the end has begun."""
        return self._protocol.is_closing or self._transport.is_closing()


def make_protocol(limits: Limits, traffic: Traffic, journal: Journal) -> type[H11Protocol]:
    """Return uvicorn's protocol with the limits that it has no setting for."""

    class GuardedProtocol(H11Protocol):
        """Ends connections that are late, slow, idle or far too many, and tasks whose client has gone."""

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.conn: StrictConnection = StrictConnection(limits)
            self.served_app, self.app = self.app, self.run_app
            self.task: asyncio.Task[Any] | None = None
            self.header_timer: asyncio.TimerHandle | None = None
            self.answer_timer: asyncio.TimerHandle | None = None
            self.end_timer: asyncio.TimerHandle | None = None
            self.is_closing = self.is_lost = self.is_excess = self.is_stopping = False
            self.last_active = self.request_started = time.monotonic()
            self.request_bytes = self.unread_bytes = 0

        # ---- Beginning and end

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(PatientTransport(transport, self))  # type: ignore[arg-type]
            self.socket = transport
            transport.set_write_buffer_limits(high=65_536, low=0)  # `resume_writing` then means that all was read
            if len(self.connections) > limits.connections:
                self.is_excess = not evict_connection(self.connections)
                if len(self.connections) > limits.connections + SPARE_CONNECTIONS:
                    transport.abort()
                    return
            self.start_header_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self.is_closing = self.is_lost = True
            self.stop_timers()
            if self.end_timer is not None:
                self.end_timer.cancel()
            super().connection_lost(exc)
            if self.task is not None:  # nobody waits for its answer any more
                self.task.cancel()

        def close(self) -> None:
            """Close the connection; what the client still sends is dropped for a while, so that it reads the answer."""
            if self.is_closing:
                return
            self.is_closing = True
            self.stop_timers()
            if self.conn.their_state in (h11.SEND_BODY, h11.ERROR) and self.socket.can_write_eof():
                self.socket.write_eof()
                self.flow.resume_reading()
            else:
                self.socket.close()
            self.end_timer = self.loop.call_later(LINGER_SECONDS, self.end_connection)

        def end_connection(self) -> None:
            """End a connection that was closed, at the latest once its client had time to read the answer."""
            if self.socket.get_write_buffer_size():
                self.end_timer = self.loop.call_later(limits.answer_seconds, self.socket.abort)
            else:
                self.socket.abort()

        def shutdown(self) -> None:
            """Finish the request in progress and close, as the server stops."""
            self.is_stopping = True
            if self.is_idle:
                self.loop.call_later(STOP_GRACE, self.close_if_idle)
            else:
                self.cycle.keep_alive = False

        def close_if_idle(self) -> None:
            """Close the connection unless a request is in progress."""
            if self.is_idle:
                self.close()

        @property
        def is_idle(self) -> bool:
            """Whether no request is in progress."""
            return self.cycle is None or self.cycle.response_complete

        @property
        def is_slow(self) -> bool:
            """Whether a body arrives far more slowly than any network sends it."""
            age = time.monotonic() - self.request_started
            return not self.is_idle and self.cycle.more_body and age > SLOW_AGE and self.request_bytes < age * SLOW_RATE

        # ---- Requests

        async def run_app(self, scope: Message, receive: Receive, send: Send) -> None:
            """Serve one request, unless its client leaves before the answer."""
            self.task = asyncio.current_task()
            self.request_started, self.request_bytes = time.monotonic(), 0
            if self.is_stopping:
                self.cycle.keep_alive = False
            try:
                if self.is_excess:
                    error = busy(f"More than {limits.connections} clients are connected. Try again later")
                    error.headers["Connection"] = "close"
                    journal.record(scope, error.status)
                    await send_json_error(send, error)
                else:
                    await self.served_app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.is_lost:
                    raise
            finally:
                self.task = None

        def data_received(self, data: bytes) -> None:
            # What follows the last request, or its refusal, is dropped
            if self.is_closing or self.conn.their_state is h11.MUST_CLOSE:
                return
            if self.header_timer is None and self.conn.their_state is h11.IDLE:  # the next request begins
                self.start_header_timer()
            self.request_bytes += len(data)
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self.stop_header_timer()
            if self.conn.their_state is h11.SEND_BODY and self.is_idle:
                self.unread_bytes += len(data)
                if self.unread_bytes > UNREAD_BYTES:
                    self.close()

        def on_response_complete(self) -> None:
            self.last_active, self.unread_bytes = time.monotonic(), 0
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY and self.is_idle and not self.is_closing:
                self.loop.call_later(LINGER_SECONDS, self.close_if_unread, self.cycle)

        def close_if_unread(self, cycle: Any) -> None:
            """Close the connection if the body of an answered request has still not ended."""
            if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
                self.close()

        def send_400_response(self, msg: str) -> None:
            """Refuse what is not HTTP, with the status that fits best, and close the connection."""
            fault = self.conn.fault
            status = 400 if fault.error_status_hint == 501 else fault.error_status_hint  # 501: an unknown encoding
            if self.task is not None:
                self.is_lost = True
                self.task.cancel()
            if not self.is_idle:
                self.cycle.disconnected = True
            journal.record({"client": self.client, "method": "", "path": ""}, status)
            self.send_last_answer(status, f"This is not a valid request: {str(fault)[:200]}")

        def send_last_answer(self, status: int, reason: str) -> None:
            """Answer with an error and close the connection."""
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = json.dumps({"error": reason}).encode()
                headers = [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                    (b"connection", b"close"),
                    *SECURITY_HEADERS,
                ]
                events: list[Any] = [
                    h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                    h11.Data(data=body),
                    h11.EndOfMessage(),
                ]
                for event in events:
                    self.socket.write(self.conn.send(event) or b"")
            self.close()

        def _should_upgrade(self) -> bool:
            return False  # answer as if nothing else was asked for, as the protocol allows

        # ---- Time limits

        def start_header_timer(self) -> None:
            self.header_timer = self.loop.call_later(limits.header_seconds, self.end_late_request)

        def stop_header_timer(self) -> None:
            if self.header_timer is not None:
                self.header_timer.cancel()
                self.header_timer = None

        def stop_timers(self) -> None:
            self.stop_header_timer()
            if self.answer_timer is not None:
                self.answer_timer.cancel()
                self.answer_timer = None

        def end_late_request(self) -> None:
            """Answer 408, if a request has begun, and close the connection."""
            self.header_timer = None
            if self.is_closing or self.conn.their_state is not h11.IDLE:
                return
            if self.conn.trailing_data[0] and self.conn.our_state is h11.IDLE:
                journal.record({"client": self.client, "method": "", "path": ""}, 408)
                self.send_last_answer(408, f"The headers did not arrive within {limits.header_seconds:g} seconds")
            else:
                self.close()

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.answer_timer is None:
                self.answer_timer = self.loop.call_later(limits.answer_seconds, self.socket.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.answer_timer is not None:
                self.answer_timer.cancel()
                self.answer_timer = None

    def evict_connection(connections: Any) -> bool:
        """End the connection that has been idle for longest, or else a slow one; False if there is none."""
        now = time.monotonic()
        open_ones = [connection for connection in connections if not connection.is_closing]
        idle = [each for each in open_ones if each.is_idle and now - each.last_active > EVICTION_AGE]
        if idle:
            min(idle, key=lambda each: each.last_active).close()
            return True
        slow = [each for each in open_ones if each.is_slow and each.task is not None]
        if slow:
            slowest = min(slow, key=lambda each: each.request_started)
            traffic.end(slowest.task, BodyError(408, "The body arrives too slowly for a server that is full"))
            return True
        return False

    return GuardedProtocol

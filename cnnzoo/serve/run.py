"""Run a server until it is stopped."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from cnnzoo.core.errors import InputError
from cnnzoo.serve.connection import make_protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from cnnzoo.serve.server import Server

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_SECONDS = 9  # in which what was accepted is answered after SIGTERM or Ctrl-C; systems kill after 10


class QuietlyStoppingServer(uvicorn.Server):
    """uvicorn's server, for which a signal to stop is a regular end and not the death of the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, and at a second one without waiting for answers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: an address or a name of this machine.
        port: a port, or 0 for any that is free.

    Raises:
        InputError: if the port is taken, or the host is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InputError(_explain(error, host, port)) from None
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    """Return why a server cannot listen, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program. --port 0 takes any that is free"
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for programs with more rights. Ports from 1024 on are not"
    return f"Cannot listen on {host}, port {port}: {error.strerror or error}"


def run_server(app: FastAPI, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted until then is answered.

    Args:
        app: an application of `create_app`.
        listener: a socket of `bind`.
        on_ready: is called once all models can answer.

    Raises:
        InputError: if a model cannot answer.
    """
    state: Server = app.state.server
    config = uvicorn.Config(
        app,
        http=make_protocol(state.limits),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        limit_concurrency=state.limits.connections,
        timeout_keep_alive=int(state.limits.idle_seconds) or 1,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=state.limits.header_bytes,
    )
    server = QuietlyStoppingServer(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            try:
                await state.wait_until_ready()
                on_ready()
            except BaseException:
                server.should_exit = True
                await serving
                raise
        await serving

    asyncio.run(serve())

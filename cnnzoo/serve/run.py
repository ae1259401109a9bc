"""Run a server until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

from cnnzoo.core.errors import InputError
from cnnzoo.serve.connection import make_protocol

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

    from cnnzoo.serve.server import Server
    from cnnzoo.serve.traffic import Traffic

MMAP_THRESHOLD, LARGE_BLOCK = -3, 2**20  # the parameter of mallopt, and its value in bytes
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# After SIGTERM or Ctrl-C, in seconds. Systems kill a process after 10.
BODY_SECONDS = 4  # until requests whose bodies are still arriving are refused
ANSWER_SECONDS = 7.5  # until all other requests that have no answer yet are refused
STOP_SECONDS = 8.5  # until connections are closed
EXIT_SECONDS = 9.5  # until the process ends, also if the network is still computing


class QuietlyStoppingServer(uvicorn.Server):
    """uvicorn's server, for which a signal to stop is a regular end and not the death of the process."""

    def __init__(self, config: uvicorn.Config, traffic: Traffic) -> None:
        super().__init__(config)
        self.traffic = traffic

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was accepted, and end what takes too long."""
        self.traffic.is_stopping = True
        loop = asyncio.get_running_loop()
        timers = [
            loop.call_later(BODY_SECONDS, self.traffic.end_unfinished_bodies),
            loop.call_later(ANSWER_SECONDS, self.traffic.end_all),
        ]
        try:
            await super().shutdown(sockets)
        finally:
            for timer in timers:
                timer.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop at the first signal; end the process at the second one."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        watchdog = threading.Timer(EXIT_SECONDS, os._exit, (0,))  # threads that compute cannot be stopped
        watchdog.daemon = True
        watchdog.start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals to stop while the server runs."""
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
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Of a name with several addresses, such as localhost, the one of IPv4: most clients try this one
        family, kind, protocol, _, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except (OSError, ValueError) as error:  # ValueError: a name that no host can have
        raise InputError(_explain(error, host, port)) from None
    return listener


def _explain(error: OSError | ValueError, host: str, port: int) -> str:
    """Return why a server cannot listen, and what to do."""
    if isinstance(error, ValueError | socket.gaierror):
        return f"There is no host {host!r:.200}. Take an address or a name of this machine, or 0.0.0.0 for all of them"
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program. --port 0 takes any that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. 0.0.0.0 listens on all of them"
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for programs with more rights. Ports from 1024 on are not"
    return f"Cannot listen on {host}, port {port}: {error.strerror or error}"


def limit_heap() -> None:
    """Have glibc give large blocks of memory back to the system as soon as they are free.

    Otherwise it learns from the largest bodies to keep such blocks, and a server grows for as long as it runs.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BLOCK)


def run_server(app: FastAPI, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted until then is answered.

    The process ends within ten seconds of the signal, and at once at a second signal.

    Args:
        app: an application of `create_app`.
        listener: a socket of `bind`.
        on_ready: is called once all models can answer.

    Raises:
        InputError: if a model cannot answer.
    """
    limit_heap()
    asyncio.run(serve(make_server(app), app, listener, on_ready))


def make_server(app: FastAPI) -> QuietlyStoppingServer:
    """Return uvicorn's server for an application of `create_app`."""
    limits = app.state.server.limits
    config = uvicorn.Config(
        app,
        http=make_protocol(limits, app.state.traffic, app.state.journal),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,  # which would close the handlers that other packages have set up
        log_level=logging.ERROR,  # its warnings are about requests, which the access log has
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(limits.idle_seconds) or 1,
        timeout_graceful_shutdown=STOP_SECONDS,  # type: ignore[arg-type]  # asyncio takes a float
    )
    return QuietlyStoppingServer(config, app.state.traffic)


async def serve(
    server: uvicorn.Server, app: FastAPI, listener: socket.socket, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until the server is told to stop; raise InputError if a model cannot answer."""
    state: Server = app.state.server
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        try:
            await state.wait_until_ready()
            if not server.should_exit:
                on_ready()
        except BaseException:
            server.should_exit = True
            await serving
            raise
    await serving

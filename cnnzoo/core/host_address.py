"""The address at which the other processes of a training reach this one.

JAX's collective operations on CPUs (Gloo) use the address that the name of the host has. Many hosts have 127.0.1.1 or
127.0.0.1 for their own name, and others none: the processes would never meet. So each process uses the address from
which it reaches process 0.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cnnzoo.core.errors import InputError
from cnnzoo.core.processes import gather_values, set_collectives_host

MAX_PORT = 65535


class Route(NamedTuple):
    """The address that this process has on its way to process 0, and the one at which it reaches process 0."""

    own: str
    first: str


def use_reachable_address(address: str) -> None:
    """Let the collective operations of CPUs use an address that all processes reach.

    All processes call it once they are connected, before JAX makes its devices.

    Args:
        address: host:port of process 0.
    """
    own_route = find_route(address)
    routes = [Route(*values) for values in gather_values(own_route)]
    host = choose_address(own_route, routes)
    if host:
        set_collectives_host(host)


def find_route(address: str) -> Route:
    """Return the two ends of a way to `address`, host:port; empty ones if there is none. Nothing is sent.

    Example:
        >>> from cnnzoo.core.host_address import find_route
        >>> find_route("127.0.0.1:7654")
        Route(own='127.0.0.1', first='127.0.0.1')
    """
    host, _, port = address.rpartition(":")
    with suppress(OSError, UnicodeError):
        for family, kind, protocol, _, place in socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.connect(place)
                return Route(probe.getsockname()[0], probe.getpeername()[0])
    return Route("", "")


def choose_address(own: Route, routes: Sequence[Route]) -> str:
    """Return the address of this process for the others, whose routes are given too; "" if it is not known.

    On the host of process 0 the route may be the loopback, which no other host reaches; they know a better address.

    Example:
        >>> from cnnzoo.core.host_address import Route, choose_address
        >>> loopback, other = Route("127.0.1.1", "127.0.1.1"), Route("10.0.0.2", "10.0.0.1")
        >>> choose_address(other, [loopback, other]), choose_address(loopback, [loopback, other])
        ('10.0.0.2', '10.0.0.1')
    """
    if not own.own or not _is_loopback(own.own):
        return own.own
    return next((route.first for route in routes if route.first and not _is_loopback(route.first)), own.own)


def is_this_host(name: str) -> bool:
    """Return whether a name or an address belongs to this machine.

    Example:
        >>> from cnnzoo.core.host_address import is_this_host
        >>> is_this_host("127.0.0.1")
        True
    """
    if name in (socket.gethostname(), socket.gethostname().partition(".")[0]):
        return True
    with suppress(OSError, UnicodeError):
        for family, kind, protocol, _, place in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind(place)  # only an address of this machine can be bound
                return True
    return False


def check_first_host(address: str) -> None:
    """Raise InputError unless `address`, host:port, may be one of this host; process 0 calls it.

    A name without an address is let through: some name services know a host only once it has started.
    """
    host = address.rpartition(":")[0].strip("[]")
    route = find_route(address)
    if route.own and not is_this_host(host):
        raise InputError(
            f"Process 0 must run on the host of the address {address}, where all processes meet. Received: process 0 "
            f"on {socket.gethostname()} ({route.own}). Give this host another --rank, or its own address with --address"
        )


def check_port_is_free(address: str) -> None:
    """Raise InputError if something listens at the port of `address`, host:port; process 0 calls it on its host.

    JAX would share the port with another training, and mix the processes of both.
    """
    port = int(address.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise InputError(
                f"Port {port} of this host is in use, perhaps by another training. Give another one with --address "
                f"{address.rpartition(':')[0]}:{port + 1 if port < MAX_PORT else port - 1}, on all hosts"
            ) from None


def find_free_address() -> str:
    """Return a host:port of the loopback that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _is_loopback(address: str) -> bool:
    """Return whether no other host reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback

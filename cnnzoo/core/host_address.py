"""The address at which the other processes of a training reach this one.

JAX's collective operations on CPUs (Gloo) use the address that the name of the host has. Many hosts have 127.0.1.1 or
127.0.0.1 for their own name, and others none: the processes would never meet. So each process uses the address from
which it reaches process 0.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cnnzoo.core.processes import gather_values, set_collectives_host


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


def _is_loopback(address: str) -> bool:
    """Return whether no other host reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback

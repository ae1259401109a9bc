"""Who may use a server: the key, the names of the server, and the sites whose pages may send requests."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cnnzoo.core.errors import InputError

MIN_KEY = 16  # characters
HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:/?#@\s]+))(?::\d*)?", re.ASCII)


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
            if not is_origin(origin):
                raise InputError(f"An origin is written as https://example.com. Received: {origin!r:.200}")
        for host in self.hosts:
            if host != "*" and not split_host(host):
                raise InputError(f"A host is written as example.com, without http:// and path. Received: {host!r:.200}")
        names = {split_host(name) for name in ("localhost", socket.gethostname(), *self.hosts)}
        object.__setattr__(self, "_names", frozenset(names - {""}) | ({"*"} & set(self.hosts)))
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
        return self.is_other_site(origin) or (is_origin(origin) and origin.partition("://")[2] == host.casefold())

    def is_other_site(self, origin: str) -> bool:
        """Return whether an origin is one of the other sites that are allowed."""
        return origin in self.origins

    def allows_key(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request has the key; how long this takes does not depend on what it has instead."""
        given = headers.get(b"x-api-key", b"")
        scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given = value.strip()
        return not self._key or hmac.compare_digest(given, self._key)


def split_host(host: str) -> str:
    """Return the name in a Host header, in lower case and without its port; "" for anything else."""
    match = HOST.fullmatch(host)
    if match is None:
        return ""
    return (match["address"] or match["name"]).casefold().removesuffix(".")


def is_origin(origin: str) -> bool:
    """Return whether a text is the address of a site, without a path: https://example.com."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # such as https://[
        return False
    return parts.scheme in ("http", "https") and bool(split_host(parts.netloc)) and not (parts.path or parts.query)


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Return origins without a slash at their end, as browsers send them."""
    return tuple(origin.rstrip("/") for origin in origins)

"""The access log: one line of JSON for each request, and a count of each in the metrics."""

from __future__ import annotations

import datetime
import json
import logging
import os
import select
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnzoo.serve.metrics import Metrics

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS"})
UNKNOWN = "other"
MAX_LINE = 4_000  # bytes, which a pipe that is writable takes at once
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


class Journal:
    """Counts requests, and writes them to a log: time, client, method, path, status, milliseconds, bytes.

    Nothing of the content of requests is written. A log whose reader is slow, or whose disk is full, loses lines; the
    next line says how many. It never stops the server.
    """

    def __init__(self, metrics: Metrics, file: TextIO | None = None) -> None:
        self.metrics, self.file, self.lost = metrics, file, 0

    def record(
        self, scope: Mapping[str, Any], status: int, seconds: float = 0.0, received: int = 0, sent: int = 0
    ) -> None:
        """Count a request that was answered with a status; 499 if its client had gone."""
        route = getattr(scope.get("route"), "path", UNKNOWN)
        method = scope["method"] if scope["method"] in METHODS else UNKNOWN
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        if self.file is None:
            return
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "client": (scope.get("client") or ("",))[0][:100],
            "method": scope["method"][:20],
            "path": scope["path"][:200],
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "bytes_received": received,
            "bytes_sent": sent,
        }
        if self.lost:
            line["lines_lost"] = self.lost
        self._write(json.dumps(line))

    def _write(self, line: str) -> None:
        """Write a line, unless this would block or fail."""
        assert self.file is not None
        try:
            if write_if_ready(self.file, line[:MAX_LINE] + "\n"):
                self.lost = 0
                return
        except (OSError, ValueError) as error:  # the reader has gone, the disk is full, the file was closed
            if not self.lost:
                log.warning("The access log cannot be written: %s", error)
        self.lost += 1


def write_if_ready(file: TextIO, text: str) -> bool:
    """Write text to a file; return False if it would have to wait for a reader.

    Files of the system are written without a buffer, so that nothing is left that cannot be written at the end.
    """
    try:
        number = file.fileno()
    except (AttributeError, OSError):  # no file of the system
        file.write(text)
        file.flush()
        return True
    if os.name == "posix":
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        if not poll.poll(0):
            return False
    file.flush()
    os.write(number, text.encode())
    return True

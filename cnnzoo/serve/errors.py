"""Answers to requests that cannot be served."""

from collections.abc import Mapping

from cnnzoo.core.text import escape_controls


class RequestError(Exception):
    """A request that is answered with a status of 4xx or 5xx and a reason.

    Attributes:
        status: the HTTP status.
        reason: what was received, what is allowed, and what to do.
        headers: headers of the answer.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, escape_controls(reason), dict(headers or {})


class BodyError(RequestError):
    """The body of a request is too large or too slow; the connection is closed, as the rest of it is not read."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason, {"Connection": "close"})


def busy(reason: str, seconds: int = 1) -> RequestError:
    """Return the error for a server that has too much to do; `seconds` is when to try again."""
    return RequestError(503, reason, {"Retry-After": str(seconds)})

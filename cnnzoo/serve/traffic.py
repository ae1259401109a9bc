"""The requests in progress: how much memory they hold, and how they are ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cnnzoo.serve.errors import BodyError, RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

STOPPING = "The server is stopping. Try again later"


class Traffic:
    """The requests that a server is answering.

    Attributes:
        limit: bytes that the bodies of all of them may have together.
        held: bytes that they have.
        is_stopping: whether the server stops, and each answer is the last one of its connection.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.held, self.is_stopping = limit, 0, False
        self._errors: dict[asyncio.Task[Any], RequestError | None] = {}
        self._is_waiting_for_body: dict[asyncio.Task[Any], Callable[[], bool]] = {}

    def reserve(self, size: int) -> None:
        """Count so many bytes more; raise BodyError 503 if these are more than all bodies may have."""
        if self.held + size > self.limit:
            raise busy_with_bodies()
        self.held += size

    def release(self, size: int) -> None:
        """Count so many bytes less."""
        self.held -= size

    def begin(self, task: asyncio.Task[Any], is_waiting_for_body: Callable[[], bool]) -> None:
        """Add a request, which a task answers."""
        self._errors[task], self._is_waiting_for_body[task] = None, is_waiting_for_body

    def finish(self, task: asyncio.Task[Any]) -> None:
        """Remove a request."""
        self._errors.pop(task, None)
        self._is_waiting_for_body.pop(task, None)

    def end(self, task: asyncio.Task[Any], error: RequestError) -> None:
        """Have a request answered with an error, whatever it is doing."""
        if task in self._errors and self._errors[task] is None:
            self._errors[task] = error
            task.cancel()

    def take_error(self, task: asyncio.Task[Any]) -> RequestError | None:
        """Return the error with which a cancelled task is to answer; None if it was cancelled for another reason."""
        error = self._errors.get(task)
        if error is not None:
            task.uncancel()
        return error

    def end_unfinished_bodies(self) -> None:
        """End the requests whose bodies have not arrived yet, as the server stops."""
        for task, is_waiting in list(self._is_waiting_for_body.items()):
            if is_waiting():
                self.end(task, BodyError(503, STOPPING))

    def end_all(self) -> None:
        """End all requests, as the server stops."""
        for task in list(self._errors):
            self.end(task, BodyError(503, STOPPING))


def busy_with_bodies() -> BodyError:
    """Return the error for a body for which there is no memory now."""
    error = BodyError(503, "The server is receiving too much at this moment. Try again later")
    error.headers["Retry-After"] = "1"
    return error


async def send_json_error(send: Send, error: RequestError) -> None:
    """Send an answer with the reason of an error."""
    body = json.dumps({"error": error.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

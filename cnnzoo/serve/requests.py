"""Read what a request holds: JSON, images in base64, pixels, parameters."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
from fastapi import Request

from cnnzoo.serve.errors import RequestError

if TYPE_CHECKING:
    from cnnzoo.serve.server import Server

LARGE_BODY = 100_000  # bytes that are parsed in a thread, so that the event loop serves other requests
MAX_VALUES = 2**26  # of one array of pixels
MAX_TOP = 10_000

Value = TypeVar("Value")


def server_of(request: Request) -> Server:
    """Return the server that a request is for, started: the lifespan of a mounted application does not run."""
    server: Server = request.app.state.server
    server.start()
    return server


async def run_if_large(size: int, function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function, in a thread if it has many bytes to work on."""
    if size < LARGE_BODY:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


async def read_json(request: Request) -> Any:
    """Return the JSON in the body of a request.

    Raises:
        RequestError: 400 if it is none.
    """
    body = await request.body()
    return await run_if_large(len(body), parse_json, body)


async def read_json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request; raise RequestError 400 if it is none."""
    return check_object(await read_json(request), "The body")


def parse_json(body: bytes) -> Any:
    """Return the value of JSON; raise RequestError 400 for anything else, also for NaN and infinite numbers."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise RequestError(400, "The body is JSON that is nested too deeply") from None
    except ValueError as error:
        raise RequestError(400, f"The body is not JSON: {str(error)[:200]}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def check_object(value: Any, what: str) -> dict[str, Any]:
    """Return a JSON object; raise RequestError 400 if `value` is none."""
    if not isinstance(value, dict):
        raise RequestError(400, f"{what} must be a JSON object. Received: {describe_kind(value)}")
    return value


def check_list(value: Any, what: str) -> list[Any]:
    """Return a JSON array; raise RequestError 400 if `value` is none."""
    if not isinstance(value, list):
        raise RequestError(400, f"{what} must be a JSON array. Received: {describe_kind(value)}")
    return value


def describe_kind(value: Any) -> str:
    """Return what kind of JSON value this is, for a message."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def decode_base64(text: Any, what: str) -> bytes:
    """Return the bytes of a string in base64, also in its form for addresses; raise RequestError 400 for another."""
    if not isinstance(text, str):
        raise RequestError(400, f"{what} must be an image in base64, as a string. Received: {describe_kind(text)}")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        encoded = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise RequestError(400, f"{what} is not base64. Received: a string of {len(text):,} characters") from None


def to_pixels(values: Any, what: str) -> np.ndarray:
    """Return one image (H, W), (H, W, 1) or (H, W, 3), of nested lists or an array, as uint8 (H, W, C).

    Raises:
        RequestError: 400 for another shape, or values that are not from 0 to 255.
    """
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):  # rows of different lengths, huge numbers
        raise RequestError(400, f"{what} is no array of numbers: its rows differ in length") from None
    if array.dtype.kind not in "iuf" or not 2 <= array.ndim <= 3 or not array.size or array.size > MAX_VALUES:
        raise RequestError(
            400,
            f"{what} must be pixels (height, width) or (height, width, channels) with values 0 to 255. Received: "
            f"shape {array.shape}",
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype == np.uint8:
        return array
    if not (array.min() >= 0 and array.max() <= 255):
        raise RequestError(
            400, f"{what} must have pixel values from 0 to 255. Received: {array.min():.4g} to {array.max():.4g}"
        )
    return np.rint(array).astype("uint8")


def parse_top(value: Any, default: int) -> int:
    """Return a number of classes; raise RequestError 400 for anything else."""
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOP:
        raise RequestError(400, f"The number of classes must be a whole number from 1 to {MAX_TOP}")
    return value

"""Read what a request holds: JSON, images in base64, pixels, parameters."""

from __future__ import annotations

import asyncio
import binascii
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
from fastapi import Request

from cnnzoo.core.errors import shorten_repr
from cnnzoo.serve.errors import RequestError

if TYPE_CHECKING:
    from cnnzoo.serve.server import Server

LARGE_BODY = 100_000  # bytes that are parsed in a thread, so that the event loop serves other requests
MAX_VALUES = 2**24  # in JSON; Python takes up to 70 bytes for each
MAX_CONTAINERS = 2**21  # arrays and objects among them, which take a microsecond each
MAX_DEPTH = 5  # of arrays in arrays: images, rows, columns, channels, and one for a batch of batches
MAX_TOP = 10_000

PARSERS = ThreadPoolExecutor(2, "cnnzoo-parse")  # few, as a body needs several times its size while it is parsed

Value = TypeVar("Value")


def server_of(request: Request) -> Server:
    """Return the server that a request is for, started: the lifespan of a mounted application does not run."""
    server: Server = request.app.state.server
    server.start()
    return server


def reserve_memory(request: Request, size: int) -> None:
    """Count so many bytes more for a request until its answer; raise RequestError 503 if there is no room for them."""
    request.scope["cnnzoo.exchange"].reserve(size)


async def run_if_large(size: int, function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function, in a thread if it has many bytes to work on."""
    if size < LARGE_BODY:
        return function(*arguments)
    try:
        return await asyncio.get_running_loop().run_in_executor(PARSERS, function, *arguments)
    except RequestError as error:  # which would keep all that was parsed, until the garbage is collected
        error.__traceback__ = error.__context__ = None
        raise


def parse_json(body: bytes) -> Any:
    """Return the value of JSON.

    Raises:
        RequestError: 400 for anything else, also for NaN and infinite numbers; 413 for too many values, which would
            need many times the memory of the body.
    """
    containers = body.count(b"[") + body.count(b"{")
    count = body.count(b",") + containers
    if count > MAX_VALUES or containers > MAX_CONTAINERS:
        raise RequestError(
            413,
            f"The body is JSON of some {count:,} values, more than the {MAX_VALUES:,} allowed. Encoded images "
            "(JPEG, PNG) need far fewer bytes than pixels",
        )
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


def check_optional_object(value: Any, what: str) -> dict[str, Any]:
    """Return a JSON object, an empty one for null and []; raise RequestError 400 for anything else.

    Some languages write an empty object as an empty array.
    """
    return {} if value is None or value == [] else check_object(value, what)


def check_list(value: Any, what: str) -> list[Any]:
    """Return a JSON array; raise RequestError 400 if `value` is none."""
    if not isinstance(value, list):
        raise RequestError(400, f"{what} must be a JSON array. Received: {describe_kind(value)}")
    return value


def describe_kind(value: Any) -> str:
    """Return what kind of JSON value this is, for a message."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def show_value(value: Any, length: int = 100) -> str:
    """Return a JSON value for a message, cut to a length; of arrays and objects, which may be huge, only the kind."""
    if isinstance(value, list | dict):
        return describe_kind(value)
    return repr(value[:length] if isinstance(value, str) else value)[:length]


def decode_base64(text: Any, what: str) -> bytes:
    """Return the bytes of a string in base64, also in its form for addresses; raise RequestError 400 for another."""
    if not isinstance(text, str):
        raise RequestError(400, f"{what} must be an image in base64, as a string. Received: {describe_kind(text)}")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # rare forms: without padding, with line ends, or with the letters of addresses
        text = text.replace("\r", "").replace("\n", "").replace("-", "+").replace("_", "/")
    try:
        return binascii.a2b_base64(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), strict_mode=True)
    except ValueError:
        raise RequestError(
            400,
            f"{what} is not base64. It takes the bytes of an image file, and not its path or address. Received: a "
            f"string of {len(text):,} characters",
        ) from None


def to_array(values: Any, what: str) -> np.ndarray:
    """Return the array of numbers in nested lists; raise RequestError 400 for anything else.

    NumPy would accept strings too, and give each the memory of the longest.
    """
    level = values if isinstance(values, list) else [values]
    for _ in range(MAX_DEPTH):
        kinds = set(map(type, level))
        if kinds == {list}:
            level = list(itertools.chain.from_iterable(level))
        elif kinds <= {int, float}:
            break
        else:
            others = sorted({describe_kind(value) for value in level if type(value) not in (int, float)})
            raise RequestError(400, f"{what} is no array of numbers: it has {', '.join(others)}")
    else:
        raise RequestError(400, f"{what} is no image: it has more than {MAX_DEPTH} levels of arrays")
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        raise RequestError(400, f"{what} is no array of numbers: its rows differ in length") from None
    if array.dtype.kind not in "iuf":
        raise RequestError(400, f"{what} has numbers that are far too large for pixels")
    return array


def to_pixels(values: Any, what: str) -> np.ndarray:
    """Return one image (H, W), (H, W, 1) or (H, W, 3), of nested lists or an array, as uint8 (H, W, C).

    Raises:
        RequestError: 400 for another shape, or values that are not from 0 to 255.
    """
    array = values if isinstance(values, np.ndarray) else to_array(values, what)
    if not 2 <= array.ndim <= 3 or not array.size:
        raise RequestError(
            400,
            f"{what} must be pixels (height, width) or (height, width, channels) with values 0 to 255. Received: "
            f"shape {array.shape}",
        )
    if array.ndim == 2 and array.shape[1] in (1, 3, 4) and len(array) > 4:
        raise RequestError(
            400,
            f"{what} has shape {array.shape}, which is a row of an image (height, width, channels). A request has a "
            "list of images: put brackets around the image",
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f" and array.max() <= 1 and (array != np.rint(array)).any():
        raise RequestError(
            400,
            f"{what} has pixel values from {array.min():.4g} to {array.max():.4g}. Send 0 to 255: the model normalizes "
            "them itself",
        )
    if not (array.min() >= 0 and array.max() <= 255):
        raise RequestError(
            400, f"{what} must have pixel values from 0 to 255. Received: {array.min():.4g} to {array.max():.4g}"
        )
    return np.rint(array).astype("uint8")


def parse_top(value: Any, default: int) -> int:
    """Return a number of classes; raise RequestError 400 for anything else."""
    if value is None:
        return default
    received = value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOP:
        raise RequestError(
            400, f"The number of classes must be a whole number from 1 to {MAX_TOP}. Received: {shorten_repr(received)}"
        )
    return value

"""The processes that train one model together, one per host, and what they tell each other.

They are the processes of `jax.distributed`, which `cnnzoo launch` or `keras.distribution.initialize` connects. Short
messages pass through the key-value store of JAX's coordinator, where a process can wait for another one as long as it
takes; arrays pass through JAX's collective operations, which end after 30 seconds on CPUs. Every function that
exchanges something must be called by all processes, in the same order.

A single process, on any backend, is rank 0 of 1, and exchanges nothing.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from cnnzoo.core.errors import InputError, TrainingError

T = TypeVar("T")

POLL_MILLISECONDS = 1_000  # after which a waiting process notices Ctrl-C
MAX_SHOWN_DIFFERENCES = 5
CHUNK_BYTES = 64 * 2**20  # of arrays that are exchanged at a time
ERRORS: dict[str, type[Exception]] = {"InputError": InputError, "TrainingError": TrainingError}

_numbers = itertools.count()  # of the exchanges of this process, which are those of all others
_old_keys: list[str] = []  # of messages of rank 0, which are deleted once all have read them


def count_processes() -> int:
    """Return the number of processes that train together; 1 if no others are connected.

    Example:
        >>> from cnnzoo.core.processes import count_processes
        >>> count_processes()
        1
    """
    return _state().num_processes if jax_client() else 1


def process_rank() -> int:
    """Return the number of this process, from 0 on.

    Example:
        >>> from cnnzoo.core.processes import process_rank
        >>> process_rank()
        0
    """
    return _state().process_id if jax_client() else 0


def is_main_process() -> bool:
    """Return whether this process writes the files and prints the progress: it is rank 0."""
    return process_rank() == 0


def own_rows(size: int) -> slice:
    """Return which rows of a batch of `size` images this process loads; the size must be a multiple of their number."""
    rows = size // count_processes()
    return slice(process_rank() * rows, (process_rank() + 1) * rows)


# Messages


def check_same(facts: dict[str, Any]) -> None:
    """Raise InputError on all processes unless all have the same `facts`: plain values by name."""
    if count_processes() == 1:
        return
    own = {"host": socket.gethostname(), "facts": json.loads(json.dumps(facts))}
    first, *others = gather_values(own)
    for rank, other in enumerate(others, 1):
        differences = [
            f"{name}: {value!r:.200} and {other['facts'].get(name)!r:.200}"
            for name, value in first["facts"].items()
            if value != other["facts"].get(name)
        ]
        if differences:
            raise InputError(
                f"Process 0 ({first['host']}) and process {rank} ({other['host']}) differ in "
                f"{'; '.join(differences[:MAX_SHOWN_DIFFERENCES])}. All processes need the same versions, data and "
                "options"
            )


def share_value(value: Any) -> Any:
    """Return the `value` of rank 0 on all processes; it must be plain, as in JSON."""
    if count_processes() == 1:
        return value
    key = f"cnnzoo/{next(_numbers)}"
    if is_main_process():
        jax_client().key_value_set(key, json.dumps(value))
        _old_keys.append(key)
        return value
    return json.loads(_wait_for(key))


def gather_values(value: Any) -> list[Any]:
    """Return the `value` of each process, by its rank, on all processes; they must be plain, as in JSON."""
    if count_processes() == 1:
        return [value]
    key, client = f"cnnzoo/{next(_numbers)}", jax_client()
    if not is_main_process():
        client.key_value_set(f"{key}/{process_rank()}", json.dumps(value))
        return list(json.loads(_wait_for(key)))
    others = [f"{key}/{rank}" for rank in range(1, count_processes())]
    values = [value, *(json.loads(_wait_for(other)) for other in others)]
    # All processes have read the earlier messages now.
    for old in (*others, *_old_keys):
        client.key_value_delete(old)
    client.key_value_set(key, json.dumps(values))
    _old_keys[:] = [key]
    return values


def wait_for_all() -> None:
    """Wait until all processes are here, however long that takes."""
    gather_values(None)


def run_on_main(function: Callable[[], T]) -> T:
    """Return what `function` returns on rank 0, which alone calls it; a value as in JSON.

    Raises:
        InputError, TrainingError: on all processes, if `function` raises it.
    """
    if count_processes() == 1:
        return function()
    if not is_main_process():
        message = share_value(None)
        if "error" in message:
            raise ERRORS[message["kind"]](message["error"])
        result: T = message["value"]
        return result
    try:
        value = function()
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, kind in ERRORS.items() if isinstance(error, kind))
        share_value({"error": str(error), "kind": kind})
        raise
    share_value({"value": value})
    return value


def _wait_for(key: str) -> str:
    """Return the text of a key once another process has set it."""
    while True:
        try:
            return str(jax_client().blocking_key_value_get(key, POLL_MILLISECONDS))
        except Exception as error:  # JaxRuntimeError
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


# Arrays


def share_arrays(arrays: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """Return the arrays of rank 0, bit by bit, on all processes; the others may pass None."""
    if count_processes() == 1:
        return list(arrays or [])
    content = io.BytesIO()
    if is_main_process():
        np.savez(content, *(arrays or []))
    content = io.BytesIO(_share_bytes(content.getbuffer()))
    with np.load(content, allow_pickle=False) as file:
        return [file[f"arr_{i}"] for i in range(len(file.files))]


def _share_bytes(content: memoryview) -> bytes:
    """Return the bytes of rank 0 on all processes."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size, parts = share_value(len(content)), []
    for start in range(0, size, CHUNK_BYTES):
        part = np.zeros(min(CHUNK_BYTES, size - start), "uint8")
        if is_main_process():
            part[:] = content[start : start + len(part)]
        wait_for_all()
        parts.append(np.asarray(broadcast_one_to_all(part)).tobytes())
    return b"".join(parts)


def gather_rows(array: np.ndarray) -> np.ndarray:
    """Return the rows of all processes, bit by bit: those of rank 0 first. All have arrays (N, ...) of one shape."""
    if count_processes() == 1:
        return array
    from jax.experimental.multihost_utils import process_allgather

    rows = max(CHUNK_BYTES // max(array[:1].nbytes, 1), 1)
    parts = []
    for start in range(0, len(array), rows):
        part = np.ascontiguousarray(array[start : start + rows])
        wait_for_all()  # collective operations of CPUs would wait for 30 seconds only
        gathered = np.asarray(process_allgather(part.reshape(len(part), -1).view("uint8")))
        parts.append(gathered.view(array.dtype).reshape(count_processes(), len(part), *array.shape[1:]))
    return np.concatenate(np.concatenate(parts, axis=1)) if parts else array


def _state() -> Any:
    """Return JAX's record of the connection; its key-value store has no public name."""
    from jax._src.distributed import global_state

    return global_state


def jax_client() -> Any:
    """Return the client of JAX's coordinator; None if this process is alone, or on another backend."""
    return _state().client if "jax" in sys.modules else None


def set_collectives_host(host: str) -> None:
    """Let JAX's collective operations on CPUs use an address of this host, instead of the one that its name has.

    JAX has no option for it. A release without this function keeps its own choice.
    """
    from jax._src import xla_bridge

    bridge: Any = xla_bridge
    library = bridge._jax if hasattr(bridge, "_jax") else bridge.xla_client._xla
    with suppress(AttributeError):
        library.make_gloo_tcp_collectives = functools.partial(library.make_gloo_tcp_collectives, hostname=host)

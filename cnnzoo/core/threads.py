"""The processor cores of this process, and the threads and processes that decode images on them."""

import operator
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from cnnzoo.core.errors import InputError, shorten_repr

MAX_WORKERS = 512  # processes
CORES = "CNNZOO_CORES"  # the variable in which `cnnzoo launch` tells each process how many cores are its share
CPU_LIMIT_FILE = Path("/sys/fs/cgroup/cpu.max")  # of the container


def available_cores() -> int:
    """Return the number of processor cores that this process may use: fewer in some containers, and under `launch`."""
    cores = _cores_of_process()
    share = os.environ.get(CORES, "")
    return min(cores, _container_limit() or cores, max(int(share), 1) if share.isdecimal() else cores)


def limited_cores() -> int | None:
    """Return `available_cores()` if it is less than the system says; None if a library finds the number by itself."""
    cores = available_cores()
    return cores if cores < _cores_of_process() else None


def _cores_of_process() -> int:
    """Return the cores that the system lets this process run on, which no quota counts in."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _container_limit() -> int | None:
    """Return the cores of the container, or None without a limit."""
    try:
        return parse_cpu_limit(CPU_LIMIT_FILE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def parse_cpu_limit(text: str) -> int:
    """Return the cores of a control group, rounded up, from its `cpu.max`: microseconds allowed, and of how many.

    Raises:
        ValueError: if there is no limit, which is written "max".

    Example:
        >>> from cnnzoo.core.threads import parse_cpu_limit
        >>> parse_cpu_limit("150000 100000")
        2
    """
    allowed, period = map(int, text.split())
    return max(-(-allowed // period), 1)


def check_worker_count(workers: object) -> int | str:
    """Return a number of worker processes, or "auto"; raise InputError if it is anything else."""
    if isinstance(workers, str) and workers == "auto":
        return workers
    try:
        number = -1 if isinstance(workers, bool) else operator.index(workers)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_WORKERS:
        cores = available_cores()
        raise InputError(
            f"workers must be 'auto', or a number of processes from 0 to {MAX_WORKERS}; 0 loads images in this "
            f"process, and this machine has {cores} core{'' if cores == 1 else 's'}. Received: {shorten_repr(workers)}"
        )
    return number


@cache
def thread_pool() -> ThreadPoolExecutor:
    """Return the process-wide thread pool, with one thread per available core.

    Pillow releases Python's global lock while it decodes, so these threads run on all cores.
    """
    return ThreadPoolExecutor(available_cores())


# A forked process has no threads, and would wait forever for those of the pool that it inherits.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=thread_pool.cache_clear)

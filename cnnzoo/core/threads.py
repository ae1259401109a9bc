"""The processor cores of this process, and the threads that decode images on them."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def thread_pool() -> ThreadPoolExecutor:
    """Return the process-wide thread pool, with one thread per available core.

    Pillow releases Python's global lock while it decodes, so these threads run on all cores.
    """
    return ThreadPoolExecutor(available_cores())


# A forked process has no threads, and would wait forever for those of the pool that it inherits.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=thread_pool.cache_clear)

"""The threads that decode images, shared by the whole process."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def thread_pool() -> ThreadPoolExecutor:
    """Return the process-wide thread pool, with one thread per available CPU core.

    Pillow releases Python's global lock while it decodes, so these threads run on all cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(cores)

"""The memory that the C library keeps for a process."""

import contextlib
import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


@contextlib.contextmanager
def keep_freed_memory():
    """Keep what is freed for later allocations, instead of giving it back to the system; does so on Linux."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    yield
    library.mallopt(M_MMAP_MAX, 65536)
    library.mallopt(M_TRIM_THRESHOLD, 128 * 1024)
    library.malloc_trim(0)

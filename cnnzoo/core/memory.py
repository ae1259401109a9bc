"""Recognize that memory ran out, whichever library noticed."""

import errno
import re

OUT_OF_MEMORY = re.compile(
    r"OOM when allocating|RESOURCE_EXHAUSTED|out of memory|bad_alloc|cannot allocate memory|unable to allocate",
    re.IGNORECASE,
)
MAX_REASON = 200  # characters


def describe_memory_error(error: BaseException | None) -> str | None:
    """Return one line on what did not fit into memory, or None if `error` has another cause."""
    while error is not None:
        text = " ".join(str(error).split())
        is_memory_error = (
            isinstance(error, MemoryError)
            or type(error).__name__ == "ResourceExhaustedError"
            or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
            or (isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(text))
        )
        if is_memory_error:
            begin = OUT_OF_MEMORY.search(text)
            reason = text[begin.start() if begin else 0 :][:MAX_REASON]
            return "Not enough memory" + (f": {reason}" if reason else "")
        error = error.__cause__ or error.__context__
    return None

"""Keep the programs that JAX has compiled, so that the next process need not compile them again."""

from __future__ import annotations

import hashlib
import logging
import platform
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir

MAX_BYTES = 4 * 2**30  # of all programs together; JAX deletes the least recently used ones

log = logging.getLogger(__name__)


def use_compilation_cache() -> None:
    """Let JAX store compiled programs in the cache of cnnzoo, unless the user has chosen a folder.

    Compiling a network takes JAX 10 to 60 seconds on an accelerator. A choice of the user is respected: the environment
    variable JAX_COMPILATION_CACHE_DIR, also if it is empty, and `jax.config`. Does nothing on other backends.
    """
    import keras

    if keras.backend.backend() != "jax":
        return
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None:
        return
    try:
        folder = cache_dir() / "jax" / _describe_processor()
        # Only this user may write here: JAX runs what it finds.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, InputError) as error:
        log.info("Compiled programs are not kept: %s", error)
        return
    config.update("jax_compilation_cache_dir", str(folder))
    if config.jax_compilation_cache_max_size == -1:
        config.update("jax_compilation_cache_max_size", MAX_BYTES)


def _describe_processor() -> str:
    """Return a name for the kind of this processor: a program for a newer one may crash on an older one."""
    kind = f"{platform.machine()} {platform.processor()}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(f"{kind} {features}".encode()).hexdigest()[:12]

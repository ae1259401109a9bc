"""Show a line while cnnzoo imports Keras, TensorFlow or scikit-learn, which takes seconds."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator

from cnnzoo.core.import_hooks import import_within
from cnnzoo.core.progress import show_progress

SLOW_MODULES = {"keras": "Keras", "tensorflow": "TensorFlow", "sklearn": "scikit-learn"}

_importing: list[str] = []  # the slow modules whose code is running, as Keras imports TensorFlow


def show_slow_imports() -> None:
    """Let the first import of each slow module by cnnzoo show its progress; see `core.progress`.

    Imports by the user's own code show nothing, and neither do those within a call with verbose=False.
    """
    for name in SLOW_MODULES:
        import_within(name, functools.partial(_show_import, name))


@contextlib.contextmanager
def _show_import(name: str) -> Iterator[None]:
    is_shown = not _importing and _is_called_by_cnnzoo()
    _importing.append(name)
    try:
        with show_progress(f"Importing {SLOW_MODULES[name]}") if is_shown else contextlib.nullcontext():
            yield
    finally:
        _importing.remove(name)


def _is_called_by_cnnzoo() -> bool:
    """Return whether code of cnnzoo other than these hooks is being run by the caller."""
    for frame, _ in traceback.walk_stack(None):
        package, _, module = frame.f_globals.get("__name__", "").partition(".")
        if package == "cnnzoo" and module not in ("core.import_hooks", "core.import_progress"):
            return True
    return False
